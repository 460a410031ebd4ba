"""Telling others how runs ended: which callbacks are due, and what came of each try.

A run's end makes its callback due in one write. Whoever claims it has HOLD_SECONDS to tell it; after a crash
it is due again, with the same key, by which the receiver knows a repetition.
"""

from __future__ import annotations

import time
from typing import Any

from pymongo import ReturnDocument

from server.rest.context import Context
from server.sensor.acquisitions.acquisitions import Acquisition, from_document
from server.sensor.schedule.entries import utc

__all__ = ["HOLD_SECONDS", "PAUSES", "claim", "delivered", "failed", "key_of"]

HOLD_SECONDS = 120.0  # longer than a call may take with its own retries
PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0, 4 * 3600.0, 12 * 3600.0)
"""Seconds after each failed try; after one more it is given up."""
_LONGEST_DETAIL = 300  # characters


def key_of(run: Acquisition) -> str:
    """The same for each try of a run's callback, and no other's: names of entries may come again."""
    return f"{run.entry}/{run.task_id}/{run.created}"


async def claim(ctx: Context, now: float) -> Acquisition | None:
    """A run whose end has to be told now, by us."""
    document = await ctx.db.acquisitions.find_one_and_update(
        {"callback.due": {"$lte": now}},
        {"$set": {"callback.due": now + HOLD_SECONDS}, "$inc": {"callback.tries": 1}},
        sort=[("callback.due", 1)], return_document=ReturnDocument.AFTER)
    return None if document is None else from_document(document)


async def delivered(ctx: Context, run: Acquisition) -> None:
    """The receiver has it."""
    await ctx.db.acquisitions.update_one(_ours(run), {
        "$set": {"callback.status": "delivered", "callback.detail": "", "callback.at": utc()},
        "$unset": {"callback.due": ""}})


async def failed(ctx: Context, run: Acquisition, reason: str) -> None:
    """The receiver does not have it: try again later, or not any more."""
    assert run.callback is not None
    told = {"callback.detail": reason[:_LONGEST_DETAIL], "callback.at": utc()}
    update: dict[str, Any]
    if run.callback.tries > len(PAUSES):
        update = {"$set": {"callback.status": "given up", **told}, "$unset": {"callback.due": ""}}
    else:
        due = time.time() + PAUSES[run.callback.tries - 1]
        update = {"$set": {"callback.due": due, **told}}
    await ctx.db.acquisitions.update_one(_ours(run), update)


def _ours(run: Acquisition) -> dict[str, Any]:
    """The run as it was claimed: when we were too slow, somebody else has it."""
    assert run.callback is not None
    return {"_id": run.id, "callback.tries": run.callback.tries, "created": run.created}
