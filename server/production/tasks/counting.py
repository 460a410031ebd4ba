"""How many tasks are in each status, of one dataset or of all.

Most tasks of a large dataset are complete. So those that are not are counted in an index, and complete are
all that were made (`datasets.totals`) but these: what that costs grows with the tasks at work, not with all.
While the number of those made is not certain, all are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from iceprod.states import TASK
from server.production.common import archived
from server.production.common.documents import Document
from server.production.datasets import totals
from server.rest.context import Context

__all__ = ["by_name", "matching", "of_all", "of_dataset"]

UNFINISHED = [state for state in TASK.states if state != "complete"]


async def matching(ctx: Context, query: dict[str, Any]) -> dict[str, int]:
    """How many of the tasks that match are in each status, all of them counted."""
    return _ordered(await _grouped(ctx, query, "$status"))


async def of_dataset(ctx: Context, dataset_id: str) -> dict[str, int]:
    """How many tasks of a dataset are in each status."""
    of_it = {"dataset_id": dataset_id}
    made = await totals.totals(ctx, dataset_id)
    if made is None:
        kept = await archived.name_counts(ctx, dataset_id)
        return _sum(kept.values()) if kept else await matching(ctx, of_it)
    unfinished = await _grouped(ctx, {**of_it, "status": {"$in": UNFINISHED}}, "$status")
    return _ordered(_with_complete(unfinished, sum(made.tasks.values())))


async def of_all(ctx: Context) -> dict[str, int]:
    """How many of all tasks are in each status."""
    made = await totals.whole(ctx)
    return _ordered(_with_complete(await _grouped(ctx, {"status": {"$in": UNFINISHED}}, "$status"), made))


async def by_name(ctx: Context, dataset_id: str) -> dict[str, dict[str, int]]:
    """How many tasks of each name are in each status; names in the order of their tasks."""
    made = await totals.totals(ctx, dataset_id)
    if made is None and (kept := await archived.name_counts(ctx, dataset_id)):
        return kept
    names = await _names(ctx, dataset_id)
    of_it: Document = {"dataset_id": dataset_id}
    if made is not None:  # with the names, for the index that has both
        of_it |= {"name": {"$in": names}, "status": {"$in": UNFINISHED}}
    rows = await _grouped(ctx, of_it, {"name": "$name", "status": "$status"})
    found = {name: {status: rows.get((name, status), 0) for status in TASK.states} for name in names}
    if made is not None:
        found = {name: _with_complete(row, made.tasks.get(name, 0)) for name, row in found.items()}
    return {name: _ordered(row) for name, row in found.items()}


def _sum(rows: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return _ordered(sum(map(Counter[str], rows), Counter[str]()))


def _with_complete(unfinished: Mapping[str, int], made: int) -> dict[str, int]:
    """Complete is what is left; never less than none, though a batch was stored between two looks."""
    return {**unfinished, "complete": max(0, made - sum(unfinished.values()))}


def _ordered(numbers: Mapping[Any, int]) -> dict[str, int]:
    return {state: numbers[state] for state in TASK.states if numbers.get(state)}


async def _grouped(ctx: Context, query: dict[str, Any], by: Any) -> dict[Any, int]:
    """How many match by one field, or by several (a tuple of their values)."""
    stages: list[Document] = [{"$match": query}, {"$group": {"_id": by, "n": {"$sum": 1}}}]
    rows = [row async for row in await ctx.db.tasks.aggregate(stages)]
    return {tuple(row["_id"].values()) if isinstance(row["_id"], dict) else row["_id"]: row["n"]
            for row in rows}


async def _names(ctx: Context, dataset_id: str) -> list[str]:
    """The names of a dataset's tasks in their order, read off the index in leaps: no other task is seen."""
    order: dict[str, tuple[int, str]] = {}
    after: Document = {"$gte": ""}
    while first := await _first_of_name(ctx, dataset_id, after):
        order[first["name"]] = (first["task_index"], first["name"])
        after = {"$gt": first["name"]}
    return sorted(order, key=order.__getitem__)


async def _first_of_name(ctx: Context, dataset_id: str, name: Document) -> Document | None:
    query = {"dataset_id": dataset_id, "name": name}
    return await ctx.db.tasks.find_one(query, {"_id": 0, "name": 1, "task_index": 1}, sort=[("name", 1)])
