"""The outbox: one row for each notice and target, sent at least once, in the order of an event's notices.

A row's id is the key that the target gets. It is claimed before it is sent and marked after; a crash in
between sends it again under the same key, which receivers (and files of the same name) know as the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from server.alerts.common import figures
from server.alerts.outgoing import notices
from server.alerts.outgoing.notices import Notice, sent_document
from server.alerts.outgoing.targets import Parcel, TargetError, send
from server.common.errors import ApiError, NotFound
from server.rest.context import Context
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "SERVICES", "STATES", "add", "again", "deliver", "first_sent", "listed", "standings",
           "tell"]

log = logging.getLogger("server.alerts")

INDEXES = [
    Index("alert_outbox", "due", [("state", 1), ("target", 1), ("due", 1)]),
    Index("alert_outbox", "notice", [("notice_id", 1)]),
    Index("alert_outbox", "order", [("scope", 1), ("target", 1), ("record_number", 1)]),
    Index("alert_outbox", "alert", [("alert_id", 1), ("sent", 1)]),
]

WAITING, SENDING, SENT, DEAD = "waiting", "sending", "sent", "dead"
STATES = (WAITING, SENDING, SENT, DEAD)
LEASE = 45.0  # seconds; longer than any try takes
LONGEST_PAUSE = 600.0


async def add(ctx: Context, notice: Notice, targets: Iterable[str]) -> None:
    """Queue a notice for targets; what is queued already stays as it is."""
    for target in targets:
        await _put(ctx, f"{notice.notice_id}.{target}", target, notice_id=notice.notice_id,
                   scope=notice.scope, alert_id=notice.alert_id, record_number=notice.record_number, text="")
    ctx.signals.notify("alert outbox")


async def tell(ctx: Context, key: str, alert_id: str, title: str, text: str) -> None:
    """Tell the targets that hear of held alerts something, once for a key."""
    for target, settings in ctx.settings.alerts.targets.items():
        if settings.sends_held:
            await _put(ctx, f"{key}.{target}", target, notice_id="", scope=key, alert_id=alert_id,
                       record_number=0, text=text, title=title)
    ctx.signals.notify("alert outbox")


async def _put(ctx: Context, key: str, target: str, **fields: Any) -> None:
    row = {"_id": key, "target": target, "state": WAITING, "due": time.time(), "tries": 0, "outcome": "",
           "created": time.time(), "sent": 0.0, **fields}
    with contextlib.suppress(DuplicateKeyError):
        await ctx.db.alert_outbox.insert_one(row)


async def deliver(ctx: Context) -> None:
    """Send what is due: every target in its own time, each one notice after the other."""
    waiting = {"state": {"$in": [WAITING, SENDING]}, "due": {"$lte": time.time()}}
    names = await ctx.db.alert_outbox.distinct("target", waiting)
    await asyncio.gather(*(_deliver_to(ctx, name) for name in names))


async def _deliver_to(ctx: Context, target: str) -> None:
    while (row := await _claim(ctx, target)) is not None:
        await _try(ctx, row)


async def _claim(ctx: Context, target: str) -> dict[str, Any] | None:
    """The next row of a target, ours for a while; later notices of an event wait for the earlier ones."""
    due = {"target": target, "state": {"$in": [WAITING, SENDING]}, "due": {"$lte": time.time()}}
    async for row in ctx.db.alert_outbox.find(due).sort([("created", 1), ("record_number", 1)]).limit(50):
        before = {"scope": row["scope"], "target": target, "state": {"$in": [WAITING, SENDING]},
                  "record_number": {"$lt": row["record_number"]}}
        if await ctx.db.alert_outbox.find_one(before, {"_id": 1}) is None:
            mine = {"$set": {"state": SENDING, "due": time.time() + LEASE}, "$inc": {"tries": 1}}
            claimed = await ctx.db.alert_outbox.find_one_and_update(
                {"_id": row["_id"], "state": row["state"], "due": row["due"]}, mine,
                return_document=ReturnDocument.AFTER)
            if claimed is not None:
                return dict(claimed)
    return None


async def _try(ctx: Context, row: dict[str, Any]) -> None:
    target = ctx.settings.alerts.targets.get(row["target"])
    if target is None:
        await _settle(ctx, row, DEAD, "this target is not configured any more")
        return
    try:
        outcome = await send(ctx, row["target"], target, await _parcel(ctx, row))
    except (TargetError, ApiError) as error:
        await _failed(ctx, row, str(error))
        return
    await _settle(ctx, row, SENT, outcome, sent=time.time())


async def _failed(ctx: Context, row: dict[str, Any], reason: str) -> None:
    settings = ctx.settings.alerts
    if row["tries"] >= settings.tries:
        await _settle(ctx, row, DEAD, reason)
        return
    pause = min(settings.retry_seconds * 2 ** min(row["tries"] - 1, 20), LONGEST_PAUSE)
    await _settle(ctx, row, WAITING, reason, due=time.time() + pause)


async def _settle(ctx: Context, row: dict[str, Any], state: str, outcome: str, **fields: Any) -> None:
    await ctx.db.alert_outbox.update_one(
        {"_id": row["_id"], "state": SENDING, "due": row["due"]},
        {"$set": {"state": state, "outcome": outcome, **fields}})
    figures.sent({WAITING: "tried"}.get(state, state))
    log.info("notice", extra={
        "action": "alert notice", "key": row["_id"], "state": state, "outcome": outcome})
    if state == SENT:
        ctx.signals.notify("alerts")


async def _parcel(ctx: Context, row: dict[str, Any]) -> Parcel:
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


async def again(ctx: Context, key: str) -> None:
    """Try a dead letter anew. Raises NotFound."""
    row = await ctx.db.alert_outbox.find_one_and_update(
        {"_id": key, "state": DEAD}, {"$set": {"state": WAITING, "due": time.time(), "tries": 0}})
    if row is None:
        raise NotFound("there is no such dead letter")
    ctx.signals.notify("alert outbox")


async def listed(ctx: Context, state: str = "", alert_id: str = "", limit: int = 200) -> list[dict[str, Any]]:
    """Rows, the latest first."""
    query = {name: value for name, value in (("state", state), ("alert_id", alert_id)) if value}
    cursor = ctx.db.alert_outbox.find(query).sort([("created", -1)]).limit(limit)
    return [{"key": row.pop("_id"), **row} async for row in cursor]


async def first_sent(ctx: Context, alert_id: str) -> float | None:
    """When a first target took a notice of an alert, seconds since 1970; None while none did."""
    sent = {"alert_id": alert_id, "state": SENT, "notice_id": {"$ne": ""}}
    async for row in ctx.db.alert_outbox.find(sent, {"sent": 1}).sort([("sent", 1)]).limit(1):
        return float(row["sent"])
    return None


async def standings(ctx: Context) -> list[dict[str, Any]]:
    """Every configured target with the number of its deliveries by state; secrets stay where they are."""
    groups = await ctx.db.alert_outbox.aggregate([
        {"$group": {"_id": {"target": "$target", "state": "$state"}, "count": {"$sum": 1}}}])
    counted = {(row["_id"]["target"], row["_id"]["state"]): row["count"] async for row in groups}
    return [{"name": name, "kind": target.kind, "address": target.address, "public": target.public,
             "sends_held": target.sends_held, **{state: counted.get((name, state), 0) for state in STATES}}
            for name, target in ctx.settings.alerts.targets.items()]


SERVICES = [Service("alert outbox", lambda ctx: 2.0, deliver, signal="alert outbox")]
