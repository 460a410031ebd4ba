"""Logs of tasks: what they printed. Long ones are kept in parts and joined when read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iceprod.ids import new_id, timestamp
from server.context import Context
from server.errors import BadRequest, NotFound
from server.production.documents import Document, project, projection
from server.store.database import Index

__all__ = ["INDEXES", "PART", "create", "find", "get", "newest_by_name", "remove", "remove_of_task"]

PART = 1_000_000  # characters in one part

INDEXES = [
    Index("logs", "log_id", [("log_id", 1)], unique=True),
    Index("logs", "task", [("task_id", 1), ("timestamp", -1)]),
    Index("logs", "dataset", [("dataset_id", 1), ("name", 1)]),
    Index("logs", "timestamp", [("timestamp", 1)]),
    Index("log_parts", "log_part", [("log_id", 1), ("part", 1)], unique=True),
]


async def create(ctx: Context, fields: Document) -> str:
    """Store a log; its id. Raises BadRequest when it has no data."""
    if "data" not in fields:
        raise BadRequest("data field not in body")
    for name in ("data", "name", "dataset_id", "task_id"):
        if name in fields and not isinstance(fields[name], str):
            raise BadRequest(f"key {name} should be of type str")
    data = fields["data"]
    log = {"name": "log", **fields, "data": data[:PART], "log_id": new_id(), "timestamp": timestamp()}
    rest = [data[start:start + PART] for start in range(PART, len(data), PART)]
    if rest:
        log["parts"] = len(rest)
        await ctx.db.log_parts.insert_many(
            [{"log_id": log["log_id"], "part": n, "data": text} for n, text in enumerate(rest)])
    await ctx.db.logs.insert_one(dict(log))
    return str(log["log_id"])


async def _whole(ctx: Context, log: Document, keys: set[str] | None) -> Document:
    if log.get("parts") and "data" in log:
        rest = ctx.db.log_parts.find({"log_id": log["log_id"]}, {"_id": 0, "data": 1}, sort=[("part", 1)])
        log["data"] = "".join([log["data"], *[part["data"] async for part in rest]])
    log.pop("parts", None)
    return project(log, keys)


async def get(ctx: Context, log_id: str, dataset_id: str = "", keys: set[str] | None = None) -> Document:
    """One log, of one dataset when that is given. Raises NotFound."""
    query = {"log_id": log_id} | ({"dataset_id": dataset_id} if dataset_id else {})
    log = await ctx.db.logs.find_one(query, {"_id": 0})
    if log is None:
        raise NotFound("Log not found")
    return await _whole(ctx, log, keys)


async def find(ctx: Context, query: dict[str, Any], keys: set[str] | None, *, newest_first: bool = True,
               limit: int = 0) -> list[Document]:
    """Logs in the order of time."""
    shown = projection(None if keys is None else {*keys, "log_id", "parts"})
    cursor = ctx.db.logs.find(query, shown, sort=[("timestamp", -1 if newest_first else 1)], limit=limit)
    return [await _whole(ctx, log, keys) async for log in cursor]


async def newest_by_name(ctx: Context, query: dict[str, Any], keys: set[str] | None) -> list[Document]:
    """The newest log of each name."""
    cursor = ctx.db.logs.find(query, {"_id": 0, "log_id": 1, "name": 1}, sort=[("timestamp", -1)])
    newest: dict[str, str] = {}
    async for log in cursor:
        newest.setdefault(log["name"], log["log_id"])
    return [await get(ctx, log_id, keys=keys) for log_id in newest.values()]


async def remove(ctx: Context, query: Document) -> int:
    """Delete logs; how many."""
    ids = [log["log_id"] async for log in ctx.db.logs.find(query, {"log_id": 1})]
    return await _remove(ctx, ids)


async def remove_of_task(ctx: Context, dataset_id: str, task_id: str) -> int:
    """Delete all logs of a task; how many."""
    return await remove(ctx, {"dataset_id": dataset_id, "task_id": task_id})


async def _remove(ctx: Context, ids: Sequence[str]) -> int:
    for start in range(0, len(ids), 1000):
        chosen = {"log_id": {"$in": list(ids[start:start + 1000])}}
        await ctx.db.logs.delete_many(chosen)
        await ctx.db.log_parts.delete_many(chosen)
    return len(ids)
