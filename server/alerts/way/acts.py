"""What people do to an alert: release what is held, dismiss it, withdraw what was told; all on record."""

from __future__ import annotations

import time

from server.alerts.common import alerts, figures, revisions
from server.alerts.common.alerts import Alert, State
from server.alerts.common.revisions import Fate, Revision
from server.alerts.outgoing import notices
from server.alerts.way import publishing
from server.common.errors import BadRequest, Conflict, NotFound
from server.rest.context import Context

__all__ = ["dismiss", "release", "retract", "revision_of"]

MOST_REASON = 2000  # characters


async def release(ctx: Context, alert_id: str, number: int, who: str) -> Alert:
    """Publish a revision that is held, or that nobody was told of. Raises NotFound, Conflict."""
    alert = await alerts.find(ctx, alert_id)
    revision = await revision_of(ctx, alert, number)
    if alert.state in (State.RETRACTED, State.DISMISSED):
        raise Conflict(f"this alert is {alert.state}: nothing more is published of it")
    if revision.facts is None:
        raise Conflict(f"revision {number} has no map that could be published")
    if not publishing.targets_of(ctx, alert):
        raise Conflict("no target is configured for this alert (setting alerts.targets)")
    fields = {"state": Fate.CLEARED, "released_by": who}
    cleared = await revisions.change(ctx, revision, [Fate.HELD, Fate.QUIET], **fields)
    if cleared is None:
        raise Conflict(f"revision {number} is {revision.state}, neither held nor quiet")
    await _note(ctx, alert, who, f"released revision {number}")
    await alerts.change(ctx, alert_id, [State.HELD, State.DONE], state=State.WORKING)
    ctx.signals.notify("alerts")
    return await alerts.find(ctx, alert_id)


async def dismiss(ctx: Context, alert_id: str, reason: str, who: str) -> Alert:
    """Decide that what is held is not published. Raises NotFound, BadRequest, Conflict."""
    alert = await alerts.find(ctx, alert_id)
    text = _reason(reason)
    fields = {"state": State.DISMISSED, "reason": text}
    dismissed = await alerts.change(ctx, alert_id, [State.HELD, State.WORKING], **fields)
    if dismissed is None:
        raise Conflict(f"this alert is {alert.state}: nothing of it is held")
    for revision in await revisions.of_alert(ctx, alert_id):
        await revisions.change(ctx, revision, [Fate.HELD, Fate.WAITING, Fate.SCANNING], state=Fate.DISMISSED)
    await _note(ctx, alert, who, "dismissed", text)
    figures.ended(State.DISMISSED)
    return await alerts.find(ctx, alert_id)


async def retract(ctx: Context, alert_id: str, reason: str, who: str) -> Alert:
    """Withdraw what was told of an alert, from everybody who was told. Raises as `dismiss`."""
    alert = await alerts.find(ctx, alert_id)
    text = _reason(reason)
    if not await notices.of_alert(ctx, alert_id):
        raise Conflict("nothing of this alert was published")
    fields = {"state": State.RETRACTED, "reason": text}
    changed = await alerts.change(ctx, alert_id, [State.WORKING, State.HELD, State.DONE], **fields)
    if changed is None and alert.state is not State.RETRACTED:
        raise Conflict(f"this alert is {alert.state}")
    await publishing.withdraw(ctx, alert, text, who)
    for revision in await revisions.of_alert(ctx, alert_id):
        await revisions.change(ctx, revision, [Fate.HELD, Fate.WAITING, Fate.SCANNING, Fate.CLEARED],
                               state=Fate.DISMISSED)
    if changed is not None:
        await _note(ctx, alert, who, "retracted", text)
        figures.ended(State.RETRACTED)
    return await alerts.find(ctx, alert_id)


async def revision_of(ctx: Context, alert: Alert, number: int) -> Revision:
    """A revision by its number. Raises NotFound."""
    for revision in await revisions.of_alert(ctx, alert.alert_id):
        if revision.number == number:
            return revision
    raise NotFound(f"this alert has no revision {number}")


def _reason(text: str) -> str:
    if not text.strip() or len(text) > MOST_REASON:
        raise BadRequest(f"reason: say why, in at most {MOST_REASON} characters")
    return text.strip()


async def _note(ctx: Context, alert: Alert, who: str, what: str, why: str = "") -> None:
    act = {"who": who, "when": time.time(), "what": what, "why": why}
    await ctx.db.alerts.update_one({"_id": alert.alert_id}, {"$push": {"acts": act}})
