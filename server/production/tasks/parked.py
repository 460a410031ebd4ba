"""Letting tasks go that wait, where no claim sees them, for a time or for a resource (class PARKED)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from iceprod.requirements import class_key
from server.production.common.documents import Document
from server.production.tasks.classes import PARKED, class_table
from server.rest.context import Context

__all__ = ["SHOWN", "release", "release_all"]

AT_ONCE = 1000
SHOWN = {"_id": 0, "task_id": 1, "dataset_id": 1, "requirements": 1}


async def release(ctx: Context, tasks: Sequence[Document]) -> int:
    """Let parked tasks wait for pilots; how many."""
    by_class: defaultdict[str, list[Document]] = defaultdict(list)
    for task in tasks:
        by_class[class_key(task["requirements"])].append(task)
    pairs = {(task["dataset_id"], key) for key, members in by_class.items() for task in members}
    await class_table(ctx).register(ctx, pairs)
    for key, members in by_class.items():
        parked = {"task_id": {"$in": [task["task_id"] for task in members]}, "class_key": PARKED}
        free = {"$set": {"class_key": key}, "$unset": {"due": "", "parked": ""}}
        await ctx.db.tasks.update_many(parked, free)
    if tasks:
        ctx.signals.notify("tasks")
    return len(tasks)


async def release_all(ctx: Context, query: Document) -> int:
    """Release all parked tasks among some; how many."""
    released = 0
    while tasks := await ctx.db.tasks.find(_parked(query), SHOWN, limit=AT_ONCE).to_list():
        released += await release(ctx, tasks)
    return released


def _parked(query: Document) -> Document:
    """The parked ones of a query that may say something of the status itself."""
    return {"$and": [query, {"status": "waiting", "class_key": PARKED}]}
