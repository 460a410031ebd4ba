"""Notes: one for each rule and happening, from the moment that it happened until the log forgets it.

A note is named by rule and event, so there is one at most. While its `parcel` is empty it waits; then it is
part of the message of that key.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.notifications import filters, owners, rules, topics
from server.notifications.rules import Rule
from server.notifications.topics import Topic
from server.rest.context import Context
from server.rules.decisions import EPOCH, Event
from server.store.database import Index

__all__ = ["INDEXES", "Note", "assign", "hear", "of_message", "waiting", "waiting_counts", "waiting_rules"]

INDEXES = [
    Index("notification_notes", "waiting", [("parcel", 1), ("rule_id", 1), ("created", 1), ("_id", 1)]),
    Index("notification_notes", "expires", [("expires", 1)], options={"expireAfterSeconds": 0}),
]


class Note(msgspec.Struct, kw_only=True):
    """What one rule tells of one happening; times in seconds since 1970."""

    note_id: str
    rule_id: str
    username: str
    event: str
    title: str
    text: str
    path: str  # of the page about it
    at: float  # when it happened
    created: float
    facts: dict[str, Any]
    parcel: str = ""


async def hear(ctx: Context, event: Event) -> None:
    """Write the notes of an event. May be repeated."""
    for topic in topics.of_event(event.kind, event.facts):
        for rule in await rules.for_topic(ctx, topic.name):
            if not await _why_not(ctx, rule, topic, event):
                await _put(ctx, rule, topic, event)


async def _why_not(ctx: Context, rule: Rule, topic: Topic, event: Event) -> str:
    if _seconds(event) < math.floor(1000 * rule.since) / 1000:  # a date of the database has milliseconds
        return "the rule was made later"
    facts = dict(event.facts)
    title = topic.told(facts).title
    if reason := filters.why_not(rule.filters, facts, title, rule.username, topic.owner):
        return reason
    owner = await owners.find(ctx, rule.username)
    if owner is None:
        return f"{rule.username} was never here"
    if reason := await owners.why_asleep(ctx, owner):
        return reason
    return "" if await owners.may_hear(ctx, owner, topic, facts) else f"it is for {topic.audience.value}"


def _seconds(event: Event) -> float:
    return (event.at - EPOCH).total_seconds()


async def _put(ctx: Context, rule: Rule, topic: Topic, event: Event) -> None:
    told = topic.told(event.facts)
    row = {"_id": f"{rule.rule_id}.{event.key}", "rule_id": rule.rule_id, "username": rule.username,
           "event": topic.name, "title": told.title, "text": told.text, "path": told.path,
           "at": _seconds(event), "created": time.time(), "parcel": "",
           "facts": {name: value for name, value in event.facts.items() if name != "watchers"},
           "expires": now() + timedelta(days=ctx.settings.notify.kept_days)}
    with contextlib.suppress(DuplicateKeyError):
        await ctx.db.notification_notes.insert_one(row)


async def waiting_rules(ctx: Context) -> list[str]:
    """The rules that have something to tell."""
    return list(await ctx.db.notification_notes.distinct("rule_id", {"parcel": ""}))


async def waiting(ctx: Context, rule_id: str, limit: int) -> list[Note]:
    """What a rule has to tell, the oldest first."""
    cursor = ctx.db.notification_notes.find({"parcel": "", "rule_id": rule_id})
    return [_note(row) async for row in cursor.sort([("created", 1), ("_id", 1)]).limit(limit)]


async def waiting_counts(ctx: Context, rule_ids: Iterable[str]) -> dict[str, int]:
    """How much rules have to tell."""
    found = await ctx.db.notification_notes.aggregate([
        {"$match": {"parcel": "", "rule_id": {"$in": sorted(rule_ids)}}},
        {"$group": {"_id": "$rule_id", "count": {"$sum": 1}}}])
    return {row["_id"]: row["count"] async for row in found}


async def assign(ctx: Context, note_ids: Sequence[str], parcel: str) -> None:
    """Notes are part of a message from now on. May be repeated."""
    await ctx.db.notification_notes.update_many(
        {"_id": {"$in": list(note_ids)}}, {"$set": {"parcel": parcel}})


async def of_message(ctx: Context, note_ids: Sequence[str]) -> list[Note]:
    """The notes of a message, the oldest first, as far as they are still there."""
    cursor = ctx.db.notification_notes.find({"_id": {"$in": list(note_ids)}})
    return [_note(row) async for row in cursor.sort([("at", 1), ("_id", 1)])]


def _note(row: Mapping[str, Any]) -> Note:
    return msgspec.convert({**row, "note_id": row["_id"]}, Note)
