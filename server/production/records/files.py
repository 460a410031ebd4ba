"""Files of single tasks, beside those that the configuration lists for every task."""

from __future__ import annotations

from typing import Any

from iceprod.ids import new_id
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "of_dataset", "of_task", "remove", "task_named"]

INDEXES = [Index("dataset_files", "task", [("dataset_id", 1), ("task_id", 1)]),
           Index("dataset_files", "task_id", [("task_id", 1)])]

MOVEMENTS = ("input", "output", "both")
OPTIONAL: dict[str, tuple[type, ...]] = {"local": (str,), "transfer": (str, bool), "compression": (str, bool)}


def check(body: Document, required: dict[str, type]) -> Document:
    """The description of a file out of a request's body. Raises BadRequest."""
    for name, kind in required.items():
        if name not in body:
            raise BadRequest(f"missing key: {name}")
        if isinstance(body[name], bool) or not isinstance(body[name], kind):
            raise BadRequest(f"key {name} should be of type {kind.__name__}")
    for name, kinds in OPTIONAL.items():
        if name in body and not isinstance(body[name], kinds):
            raise BadRequest(f"key {name} should be of type {kinds[0].__name__}")
    if body["movement"] not in MOVEMENTS or not body["filename"]:
        raise BadRequest("invalid file data")
    return {"type": "permanent", "movement": body["movement"], "remote": body["filename"],
            "local": body.get("local", ""), "compression": body.get("compression", False),
            "transfer": body.get("transfer", True)}


async def task_named(ctx: Context, dataset_id: str, job_index: int, name: str) -> str:
    """The id of the task with that name in that job. Raises BadRequest when there is none."""
    query = {"dataset_id": dataset_id, "job_index": job_index, "name": name}
    task = await ctx.db.tasks.find_one(query, {"task_id": 1})
    if task is None:
        raise BadRequest("task referred to not found")
    return str(task["task_id"])


async def add(ctx: Context, dataset_id: str, task_id: str, file: Document) -> None:
    """Add a file to a task. Raises NotFound for a task that the dataset does not have."""
    if not await ctx.db.tasks.find_one({"task_id": task_id, "dataset_id": dataset_id}, {"_id": 1}):
        raise NotFound("Task not found")
    await ctx.db.dataset_files.insert_one(
        {**file, "_id": new_id(), "dataset_id": dataset_id, "task_id": task_id}
    )


async def _find(ctx: Context, query: dict[str, Any]) -> list[Document]:
    shown = {"_id": 0, "dataset_id": 0, "task_id": 0}
    return await ctx.db.dataset_files.find(query, shown).to_list()


async def of_dataset(ctx: Context, dataset_id: str) -> list[Document]:
    """All files of a dataset's tasks."""
    return await _find(ctx, {"dataset_id": dataset_id})


async def of_task(ctx: Context, task_id: str, dataset_id: str = "") -> list[Document]:
    """The files of one task."""
    return await _find(ctx, {"task_id": task_id} | ({"dataset_id": dataset_id} if dataset_id else {}))


async def remove(ctx: Context, dataset_id: str, task_id: str) -> None:
    """Take all its files from a task."""
    await ctx.db.dataset_files.delete_many({"dataset_id": dataset_id, "task_id": task_id})
