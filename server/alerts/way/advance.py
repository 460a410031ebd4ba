"""Going on with every open alert, as far as it can be gone on with now.

Each step is a change that holds only in the state before it, so this may stop anywhere, be repeated, and run
on several servers; a lease keeps it to one at a time, which spares work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.alerts.common import alerts, figures, revisions
from server.alerts.common.alerts import Alert, State
from server.alerts.common.revisions import Fate, Revision
from server.alerts.outgoing import outbox
from server.alerts.rules import gate
from server.alerts.way import publishing, scanning
from server.alerts.way.arriving import decide
from server.alerts.way.scanning import Ended
from server.common.errors import ApiError, BadRequest
from server.rest.context import Context
from server.services.leader import Service, hold_lease

__all__ = ["SERVICES", "advance", "advance_all"]

log = logging.getLogger("server.alerts")

LEASE = 10.0  # seconds
LOOK = 2.0  # seconds between looks at scans whose end another server process noticed
UNPUBLISHED = 600.0  # seconds: an alert whose first notice is on its way for longer is no longer timed
_locks: WeakKeyDictionary[AsyncDatabase, asyncio.Lock] = WeakKeyDictionary()


async def advance_all(ctx: Context) -> bool:
    """Go on with all open alerts, unless another process does; one that fails stands in no other's way."""
    async with _locks.setdefault(ctx.db, asyncio.Lock()):
        for alert_id in await alerts.undecided(ctx):
            if not await hold_lease(ctx, "alerts", LEASE):
                return False
            try:
                await advance(ctx, alert_id)
            except ApiError as error:
                log.warning("alert waits", extra={"action": "alert", "alert": alert_id,
                                                  "reason": error.reason})
            except Exception:
                log.exception("alert fails", extra={"action": "alert", "alert": alert_id})
        await _note_published(ctx)
    return True


async def with_maps(ctx: Context) -> None:
    """Go on with all open alerts, for there may be a map: here, or where that is done just now."""
    if not await advance_all(ctx):
        ctx.signals.tell("alerts")


async def advance(ctx: Context, alert_id: str) -> None:
    """Go on with one alert."""
    alert = await alerts.find(ctx, alert_id)
    if alert.state is State.RECEIVED:
        alert = await decide(ctx, alert)
    if alert.state is State.WORKING:
        found = await revisions.of_alert(ctx, alert_id)
        for revision in found:
            await _go_on(ctx, alert, revision, found)
            found = await revisions.of_alert(ctx, alert_id)
            if not found[revision.number - 1].is_over:
                return
        await _settle(ctx, alert, found)


async def _go_on(ctx: Context, alert: Alert, revision: Revision, known: list[Revision]) -> None:
    if revision.state is Fate.WAITING:
        await _begin(ctx, alert, revision)
    elif revision.state is Fate.SCANNING:
        await _follow(ctx, alert, revision, known)
    elif revision.state is Fate.CLEARED:
        await publishing.publish(ctx, alert, revision)


async def _begin(ctx: Context, alert: Alert, revision: Revision) -> None:
    try:
        await scanning.begin(ctx, alert, revision)
    except BadRequest as error:  # it would be so at every other try
        await _hold(ctx, alert, revision, f"it cannot be scanned: {error.reason}")


async def _follow(ctx: Context, alert: Alert, revision: Revision, known: list[Revision]) -> None:
    """Note how far a scan is; judge its map when there is one."""
    await _note_times(ctx, alert, revision)
    try:
        finished = await scanning.ended(ctx, revision.scan_id)
        if finished is None:
            await _warn_if_late(ctx, alert, revision)
            return
        facts = await scanning.facts_of(ctx, revision.scan_id)
    except Ended as end:
        await _hold(ctx, alert, revision, f"there is no map: {end}")
        return
    await _note_time(ctx, alert, "final_map", finished)
    earlier = [one.facts for one in known if one.number < revision.number and one.facts]
    checks = gate.judge(alert.gate, facts, alert.online, earlier)
    fields = {"facts": facts, "checks": checks, "ended": finished}
    if not revision.step.publish:
        await revisions.change(ctx, revision, [Fate.SCANNING], state=Fate.QUIET, **fields,
                               reason="the rule does not publish it")
    elif not gate.passed(checks):
        reason = "; ".join(f"{check.name}: {check.text}" for check in checks if not check.passed)
        await _hold(ctx, alert, revision, reason, **fields)
    elif not publishing.targets_of(ctx, alert):
        await revisions.change(ctx, revision, [Fate.SCANNING], state=Fate.QUIET, **fields,
                               reason="no target is configured for it")
    else:
        cleared = await revisions.change(ctx, revision, [Fate.SCANNING], state=Fate.CLEARED,
                                         cleared=time.time(), **fields)
        if cleared is not None:
            await publishing.publish(ctx, alert, cleared)


async def _hold(ctx: Context, alert: Alert, revision: Revision, reason: str, **fields: object) -> None:
    """A person has to look at it."""
    key = f"{alert.alert_id}.{revision.number}.held"
    text = (f"{alert.title} ({alert.stream}), revision {revision.number} by {revision.step.reco} waits for a "
            f"person: {reason}\n\n{_page(ctx, alert)}\n")
    await outbox.tell(ctx, key, alert.alert_id, f"held: {alert.title}", text)
    await revisions.change(ctx, revision, [Fate.WAITING, Fate.SCANNING], state=Fate.HELD, reason=reason,
                           unlogged=True, **{"ended": time.time(), **fields})


async def _warn_if_late(ctx: Context, alert: Alert, revision: Revision) -> None:
    if time.time() - revision.begun > revision.step.deadline_seconds:
        text = (f"{alert.title} ({alert.stream}) has no map by {revision.step.reco} after "
                f"{revision.step.deadline_seconds:g} s; its scan goes on.\n\n{_page(ctx, alert)}\n")
        await outbox.tell(ctx, f"{alert.alert_id}.{revision.number}.late", alert.alert_id,
                          f"late: {alert.title}", text)


def _page(ctx: Context, alert: Alert) -> str:
    server = ctx.settings.server
    return f"{server.public_url or f'http://{server.host}:{server.port}'}/web/alerts/{alert.alert_id}"


async def _settle(ctx: Context, alert: Alert, found: list[Revision]) -> None:
    """The alert's own state once all its revisions are over."""
    state = State.HELD if any(one.state is Fate.HELD for one in found) else State.DONE
    if await alerts.change(ctx, alert.alert_id, [State.WORKING], state=state) is not None:
        figures.ended(state)


# -- times


async def _note_times(ctx: Context, alert: Alert, revision: Revision) -> None:
    if "first_map" not in alert.times:
        for step, moment in (await scanning.moments(ctx, revision.scan_id)).items():
            await _note_time(ctx, alert, step, moment)


async def _note_time(ctx: Context, alert: Alert, step: str, moment: float) -> None:
    """Note when an alert first reached a step."""
    new = {"_id": alert.alert_id, f"times.{step}": {"$exists": False}}
    noted = await ctx.db.alerts.update_one(new, {"$set": {f"times.{step}": moment}})
    if noted.modified_count:
        figures.reached(step, moment - alert.received)


async def _note_published(ctx: Context) -> None:
    """Note when the first notice of an alert reached a first target."""
    waiting = {"event_name": {"$ne": ""}, "times.published": {"$exists": False},
               "received": {"$gt": time.time() - UNPUBLISHED}}
    async for row in ctx.db.alerts.find(waiting, {"_id": 1}):
        moment = await outbox.first_sent(ctx, row["_id"])
        if moment is not None:
            await _note_time(ctx, await alerts.find(ctx, row["_id"]), "published", moment)


SERVICES = [Service("alerts", lambda ctx: LOOK, advance_all, signal="alerts"),
            Service("alert maps", lambda ctx: 10.0, with_maps, signal="results")]
