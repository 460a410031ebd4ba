"""From a cleared revision to queued notices, and the notice that withdraws them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from server.alerts.common import alerts, revisions
from server.alerts.common.alerts import Alert, State
from server.alerts.common.revisions import Fate, Revision
from server.alerts.outgoing import drafts, known_sources, names, notices, outbox, targets
from server.alerts.outgoing.drafts import Draft, Subject
from server.alerts.outgoing.notices import Notice
from server.common.errors import Conflict
from server.rest.context import Context
from server.scans.results import maps

__all__ = ["preview", "publish", "targets_of", "withdraw"]

LIVE_DAYS = 1.0  # an event that is older is told of as archival
_MJD_1970 = 40587.0

Naming = Callable[[Context, str, str, float], Awaitable[str]]


def targets_of(ctx: Context, alert: Alert) -> list[str]:
    """Who is told of an alert."""
    return targets.chosen(ctx.settings.alerts.targets, alert.targets, alert.is_test)


async def publish(ctx: Context, alert: Alert, revision: Revision) -> Notice:
    """Make the notice of a revision and queue it. Every step may have been done before."""
    async def make(number: int) -> Draft:
        return await _draft(ctx, alert, revision, number)

    notice = await notices.keep(
        ctx, f"{alert.alert_id}.{revision.number}", _scope(alert), make, alert_id=alert.alert_id,
        revision=revision.number, is_test=alert.is_test, by=revision.released_by)
    if (await alerts.find(ctx, alert.alert_id)).state is State.RETRACTED:
        return notice  # it is withdrawn before anybody was told
    await outbox.add(ctx, notice, targets_of(ctx, alert))
    if (await alerts.find(ctx, alert.alert_id)).state is State.RETRACTED:
        await _withdraw_late(ctx, alert)
    await alerts.change(ctx, alert.alert_id, list(State), event_name=notice.event_name)
    await revisions.change(ctx, revision, [Fate.CLEARED], state=Fate.PUBLISHED, notice_id=notice.notice_id)
    return notice


async def preview(ctx: Context, alert: Alert, revision: Revision) -> Draft:
    """What the notice of a revision would say now. Raises NotFound, Conflict."""
    number = await notices.count_of(ctx, _scope(alert)) + 1
    return await _draft(ctx, alert, revision, number, names.known)


async def _draft(ctx: Context, alert: Alert, revision: Revision, number: int,
                 naming: Naming = names.name_of) -> Draft:
    if revision.facts is None:
        raise Conflict(f"revision {revision.number} has no map yet")
    result, _ = await maps.latest(ctx, revision.scan_id)
    subject = await _subject(ctx, alert, "initial" if number == 1 else "update", number, naming)
    known = known_sources.lines(await known_sources.near(ctx, result))
    return await asyncio.to_thread(drafts.of_map, result, subject, known)


async def withdraw(ctx: Context, alert: Alert, reason: str, by: str) -> Notice:
    """Make and queue the retraction of what was told of an alert."""
    async def make(number: int) -> Draft:
        return drafts.of_retraction(await _subject(ctx, alert, "retraction", number), reason)

    notice = await notices.keep(ctx, f"{alert.alert_id}.retraction", _scope(alert), make,
                                alert_id=alert.alert_id, revision=0, is_test=alert.is_test, by=by)
    await outbox.add(ctx, notice, await _told(ctx, alert))
    return notice


async def _withdraw_late(ctx: Context, alert: Alert) -> None:
    """Somebody retracted the alert while a notice was queued, and could not know who would be told of it."""
    for notice in await notices.of_alert(ctx, alert.alert_id):
        if not notice.revision:
            await outbox.add(ctx, notice, await _told(ctx, alert))


async def _told(ctx: Context, alert: Alert) -> list[str]:
    """The targets that were told of an alert, or will be."""
    rows = await outbox.listed(ctx, alert_id=alert.alert_id)
    return sorted({row["target"] for row in rows if row["notice_id"]})


def _scope(alert: Alert) -> str:
    """What notices are counted for: the event, apart for tests and each rehearsal."""
    return ":".join(filter(None, [alert.replay, "test" if alert.is_test else "", alert.event_key]))


async def _subject(ctx: Context, alert: Alert, alert_type: str, number: int,
                   naming: Naming = names.name_of) -> Subject:
    settings = ctx.settings.alerts
    prefix = f"TEST-{settings.mission}" if alert.is_test else settings.mission
    name = await naming(ctx, _scope(alert), prefix, alert.mjd)
    today = time.time() / 86400 + _MJD_1970
    return Subject(name, alert.event_key, alert_type, number, settings.mission, settings.instrument,
                   alert.stream, alert.is_test, today - alert.mjd < LIVE_DAYS, alert.extras, alert.mjd)
