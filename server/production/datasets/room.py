"""Whether there is room for more tasks: the embedded store has an end, and so has its disk.

A submission that would go beyond is refused before anything is stored. Scans and what the house makes for
itself are not asked: they are small, and must not wait.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.common.errors import InsufficientStorage
from server.production.datasets import totals
from server.rest.context import Context

__all__ = ["check_room"]

BYTES_A_TASK = 6500  # with its job, indexes, statistics and 2 kB that it prints: `iceprod bench sizing`
LEFT_FREE = 1_000_000_000  # bytes that stay free for what is not tasks
_WAYS_OUT = ("archive ended datasets (`iceprod archive --ended-before 90d`), submit fewer jobs, or move to a "
             "MongoDB (docs/operate.md)")


async def check_room(ctx: Context, more: int) -> None:
    """Raise InsufficientStorage when so many more tasks go beyond what the embedded store takes."""
    if more <= 0 or not await _is_embedded(ctx):
        return
    to_come = await _to_come(ctx) + more
    most = ctx.settings.database.most_tasks
    if most and (whole := await totals.whole(ctx) + to_come) > most:
        raise InsufficientStorage(f"tasks_submitted: with these there would be {whole} tasks, and the "
                                  f"embedded store takes {most} (database.most_tasks): {_WAYS_OUT}")
    free = _free(Path(ctx.settings.data).absolute())
    if (needed := to_come * BYTES_A_TASK + LEFT_FREE) > free:
        raise InsufficientStorage(f"tasks_submitted: tasks that are still to be made need about "
                                  f"{needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free: {_WAYS_OUT}")


def _free(data: Path) -> int:
    """Bytes that are free where the data are, or will be."""
    there = next(path for path in (data, *data.parents) if path.exists())
    return shutil.disk_usage(there).free


async def _to_come(ctx: Context) -> int:
    """How many tasks datasets will still have."""
    at_work = {"status": "processing", "truncated": {"$ne": True}}
    wanted = {row["dataset_id"]: row["tasks_submitted"] async for row in
              ctx.db.datasets.find(at_work, {"_id": 0, "dataset_id": 1, "tasks_submitted": 1})}
    certain = {"_id": {"$in": list(wanted)}, "doubt": {"$exists": False}}
    made = {row["_id"]: row["whole"] async for row in ctx.db.task_totals.find(certain, {"whole": 1})}
    for dataset_id in wanted.keys() - made.keys():
        made[dataset_id] = await ctx.db.tasks.count_documents({"dataset_id": dataset_id})
    return sum(max(0, number - made[dataset_id]) for dataset_id, number in wanted.items())


_embedded: WeakKeyDictionary[AsyncDatabase, bool] = WeakKeyDictionary()


async def _is_embedded(ctx: Context) -> bool:
    if ctx.db not in _embedded:
        told = await ctx.db.command("buildInfo")
        _embedded[ctx.db] = "iceprod-embedded" in told.get("modules", ())
    return _embedded[ctx.db]
