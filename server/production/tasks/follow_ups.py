"""Notes of batches of ends whose consequences are being drawn: one note for all tasks of a batch.

The note is written before the ends are, and removed when all that follows is done. A note that grows old
was left by a server that died in between, or that is slow; the repair pass then does what it may not have
done. It keeps the note while some of the tasks are leased, for their ends may still be on their way.

    follow_ups   {follow_up_id, task_ids: […], due}
"""

from __future__ import annotations

from collections.abc import Sequence

from iceprod.ids import new_id, timestamp
from server.production.tasks import alarms, completion
from server.production.tasks.task_store import LEASED, soon
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "done", "note", "sweep"]

INDEXES = [
    Index("follow_ups", "follow_up_id", [("follow_up_id", 1)], unique=True),
    Index("follow_ups", "due", [("due", 1)]),
]

OLD_SECONDS = 10.0
AT_ONCE = 100


async def note(ctx: Context, task_ids: Sequence[str]) -> str:
    """Note that these tasks are about to end; the note's id."""
    follow_up_id = new_id()
    alarms.ring(ctx, OLD_SECONDS)
    await ctx.db.follow_ups.insert_one(
        {"follow_up_id": follow_up_id, "task_ids": list(task_ids), "due": soon(OLD_SECONDS)})
    return follow_up_id


async def done(ctx: Context, follow_up_id: str) -> None:
    """All that follows from the ends of a batch is done."""
    await ctx.db.follow_ups.delete_one({"follow_up_id": follow_up_id})


async def sweep(ctx: Context) -> int:
    """Do what old notes say; how many there were."""
    late = {"due": {"$lt": timestamp()}}
    notes = await ctx.db.follow_ups.find(late, {"_id": 0}, sort=[("due", 1)], limit=AT_ONCE).to_list()
    shown = {"_id": 0, "task_id": 1, "job_id": 1, "dataset_id": 1}
    for row in notes:
        ended = {"task_id": {"$in": row["task_ids"]}, "status": "complete"}
        await completion.follow_completed(ctx, await ctx.db.tasks.find(ended, shown).to_list())
        if await ctx.db.tasks.find_one({**ended, "status": {"$in": list(LEASED)}}, {"_id": 1}):
            await _look_later(ctx, row["follow_up_id"])
        else:
            await done(ctx, row["follow_up_id"])
    return len(notes)


async def _look_later(ctx: Context, follow_up_id: str) -> None:
    alarms.ring(ctx, OLD_SECONDS)
    later = {"$set": {"due": soon(OLD_SECONDS)}}
    await ctx.db.follow_ups.update_one({"follow_up_id": follow_up_id}, later)
