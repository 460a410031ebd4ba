"""The outbox of the alerts: one row for each notice and target, in the order of an event's notices.

How rows are claimed, tried and given up is the same for all outboxes (`server/sending/outbox.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from server.alerts.common import figures
from server.alerts.outgoing import notices
from server.alerts.outgoing.notices import Notice, sent_document
from server.alerts.outgoing.targets import Parcel, send
from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind
from server.sending.outbox import SENT, STATES, WAITING, Outbox, Patience, Row, SendError
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "SERVICES", "STATES", "add", "again", "deliver", "first_sent", "listed", "standings",
           "tell"]

log = logging.getLogger("server.alerts")

_SIGNAL = "alert outbox"


async def add(ctx: Context, notice: Notice, targets: Iterable[str]) -> None:
    """Queue a notice for targets; what is queued already stays as it is."""
    for target in targets:
        await _OUTBOX.put(ctx, f"{notice.notice_id}.{target}", target, notice_id=notice.notice_id,
                          scope=notice.scope, alert_id=notice.alert_id, record_number=notice.record_number,
                          text="")
    ctx.signals.notify(_SIGNAL)


async def tell(ctx: Context, key: str, alert_id: str, title: str, text: str) -> None:
    """Tell the targets that hear of held alerts something, once for a key."""
    for target, settings in ctx.settings.alerts.targets.items():
        if settings.sends_held:
            await _OUTBOX.put(ctx, f"{key}.{target}", target, notice_id="", scope=key, alert_id=alert_id,
                              text=text, title=title)
    ctx.signals.notify(_SIGNAL)


async def deliver(ctx: Context) -> None:
    """Send what is due."""
    await _OUTBOX.deliver(ctx)


async def again(ctx: Context, key: str) -> None:
    """Try a dead letter anew. Raises NotFound."""
    await _OUTBOX.again(ctx, key)


async def listed(ctx: Context, state: str = "", alert_id: str = "", limit: int = 200) -> list[dict[str, Any]]:
    """Rows, the latest first."""
    query = {name: value for name, value in (("state", state), ("alert_id", alert_id)) if value}
    rows = await _OUTBOX.listed(ctx, query, limit)
    return [{name: value for name, value in row.items() if name != "unlogged"} for row in rows]


async def first_sent(ctx: Context, alert_id: str) -> float | None:
    """When a first target took a notice of an alert, seconds since 1970; None while none did."""
    sent = {"alert_id": alert_id, "state": SENT, "notice_id": {"$ne": ""}}
    async for row in ctx.db.alert_outbox.find(sent, {"sent": 1}).sort([("sent", 1)]).limit(1):
        return float(row["sent"])
    return None


async def standings(ctx: Context) -> list[dict[str, Any]]:
    """Every configured target with the number of its deliveries by state; secrets stay where they are."""
    counted = {(name, state): await ctx.db.alert_outbox.count_documents({"target": name, "state": state})
               for name in ctx.settings.alerts.targets for state in STATES}
    return [{"name": name, "kind": target.kind, "address": target.address, "public": target.public,
             "sends_held": target.sends_held, **{state: counted[name, state] for state in STATES}}
            for name, target in ctx.settings.alerts.targets.items()]


# -- one row


async def _send(ctx: Context, row: Row) -> str:
    target = ctx.settings.alerts.targets.get(row["target"])
    if target is None:
        raise SendError("this target is not configured any more", is_final=True)
    return await send(ctx, row["target"], target, await _parcel(ctx, row))


async def _parcel(ctx: Context, row: Row) -> Parcel:
    """What a row sends. Raises ApiError."""
    if not row["notice_id"]:
        document = msgspec.json.encode({"alert_id": row["alert_id"], "held": row["text"]})
        return Parcel(row["_id"], row["alert_id"], row["_id"], row["title"], document, None, row["text"])
    notice = await notices.find(ctx, row["notice_id"])
    skymap = await notices.skymap_of(ctx, notice) if notice.blob else None
    settings = ctx.settings.alerts
    sent = sent_document(notice, skymap, settings.max_file_kb << 10, settings.map_url)
    title = f"{'TEST: ' if notice.is_test else ''}{notice.event_name}: {notice.alert_type}"
    return Parcel(row["_id"], notice.event_name, notice.file_name, title, msgspec.json.encode(sent), skymap,
                  notice.circular)


def _noted(ctx: Context, row: Mapping[str, Any], state: str, outcome: str) -> None:
    figures.sent({WAITING: "tried"}.get(state, state))
    log.info("notice", extra={
        "action": "alert notice", "key": row["_id"], "state": state, "outcome": outcome})
    if state == SENT:
        ctx.signals.notify("alerts")


def _patience(ctx: Context) -> Patience:
    return Patience(ctx.settings.alerts.tries, ctx.settings.alerts.retry_seconds)


async def _given_up(ctx: Context, row: Mapping[str, Any]) -> Event:
    alert = await ctx.db.alerts.find_one({"_id": row["alert_id"]}, {"title": 1, "stream": 1}) or {}
    facts = {"title": alert.get("title", ""), "stream": alert.get("stream", ""), "alert_id": row["alert_id"],
             "target": row["target"], "reason": row["outcome"], "tried": row["due"]}
    return events.made(DEAD_LETTERS.name, row["_id"], events.at(row["due"]), facts)


DEAD_LETTERS = register_kind(Kind("dead_letter", {
    "title": "which event", "stream": "of the alert", "alert_id": "its alert", "target": "which target",
    "reason": "what the last try came to", "tried": "when, seconds since 1970"},
    Source("alert_outbox", _given_up, version="due")))

_OUTBOX = Outbox("alert_outbox", "target", _SIGNAL, _send, _patience, _noted, dead={"unlogged": True})

INDEXES: list[Index] = [
    *_OUTBOX.indexes(), events.unlogged("alert_outbox"),
    Index("alert_outbox", "notice", [("notice_id", 1)]),
    Index("alert_outbox", "newest", [("created", -1)]),
    Index("alert_outbox", "state", [("state", 1), ("created", -1)]),
    Index("alert_outbox", "target", [("target", 1), ("state", 1)]),
    Index("alert_outbox", "alert", [("alert_id", 1), ("sent", 1)])]

SERVICES = [Service("alert outbox", lambda ctx: 2.0, deliver, signal=_SIGNAL)]
