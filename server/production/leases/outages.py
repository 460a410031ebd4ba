"""When the server or its database was away: nobody is silent who could not be heard.

While everything works, one server writes a pulse with each sweep of the leases. A gap between two pulses is
an outage of ours, whatever caused it: a restart, an upgrade, a lost database. Silence is counted from its end
on, so that pilots that kept working find their leases as they left them.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from iceprod.ids import now, timestamp
from server.rest.context import Context

__all__ = ["heard_for", "longest_gap", "up_since"]

_ID = "pulse"

log = logging.getLogger("server.production")


def longest_gap(lease_seconds: float, sweep_seconds: float) -> float:
    """Seconds between two pulses that are no outage: much less than a lease, and more than a slow sweep."""
    return max(lease_seconds / 3, 3 * sweep_seconds)


def up_since(before: datetime | None, last: datetime | None, moment: datetime, longest: float) -> datetime:
    """Since when pilots could be heard: as `before`, unless the last pulse is far from now."""
    if before is None or last is None or abs((moment - last).total_seconds()) > longest:
        return moment
    return before


async def heard_for(ctx: Context) -> timedelta:
    """Write a pulse; for how long pilots could be heard without a gap."""
    leases, moment = ctx.settings.leases, now()
    stored = await ctx.db.pulses.find_one({"_id": _ID}) or {}
    longest = longest_gap(leases.seconds, leases.sweep_seconds)
    last, before = _time(stored.get("last")), _time(stored.get("since"))
    since = up_since(before, last, moment, longest)
    if since != before and last is not None:
        log.warning("the server was away; leases are kept until pilots had time to come back",
                    extra={"action": "outage", "seconds": round((moment - last).total_seconds(), 1)})
    await ctx.db.pulses.update_one(
        {"_id": _ID}, {"$set": {"last": timestamp(moment), "since": timestamp(since)}}, upsert=True)
    return moment - since


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
