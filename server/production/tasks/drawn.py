"""Ends whose consequences are drawn: the marks for the repair pass are taken off the tasks, many at once.

An end is marked by the time when somebody has to look whether its consequences were drawn. The marks of ends
that were followed are removed together, once in a few seconds. Until then they cost nothing but, if the
server dies, that the repair pass draws the same consequences again, which changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from server.production.common.documents import Document
from server.rest.context import Context

__all__ = ["flush", "note"]

FLUSH_SECONDS = 3.0  # less than until the repair pass looks
MOST = 500


@dataclass
class _Drawn:
    """What one process has not written yet: the mark of each task."""

    marks: dict[str, str] = field(default_factory=dict)
    flushed_at: float = field(default_factory=time.monotonic)


_all: WeakKeyDictionary[AsyncDatabase, _Drawn] = WeakKeyDictionary()


async def note(ctx: Context, task: Document) -> None:
    """What follows from a task's end is done; `task` has the mark that was set with the end, if one was."""
    drawn = _all.setdefault(ctx.db, _Drawn())
    if due := task.get("due"):
        drawn.marks[task["task_id"]] = due
    if len(drawn.marks) >= MOST or time.monotonic() - drawn.flushed_at > FLUSH_SECONDS:
        await flush(ctx)


async def flush(ctx: Context) -> None:
    """Take off the marks now. One that was set anew since, for another end, stays."""
    drawn = _all.setdefault(ctx.db, _Drawn())
    marks, drawn.marks, drawn.flushed_at = drawn.marks, {}, time.monotonic()
    if marks:
        await ctx.db.tasks.bulk_write(
            [UpdateOne({"task_id": task_id, "due": due}, {"$unset": {"due": ""}})
             for task_id, due in marks.items()], ordered=False)
