"""What stands beside a scan's map: its event, other scans of it, and the alert that it was made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.alerts.common.alerts import Alert
from server.alerts.common.alerts import find as find_alert
from server.common.errors import NotFound
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.manifests.manifests import Manifest
from server.scans.manifests.told import Told
from server.scans.results import sketches
from server.scans.results.summaries import apart_deg
from server.web.common import position
from server.web.scans.scan_lines import Line, lines_of

__all__ = ["Facts", "Other", "facts_of"]

OTHERS = 10
MARK = "alert"  # the classifier by which a scan tells the alert that it is for
_MARKED = 20  # letters of the alert's id in it


@dataclass(frozen=True)
class Other:
    """Another scan of the same event, and how far its best fit is from this one's (degrees)."""

    line: Line
    apart: float | None


@dataclass(frozen=True)
class Facts:
    """What is known of a scan's event beside the map."""

    event: dict[str, Any]
    mjd: float
    utc: str  # empty where the event has no time
    told: Told
    others: list[Other]
    alert: Alert | None


async def facts_of(ctx: Context, manifest: Manifest, best: dict[str, Any] | None) -> Facts:
    """The facts of a scan whose best fit is known, or not yet."""
    event = manifest.event_metadata or {}
    mjd = event.get("mjd")
    mjd = float(mjd) if isinstance(mjd, int | float) else 0.0
    told = await sketches.told_of(ctx, manifest.scan_id) or Told()
    return Facts(event, mjd, position.utc_of_mjd(mjd), told, await _others(ctx, manifest, best),
                 await _alert(ctx, manifest))


async def _others(ctx: Context, manifest: Manifest, best: dict[str, Any] | None) -> list[Other]:
    """The latest other scans of the event."""
    event = manifest.event_metadata
    if not event:
        return []
    query = {"is_deleted": False, **{f"event_metadata.{name}": event.get(name)
                                     for name in ("run_id", "event_id", "is_real_event")}}
    found = await manifests.newest(ctx, query, None, OTHERS + 1)
    others = [one for one in found if one.scan_id != manifest.scan_id][:OTHERS]
    return [Other(line, _apart(best, line.found.get("best_fit"))) for line in await lines_of(ctx, others)]


def _apart(one: dict[str, Any] | None, other: dict[str, Any] | None) -> float | None:
    if not one or not other:
        return None
    return apart_deg((one["ra_deg"], one["dec_deg"]), (other["ra_deg"], other["dec_deg"]))


async def _alert(ctx: Context, manifest: Manifest) -> Alert | None:
    """The alert that asked for a scan."""
    mark = manifest.classifiers.get(MARK)
    begin = mark.partition(".")[0] if isinstance(mark, str) else ""
    if len(begin) != _MARKED:
        return None
    row = await ctx.db.alert_revisions.find_one(  # people may have written the classifier
        {"alert_id": {"$gte": begin, "$lt": begin + "~"}, "scan_id": manifest.scan_id}, {"alert_id": 1})
    try:
        return await find_alert(ctx, row["alert_id"]) if row else None
    except NotFound:
        return None
