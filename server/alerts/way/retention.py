"""What is not kept for ever: the bytes of messages that could not be read. Their records stay."""

from __future__ import annotations

import time

from server.alerts.common.alerts import MESSAGES, State
from server.desk.common import blobs
from server.rest.context import Context
from server.services.leader import Service

__all__ = ["SERVICES", "prune"]

PERIOD = 6 * 3600.0  # seconds
_DAY = 86400.0
_AT_ONCE = 1000


async def prune(ctx: Context) -> int:
    """Remove the bytes of refused messages that were received long ago; of how many.

    The bytes go first: what a crash leaves in between is found again.
    """
    days = ctx.settings.alerts.keep_refused_days
    if not days:
        return 0
    old = {"state": State.REFUSED.value, "received": {"$lt": time.time() - days * _DAY},
           "blob": {"$gte": MESSAGES, "$lt": MESSAGES + "~"}, "pruned": {"$not": {"$gt": 0}}}
    rows = await ctx.db.alerts.find(old, {"blob": 1}).limit(_AT_ONCE).to_list()
    for row in rows:
        await blobs.remove(ctx, row["blob"])
        await ctx.db.alerts.update_one({"_id": row["_id"]}, {"$set": {"pruned": time.time()}})
    return len(rows)


async def _prune_all(ctx: Context) -> None:
    """Remove the bytes of refused messages that were kept long enough."""
    while await prune(ctx) == _AT_ONCE:
        pass


SERVICES = [Service("alert retention", lambda ctx: PERIOD, _prune_all)]
