"""What tasks really use, beside what they ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from server.production.common.documents import Document
from server.production.failures import tallies
from server.rest.context import Context

__all__ = ["of_dataset", "of_task", "percentile"]


def percentile(samples: Sequence[float], fraction: float) -> float:
    """The smallest sample that at least `fraction` of all samples do not exceed."""
    return sorted(samples)[max(0, math.ceil(fraction * len(samples)) - 1)]


async def of_dataset(ctx: Context, dataset_id: str) -> list[Document]:
    """For each task name of a dataset: samples, median and 95th percentile used, and what is asked for."""
    await tallies.of(ctx).flush(ctx)
    rows = await ctx.db.task_usage.find({"dataset_id": dataset_id}, sort=[("_id", 1)]).to_list()
    return [await _row(ctx, row) for row in rows]


async def of_task(ctx: Context, task: Document) -> dict[str, Document]:
    """What tasks like this one used, by resource; empty when nothing was measured."""
    row = await ctx.db.task_usage.find_one({"_id": f"{task['dataset_id']} {task['name']}"})
    return _summaries(row) if row else {}


async def _row(ctx: Context, row: Document) -> Document:
    query = {"dataset_id": row["dataset_id"], "name": row["name"]}
    task = await ctx.db.tasks.find_one(query, {"requirements": 1})
    return {"name": row["name"], "asked": task["requirements"] if task else {}, "used": _summaries(row),
            "updated": row["updated"]}


def _summaries(row: Document) -> dict[str, Document]:
    return {name: {"samples": len(row[name]), "median": percentile(row[name], 0.5),
                   "p95": percentile(row[name], 0.95), "max": max(row[name])}
            for name in tallies.MEASURED if row.get(name)}
