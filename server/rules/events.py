"""The log of what happened: rows are only added, and found again by the engine until it matched them.

A row that is an event is written with ``unlogged: True``. After the write it is logged and the mark taken
away; the engine does the same for rows whose mark is still there, which makes up for a crash in between.
Logging a row twice is logging it once: an event is named by what it tells.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError, PyMongoError

from iceprod.ids import now
from server.rest.context import Context
from server.rules.decisions import EPOCH, Event
from server.rules.kinds import Kind, kinds
from server.store.database import Index

__all__ = ["INDEXES", "KEPT_DAYS", "SIGNAL", "append", "at", "log_row", "made", "matched", "of_kind", "sweep",
           "unlogged", "waiting"]

log = logging.getLogger("server.rules")

KEPT_DAYS = 90  # after they were matched
SIGNAL = "rules"

INDEXES = [
    Index("rule_events", "waiting", [("is_matched", 1), ("at", 1)]),
    Index("rule_events", "kind", [("kind", 1), ("at", -1)]),
    Index("rule_events", "expires", [("expires", 1)], options={"expireAfterSeconds": 0}),
]


def at(seconds: float) -> datetime:
    """A time in seconds since 1970 as events have it."""
    return EPOCH + timedelta(seconds=seconds)


def made(kind: str, row: object, at: datetime, facts: Mapping[str, Any],
         group_ids: list[int] | None = None) -> Event:
    """An event, named by what it tells."""
    groups = None if group_ids is None else tuple(group_ids)
    told = msgspec.json.encode([kind, str(row), facts, groups], order="deterministic")
    return Event(hashlib.sha256(told).hexdigest()[:32], kind, str(row), at, dict(facts), groups)


def unlogged(collection: str) -> Index:
    """The index by which rows that are to be logged are found."""
    return Index(collection, "unlogged", [("unlogged", 1)], options={"sparse": True})


async def append(ctx: Context, event: Event) -> None:
    """Log an event; once, however often it is told."""
    row = {"_id": event.key, "kind": event.kind, "row": event.row, "at": event.at, "facts": dict(event.facts),
           "group_ids": None if event.group_ids is None else list(event.group_ids), "is_matched": False}
    try:
        await ctx.db.rule_events.insert_one(row)
    except DuplicateKeyError:
        return
    ctx.signals.notify(SIGNAL)


async def log_row(ctx: Context, kind: Kind, row: Mapping[str, Any]) -> None:
    """Log a row that was just written, and take its mark away unless it was changed meanwhile."""
    assert kind.source is not None
    await append(ctx, await kind.source.read(ctx, row))
    version = kind.source.version
    await ctx.db[kind.source.collection].update_one(
        {"_id": row["_id"], version: row[version]}, {"$unset": {"unlogged": ""}})


async def sweep(ctx: Context) -> int:
    """Log the rows that were written but not logged; how many."""
    count = 0
    for kind in kinds():
        if kind.source is not None:
            async for row in ctx.db[kind.source.collection].find({"unlogged": True}):
                count += await _log_left_row(ctx, kind, row)
    return count


async def _log_left_row(ctx: Context, kind: Kind, row: Mapping[str, Any]) -> bool:
    try:
        await log_row(ctx, kind, row)
    except PyMongoError:
        raise
    except Exception:  # one row that cannot be read must not stop all others
        log.exception("a row could not be logged",
                      extra={"action": "rule", "kind": kind.name, "row": row["_id"]})
        return False
    return True


async def waiting(ctx: Context, limit: int) -> list[Event]:
    """Events that were not matched yet, the oldest first."""
    oldest = [("at", 1), ("_id", 1)]
    rows = await ctx.db.rule_events.find({"is_matched": False}, sort=oldest, limit=limit).to_list()
    return [_event(row) for row in rows]


async def matched(ctx: Context, event: Event) -> None:
    """An event has all its firings: from now on it is history."""
    change = {"is_matched": True, "expires": now() + timedelta(days=KEPT_DAYS)}
    await ctx.db.rule_events.update_one({"_id": event.key}, {"$set": change})


async def of_kind(ctx: Context, kind: str, since: datetime, limit: int) -> list[Event]:
    """The newest events of a kind since some time, the oldest of them first."""
    query = {"kind": kind, "at": {"$gte": since}}
    rows = await ctx.db.rule_events.find(query, sort=[("at", -1), ("_id", -1)], limit=limit).to_list()
    return [_event(row) for row in reversed(rows)]


def _event(row: Mapping[str, Any]) -> Event:
    groups = None if row["group_ids"] is None else tuple(row["group_ids"])
    return Event(row["_id"], row["kind"], row["row"], row["at"], row["facts"], groups)
