"""Queueing without a lease, as the older generation of clients does it."""

from __future__ import annotations

from iceprod.ids import timestamp
from server.production.common.documents import Document
from server.production.tasks import completion
from server.production.tasks.classes import class_table
from server.rest.context import Context

__all__ = ["make_waiting", "queue"]

CANDIDATES = 4  # so many idle tasks are looked at for each that is wanted


async def queue(ctx: Context, amount: int) -> int:
    """Move up to `amount` tasks of the highest priority to queued: waiting ones, then ready idle ones."""
    table = class_table(ctx)
    await table.refresh(ctx)
    queued = 0
    for _ in range(3):
        found = await _best(ctx, amount - queued, list(table.datasets))
        if not found:
            break
        result = await ctx.db.tasks.update_many(
            {"task_id": {"$in": found}, "status": {"$in": ["waiting", "idle"]}},
            {"$set": {"status": "queued", "status_changed": timestamp()}, "$unset": {"due": ""}})
        queued += result.modified_count
    return queued


async def _best(ctx: Context, amount: int, keys: list[str]) -> list[str]:
    if amount <= 0:
        return []
    found: list[Document] = []
    for key in keys:
        found += await _first(ctx, "waiting", key, amount)
        found += await _ready(ctx, key, amount)
    found.sort(key=lambda task: -task["priority"])
    return [task["task_id"] for task in found[:amount]]


async def _first(ctx: Context, status: str, key: str, limit: int) -> list[Document]:
    shown = {"_id": 0, "task_id": 1, "priority": 1, "depends": 1}
    query = {"status": status, "class_key": key}
    return await ctx.db.tasks.find(query, shown, sort=[("priority", -1)], limit=limit).to_list()


async def _ready(ctx: Context, key: str, amount: int) -> list[Document]:
    idle = await _first(ctx, "idle", key, CANDIDATES * amount)
    needed = sorted({other for task in idle for other in task["depends"]})
    done = await completion.completed(ctx, needed)
    return [task for task in idle if all(other in done for other in task["depends"])]


async def make_waiting(ctx: Context, ids: list[str]) -> int:
    """Move the idle ones of some tasks to waiting; how many."""
    tasks = await ctx.db.tasks.find({"task_id": {"$in": ids}, "status": "idle"}).to_list()
    await class_table(ctx).register(ctx, {(task["dataset_id"], task["class_key"]) for task in tasks})
    result = await ctx.db.tasks.update_many(
        {"task_id": {"$in": ids}, "status": "idle"},
        {"$set": {"status": "waiting", "status_changed": timestamp()}, "$unset": {"due": ""}})
    if result.modified_count:
        ctx.signals.notify("tasks")
    return result.modified_count
