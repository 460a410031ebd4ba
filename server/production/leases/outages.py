"""When the server or its database was away: nobody is silent who could not be heard.

While everything works, one server writes a pulse every few sweeps of the leases. A gap between two pulses is
an outage of ours, whatever caused it: a restart, an upgrade, a lost database. Silence is counted from its end
on, so that pilots that kept working find their leases as they left them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import now, timestamp
from server.rest.context import Context

__all__ = ["heard_for", "longest_gap", "up_since"]

YOUNG = 0.3  # of the longest gap: a pulse that is no older is not written anew
_ID = "pulse"

log = logging.getLogger("server.production")


@dataclass
class _Pulse:
    """What a process wrote last."""

    since: datetime
    last: datetime


_kept: WeakKeyDictionary[AsyncDatabase, _Pulse] = WeakKeyDictionary()


def longest_gap(lease_seconds: float, sweep_seconds: float) -> float:
    """Seconds between two pulses that are no outage: much less than a lease, and more than a slow sweep."""
    return max(lease_seconds / 3, 3 * sweep_seconds)


def up_since(before: datetime | None, last: datetime | None, moment: datetime, longest: float) -> datetime:
    """Since when pilots could be heard: as `before`, unless the last pulse is far from now."""
    if before is None or last is None or abs((moment - last).total_seconds()) > longest:
        return moment
    return before


async def heard_for(ctx: Context) -> timedelta:
    """Write a pulse, if the last one is not young; for how long pilots could be heard without a gap."""
    leases, moment = ctx.settings.leases, now()
    longest = longest_gap(leases.seconds, leases.sweep_seconds)
    kept = _kept.get(ctx.db)
    if kept is None or not await _goes_on(ctx, kept, moment, longest):
        kept = _kept[ctx.db] = _Pulse(await _begin(ctx, moment, longest), moment)
    return moment - kept.since


async def _goes_on(ctx: Context, kept: _Pulse, moment: datetime, longest: float) -> bool:
    """Whether there was no gap since our last pulse; one is written when that is no longer young."""
    age = abs((moment - kept.last).total_seconds())
    if age > longest or age < YOUNG * longest:
        return age <= longest
    same = {"_id": _ID, "since": timestamp(kept.since)}
    written = await ctx.db.pulses.update_one(same, {"$set": {"last": timestamp(moment)}})
    kept.last = moment  # not before: what could not be written was not heard either
    return bool(written.matched_count)


async def _begin(ctx: Context, moment: datetime, longest: float) -> datetime:
    """Write a pulse, whatever was before; since when pilots could be heard."""
    stored = await ctx.db.pulses.find_one({"_id": _ID}) or {}
    last, before = _time(stored.get("last")), _time(stored.get("since"))
    since = up_since(before, last, moment, longest)
    if since != before and last is not None:
        log.warning("the server was away; leases are kept until pilots had time to come back",
                    extra={"action": "outage", "seconds": round((moment - last).total_seconds(), 1)})
    await ctx.db.pulses.update_one(
        {"_id": _ID}, {"$set": {"last": timestamp(moment), "since": timestamp(since)}}, upsert=True)
    return since


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
