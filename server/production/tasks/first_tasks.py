"""The tasks of the highest priority among all that are alive, without sorting them all.

Tasks of one requirement class and status stand in an index by priority. The first ones of every class are
read there; the first ones of all are among them.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Sequence
from typing import Any

from server.production.common.documents import Document
from server.production.tasks import task_store
from server.production.tasks.classes import ALIVE, class_table
from server.rest.context import Context

__all__ = ["MOST", "applies", "first_tasks"]

MOST = 10_000
AT_ONCE = 500


def applies(states: Sequence[str], sort: Sequence[tuple[str, int]], limit: int) -> bool:
    """Whether a list so ordered and so long is one that `first_tasks` gives."""
    known = bool(states) and set(states) <= set(ALIVE)
    return known and list(sort) == [("priority", -1)] and 0 < limit <= MOST


async def first_tasks(ctx: Context, states: Sequence[str], filters: Document, keys: set[str] | None,
                      limit: int) -> AsyncIterator[Document]:
    """The tasks in one of the states, highest priority first, as the API shows them."""
    ids = await _first_ids(ctx, states, filters, limit)
    for start in range(0, len(ids), AT_ONCE):
        part = ids[start:start + AT_ONCE]
        query = {"task_id": {"$in": part}, "status": {"$in": list(states)}}
        shown = None if keys is None else {*keys, "task_id"}
        found = {task["task_id"]: task async for task in task_store.find(ctx, query, shown)}
        for task_id in part:
            if task_id in found:
                yield found[task_id]


async def _first_ids(ctx: Context, states: Sequence[str], filters: Document, limit: int) -> list[str]:
    table = class_table(ctx)
    await table.look(ctx)
    rows: list[Any] = []
    for status in states:
        for key in list(table.datasets):
            query = {**filters, "status": status, "class_key": key}
            found = ctx.db.tasks.find(query, {"_id": 0, "task_id": 1, "priority": 1},
                                      sort=[("priority", -1)], limit=limit)
            rows += [(-task["priority"], task["task_id"]) async for task in found]
    return [task_id for _, task_id in heapq.nsmallest(limit, rows)]
