"""Where the time from an alert's receipt to its first published map went.

    reading · starting · the steps of the scan (`server.scans.pixels.timing`) · judging · writing · sending

The parts follow each other, so they add up to the whole; what lies between them is named `other`.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.alerts.common import revisions
from server.alerts.common.alerts import Alert
from server.alerts.outgoing import notices
from server.rest.context import Context
from server.scans.pixels import runs
from server.scans.pixels.timing import OTHER, Timing
from server.scans.run import traces

__all__ = ["WORDS", "Moments", "account", "account_of"]

WORDS = {
    "reading": "storing and reading the message, finding its rule",
    "starting": "asking for the scan",
    "judging": "from the final map to the gate's word",
    "writing": "making the notice and its map",
    "sending": "from the notice to the first target that took it",
}


@dataclass(frozen=True)
class Moments:
    """Seconds since 1970, in their order."""

    received: float
    begun: float  # its scan was about to be made
    cleared: float  # by the gate
    noticed: float
    published: float


async def account_of(ctx: Context, alert: Alert) -> dict[str, float]:
    """Seconds by part, of an alert whose first map was told of its own accord; {} of others."""
    published, first = alert.times.get("published"), (await revisions.of_alert(ctx, alert.alert_id))[:1]
    if published is None or not first or not first[0].notice_id or not first[0].cleared:
        return {}
    run = await runs.find(ctx, first[0].scan_id)
    if run is None:
        return {}
    notice = await notices.find(ctx, first[0].notice_id)
    moments = Moments(alert.received, first[0].begun, first[0].cleared, notice.created, published)
    return account(moments, await traces.timing_of(ctx, run))


def account(moments: Moments, timing: Timing) -> dict[str, float]:
    """The parts, to milliseconds."""
    parts = {
        "reading": moments.begun - moments.received, "starting": timing.asked - moments.begun, **timing.steps,
        "judging": max(moments.cleared - timing.asked - timing.total, 0.0),
        "writing": moments.noticed - moments.cleared, "sending": moments.published - moments.noticed}
    parts[OTHER] += moments.published - moments.received - sum(parts.values())
    return {name: round(seconds, 3) for name, seconds in parts.items()}
