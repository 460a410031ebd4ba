"""What administrators want of a site: pause it, drain it, limit it. Its grid hears that at each heartbeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from iceprod.ids import now, timestamp
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.leases import outages
from server.production.sites import pilots
from server.rest.context import Context
from server.services.leader import Service

__all__ = ["SERVICES", "STATES", "control", "expire"]

STATES = ("active", "paused", "draining")
SILENT_GRID_SECONDS = 120.0
SILENT_PILOT_SECONDS = 300.0  # of one that used to send heartbeats


async def control(ctx: Context, grid_id: str, body: dict[str, Any], username: str) -> Document:
    """Set what is wanted of a grid; the grid. Raises BadRequest, NotFound."""
    wanted = {**_checked(body), "username": username, "time": timestamp()}
    grid = await ctx.db.grids.find_one_and_update(
        {"grid_id": grid_id}, {"$set": {"control": wanted}}, {"_id": 0}, return_document=ReturnDocument.AFTER)
    if grid is None:
        raise NotFound("Grid not found")
    return grid


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    unknown = set(body) - {"state", "limit", "reason", "starts", "ends"}
    if unknown:
        raise BadRequest(f"invalid keys found: {', '.join(sorted(unknown))[:200]}")
    state, limit, reason = body.get("state", "active"), body.get("limit"), body.get("reason", "")
    if state not in STATES:
        raise BadRequest(f"key state should be one of {', '.join(STATES)}")
    is_number = isinstance(limit, int) and not isinstance(limit, bool)
    if limit is not None and not (is_number and 0 <= limit < 10**9):
        raise BadRequest("key limit should be null or an int >= 0")
    if not isinstance(reason, str):
        raise BadRequest("key reason should be of type str")
    return {"state": state, "limit": limit, "reason": reason[:500], **_window(body)}


def _window(body: dict[str, Any]) -> dict[str, str]:
    """When maintenance begins and ends, in UTC; nothing for none."""
    times: dict[str, str] = {}
    for name in ("starts", "ends"):
        text = body.get(name) or ""
        if not isinstance(text, str):
            raise BadRequest(f"key {name} should be of type str")
        try:
            times[name] = timestamp(utc(text)) if text else ""
        except ValueError:
            raise BadRequest(f"key {name} should be a time in UTC such as 2026-02-01T06:00") from None
    starts, ends = times["starts"], times["ends"]
    if not starts and not ends:
        return {}
    if not starts or not ends or ends <= starts:
        raise BadRequest("key ends should be a time after starts; maintenance needs both")
    return times


def utc(text: str) -> datetime:
    """A time in UTC, as they are written everywhere here. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


async def expire(ctx: Context) -> int:
    """Take out pilots that fell silent, and mark grids that did; how many. None soon after an outage."""
    if (await outages.heard_for(ctx)).total_seconds() < SILENT_PILOT_SECONDS:
        return 0
    found = ctx.db.pilots.find(_silent_pilots(), {"pilot_id": 1}).limit(1000)
    ids = [pilot["pilot_id"] async for pilot in found]
    for pilot_id in ids:
        await pilots.expire(ctx, pilot_id)
    marked = await ctx.db.grids.update_many(_silent_grids(), {"$set": {"alive": False}})
    return len(ids) + int(marked.modified_count)


async def anybody_silent(ctx: Context) -> bool:
    """Whether `expire` may find somebody."""
    return (await ctx.db.pilots.find_one(_silent_pilots(), {"_id": 1}) is not None
            or await ctx.db.grids.find_one(_silent_grids(), {"_id": 1}) is not None)


def _silent_pilots() -> Document:
    return {"beats": True, "last_update": {"$lt": _ago(SILENT_PILOT_SECONDS)}}


def _silent_grids() -> Document:
    return {"alive": True, "last_update": {"$lt": _ago(SILENT_GRID_SECONDS)}}


def _ago(seconds: float) -> str:
    return timestamp(now() - timedelta(seconds=seconds))


SERVICES = [Service("expire silent pilots", lambda ctx: ctx.settings.services.repair_seconds, expire,
                    needed=anybody_silent)]
