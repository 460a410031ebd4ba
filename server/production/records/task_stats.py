"""Statistics that pilots report for tasks, and what the walltimes of a dataset add up to."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from iceprod.ids import new_id, timestamp
from server.common.errors import NotFound
from server.production.common.documents import Document, projection
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "bulk", "create", "dataset_summary", "find", "get"]

INDEXES = [
    Index("task_stats", "task_stat_id", [("task_stat_id", 1)], unique=True),
    Index("task_stats", "task", [("task_id", 1), ("create_date", -1)]),
    Index("task_stats", "dataset", [("dataset_id", 1), ("task_id", 1), ("create_date", -1)]),
]


async def create(ctx: Context, task_id: str, dataset_id: str, stats: Document) -> str:
    """Store one report; its id."""
    row = {"task_stat_id": new_id(), "task_id": task_id, "dataset_id": dataset_id, "create_date": timestamp(),
           "stats": stats}
    await ctx.db.task_stats.insert_one(dict(row))
    return str(row["task_stat_id"])


async def find(ctx: Context, dataset_id: str, task_id: str, keys: set[str] | None, *,
               last: bool = False) -> dict[str, Document]:
    """Reports of a task by id, the newest alone with `last`."""
    query = {"task_id": task_id, "dataset_id": dataset_id}
    rows = ctx.db.task_stats.find(query, projection(keys), sort=[("create_date", -1)], limit=1 if last else 0)
    return {row["task_stat_id"]: row async for row in rows}


async def get(ctx: Context, dataset_id: str, task_id: str, stat_id: str) -> Document:
    """One report. Raises NotFound."""
    query = {"task_stat_id": stat_id, "task_id": task_id, "dataset_id": dataset_id}
    row = await ctx.db.task_stats.find_one(query, {"_id": 0})
    if row is None:
        raise NotFound("Task stat not found")
    return row


async def bulk(ctx: Context, dataset_id: str, keys: set[str] | None, *, last: bool = False,
               after: str = "") -> AsyncIterator[Document]:
    """All reports of a dataset, task by task; the newest of each task alone with `last`."""
    query: dict[str, Any] = {"dataset_id": dataset_id}
    if after:
        query["create_date"] = {"$gt": after}
    shown = projection(None if keys is None else {*keys, "task_id"})
    order = [("task_id", 1), ("create_date", -1)]
    previous = None
    async for row in ctx.db.task_stats.find(query, shown, sort=order):
        if last and row["task_id"] == previous:
            continue
        previous = row["task_id"]
        yield row


@dataclass
class Hours:
    """Walltimes of the completed tasks of one name, in hours."""

    first_index: int
    gpu: float = 0  # of all of them together
    lost: float = 0.0
    hours: list[float] = field(default_factory=list)

    def summary(self) -> Document:
        total, n = math.fsum(self.hours), len(self.hours)
        mean = total / n
        spread = math.sqrt(math.fsum((x - mean) ** 2 for x in self.hours) / (n - 1)) if n > 1 else 0.0
        spent = total + self.lost
        return {"count": n, "gpu": self.gpu, "total_hrs": total, "total_err_hrs": self.lost, "avg_hrs": mean,
                "stddev_hrs": spread, "min_hrs": min(self.hours), "max_hrs": max(self.hours),
                "efficiency": total / spent if spent else 0.0}


async def dataset_summary(ctx: Context, dataset_id: str) -> dict[str, Document]:
    """Walltimes of a dataset's completed tasks by name, in the order of the tasks."""
    shown = {"_id": 0, "name": 1, "task_index": 1, "walltime": 1, "walltime_err": 1, "requirements.gpu": 1}
    names: dict[str, Hours] = {}
    async for task in ctx.db.tasks.find({"dataset_id": dataset_id, "status": "complete"}, shown):
        entry = names.setdefault(task["name"], Hours(task["task_index"]))
        entry.first_index = min(entry.first_index, task["task_index"])
        entry.gpu += (task.get("requirements") or {}).get("gpu") or 0
        entry.lost += task.get("walltime_err", 0.0)
        entry.hours.append(task.get("walltime", 0.0))
    return {name: names[name].summary() for name in sorted(names, key=lambda name: names[name].first_index)}
