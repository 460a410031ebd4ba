"""Sky maps that notices of others only link to: fetched, and made the newest map of their event on the desk.

A map comes after its notice, so it is asked for again and again, each time after a longer pause. What is
refused (host, size, a private network) is not asked for again by itself.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from config.settings import Settings
from server.alerts.common import alerts
from server.alerts.common.alerts import Alert, LinkedMap, MapState, State
from server.alerts.way import desk
from server.common.errors import ApiError, BadRequest, NotFound
from server.desk.maps.arrivals import EventBody
from server.rest.context import Context
from server.rest.links import LinkError, LinkRefused, check_link, fetch_link
from server.services.leader import Service

__all__ = ["SERVICES", "again", "fetch_all", "fetch_next", "linked"]

log = logging.getLogger("server.alerts")

MOST_TRIES = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 6 * 3600.0  # seconds
_SPARE = 60.0  # seconds for storing a map
_AT_ONCE = 4


def linked(settings: Settings, url: str) -> LinkedMap | None:
    """What is to be done about a notice's link."""
    if not url:
        return None
    if not settings.alerts.fetch_maps:
        return LinkedMap(url, MapState.OFF, "maps are not fetched (setting alerts.fetch_maps)")
    try:
        check_link(url, settings.alerts.map_hosts)
    except LinkRefused as error:
        return LinkedMap(url, MapState.FAILED, str(error))
    return LinkedMap(url, MapState.WAITING, due=time.time())


async def fetch_all(ctx: Context) -> None:
    """Fetch the maps that are due, some at once."""
    await asyncio.gather(*(_fetch_while_due(ctx) for _ in range(_AT_ONCE)))


async def _fetch_while_due(ctx: Context) -> None:
    while await fetch_next(ctx):
        pass


async def fetch_next(ctx: Context) -> bool:
    """Try the map that is due longest; False when none is."""
    alert = await _claim(ctx)
    if alert is None or alert.linked is None:
        return False
    try:
        fields = await _fetched(ctx, alert, alert.linked)
    except LinkRefused as error:
        fields = {"state": MapState.FAILED, "reason": str(error)}
    except (LinkError, BadRequest) as error:
        fields = _later(alert.linked, error.reason if isinstance(error, ApiError) else str(error))
    except PyMongoError:
        raise  # it is due again
    except Exception as error:  # what one host sends stands in no other map's way, and is not asked for ever
        log.exception("a linked map fails", extra={"action": "alert map", "alert": alert.alert_id})
        fields = _later(alert.linked, f"{type(error).__name__}: see the server's log")
    await _note(ctx, alert, fields)
    return True


async def _claim(ctx: Context) -> Alert | None:
    """The next one, ours for as long as it may take."""
    moment, lease = time.time(), ctx.settings.alerts.map_seconds + _SPARE
    row = await ctx.db.alerts.find_one_and_update(
        {"linked.state": MapState.WAITING.value, "linked.due": {"$lte": moment}},
        {"$set": {"linked.due": moment + lease}, "$inc": {"linked.tries": 1}},
        sort=[("linked.due", 1)], return_document=ReturnDocument.AFTER)
    return None if row is None else await alerts.find(ctx, row["_id"])


async def _fetched(ctx: Context, alert: Alert, link: LinkedMap) -> dict[str, Any]:
    """Fetch a map and give it to the desk. Raises LinkError, BadRequest."""
    if await _is_superseded(ctx, alert):
        return {"state": MapState.SUPERSEDED, "reason": "a later notice of this event came before its map"}
    settings = ctx.settings.alerts
    data = await fetch_link(link.url, settings.map_hosts, settings.map_max_mb << 20, settings.map_seconds)
    name = (alert.title or alert.alert_id).replace("/", "_")
    body = EventBody(dateobs=alert.dateobs, localization_name=name, skymap=base64.b64encode(data).decode())
    told = await desk.tell(ctx, alert.alert_id, body)
    return {"state": MapState.KEPT, "reason": "", "localization": told["localization_name"]}


async def _is_superseded(ctx: Context, alert: Alert) -> bool:
    """Whether a later notice told of the same event: then an older map must not be its newest one."""
    later = {"dateobs": alert.dateobs, "received": {"$gt": alert.received}, "state": State.TOLD.value}
    return await ctx.db.alerts.find_one(later, {"_id": 1}) is not None


def _later(link: LinkedMap, reason: str) -> dict[str, Any]:
    if link.tries >= MOST_TRIES:
        return {"state": MapState.FAILED, "reason": f"given up after {link.tries} tries: {reason}"}
    pause = min(_FIRST_PAUSE * 3 ** (link.tries - 1), _LONGEST_PAUSE)
    return {"due": time.time() + pause, "reason": reason}


async def _note(ctx: Context, alert: Alert, fields: dict[str, Any]) -> None:
    """Set what became of a map, unless somebody asked for it anew meanwhile."""
    assert alert.linked is not None
    localization = fields.pop("localization", alert.localization)
    changed = {f"linked.{name}": value for name, value in fields.items()}
    await ctx.db.alerts.update_one(
        {"_id": alert.alert_id, "linked.tries": alert.linked.tries, "linked.due": alert.linked.due},
        {"$set": {**changed, "localization": localization}})
    log.info("map of a notice", extra={"action": "alert map", "alert": alert.alert_id,
                                       "state": str(fields.get("state", MapState.WAITING)),
                                       "reason": fields.get("reason", "")})


async def again(ctx: Context, alert_id: str) -> Alert:
    """Ask for a map anew, from now on. Raises NotFound, BadRequest."""
    alert = await alerts.find(ctx, alert_id)
    if alert.linked is None:
        raise NotFound("this alert links to no map")
    fresh = linked(ctx.settings, alert.linked.url)
    if fresh is None or fresh.state is not MapState.WAITING:
        raise BadRequest(fresh.reason if fresh else "this alert links to no map")
    await alerts.change(ctx, alert_id, list(State), linked=fresh)
    ctx.signals.notify("alert links")
    return await alerts.find(ctx, alert_id)


SERVICES = [Service("alert links", lambda ctx: 10.0, fetch_all, signal="alert links")]
