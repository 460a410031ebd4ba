"""The journal: what each rule did about which row, and what came of it.

A firing is named by rule and row, so there is one at most. It takes one of the rule's places of the day when
it is written, in the same write: so a limit holds whoever else fires and wherever a crash falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.rest.context import Context
from server.rules.decisions import Event, Rule, day_of, firing_key, limit_text
from server.store.database import Index

__all__ = ["DONE", "DUE", "FAILED", "INDEXES", "LEASE", "LIMITED", "MOST_TRIES", "SKIPPED", "add", "claim",
           "counted", "end", "event_of", "listed", "note", "postpone",
           "shown"]

DUE, DONE, FAILED, SKIPPED, LIMITED = "due", "done", "failed", "skipped", "limited"
LEASE = 60.0  # seconds
MOST_TRIES = 8
LIMITED_DAYS = 90  # what a limit left out is kept: there may be any number; what was done stays
_LONGEST_PAUSE = 3600.0  # seconds before another try

INDEXES = [
    Index("rule_firings", "waiting", [("is_done", 1), ("lease", 1)]),
    Index("rule_firings", "rule", [("rule", 1), ("at", -1)]),
    Index("rule_firings", "day", [("rule", 1), ("day", 1)]),
    Index("rule_firings", "place", [("place", 1)], unique=True, options={"sparse": True}),
    Index("rule_firings", "expires", [("expires", 1)], options={"expireAfterSeconds": 0}),
]


async def note(ctx: Context, rule: str, action: str, event: Event, result: Mapping[str, Any]) -> None:
    """Write down what was done already by a rule that is kept elsewhere; once for rule and row."""
    row = {**_base(f"{rule}|{event.kind}:{event.row}", rule, action, event), "state": DONE, "reason": "",
           "result": dict(result), "is_done": True}
    await _insert(ctx, row)


async def add(ctx: Context, rule: Rule, event: Event) -> bool:
    """A rule is to act for an event, or its limit of the day is reached; False when that was known."""
    day, key = day_of(event), firing_key(rule, event)
    base = _base(key, rule.key, rule.action, event)
    taken = {"rule": rule.key, "day": day, "place": {"$exists": True}}
    used = await ctx.db.rule_firings.count_documents(taken)
    for place in range(used, rule.daily_limit):
        row = {**base, "place": f"{rule.key}|{day}|{place}", "state": DUE, "reason": "", "is_done": False,
               "lease": now()}
        if await _insert(ctx, row):
            return True
        if await ctx.db.rule_firings.find_one({"_id": key}, {"_id": 1}) is not None:
            return False  # else another server took the place just now
    return await _insert(ctx, {**base, "state": LIMITED, "reason": limit_text(rule), "is_done": True,
                               "expires": now() + timedelta(days=LIMITED_DAYS)})


def _base(key: str, rule: str, action: str, event: Event) -> dict[str, Any]:
    """What every row of the journal says."""
    return {"_id": key, "rule": rule, "action": action, "kind": event.kind, "row": event.row,
            "event": event.key, "facts": dict(event.facts), "at": event.at, "day": day_of(event),
            "result": {}, "tries": 0,
            "group_ids": None if event.group_ids is None else list(event.group_ids),
            "created_at": now(), "modified": now()}


async def _insert(ctx: Context, row: dict[str, Any]) -> bool:
    try:
        await ctx.db.rule_firings.insert_one(row)
    except DuplicateKeyError:
        return False
    return True


async def claim(ctx: Context) -> dict[str, Any] | None:
    """A firing that is to be done, or that somebody left; the oldest first."""
    moment = now()
    row: dict[str, Any] | None = await ctx.db.rule_firings.find_one_and_update(
        {"is_done": False, "lease": {"$lte": moment}},
        {"$set": {"lease": moment + timedelta(seconds=LEASE), "holder": ctx.server_id}, "$inc": {"tries": 1}},
        sort=[("lease", 1)], return_document=ReturnDocument.AFTER)
    return row


async def end(ctx: Context, row: Mapping[str, Any], state: str, reason: str = "",
              result: Mapping[str, Any] | None = None) -> None:
    """How a firing ended."""
    await ctx.db.rule_firings.update_one(
        {"_id": row["_id"], "is_done": False},
        {"$set": {"state": state, "reason": reason, "result": dict(result or {}), "is_done": True,
                  "modified": now()}})


async def postpone(ctx: Context, row: Mapping[str, Any], reason: str) -> None:
    """Try again later, each time after a longer pause; after the last try it has failed."""
    if row["tries"] >= MOST_TRIES:
        await end(ctx, row, FAILED, f"given up after {MOST_TRIES} tries: {reason}")
        return
    pause = min(10.0 * 3 ** (row["tries"] - 1), _LONGEST_PAUSE)
    await ctx.db.rule_firings.update_one(
        {"_id": row["_id"], "is_done": False},
        {"$set": {"lease": now() + timedelta(seconds=pause), "reason": reason, "modified": now()}})


async def listed(ctx: Context, rule: str, limit: int, skip: int = 0) -> list[dict[str, Any]]:
    """What a rule did, the latest first."""
    cursor = ctx.db.rule_firings.find({"rule": rule}, sort=[("at", -1), ("_id", 1)], skip=skip, limit=limit)
    return [dict(row) for row in await cursor.to_list()]


async def counted(ctx: Context, rule: str, day: datetime | None = None) -> int:
    """How many times a rule fired, at all or on one day."""
    query = {"rule": rule, "place": {"$exists": True}}
    return int(await ctx.db.rule_firings.count_documents(
        query | ({} if day is None else {"day": day.date().isoformat()})))


def event_of(row: Mapping[str, Any]) -> Event:
    """The event of a firing."""
    groups = None if row["group_ids"] is None else tuple(row["group_ids"])
    return Event(row["event"], row["kind"], row["row"], row["at"], row["facts"], groups)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A firing as the API shows it."""
    names = ("state", "reason", "at", "kind", "row", "facts", "result", "tries", "modified")
    return {"id": row["_id"], **{name: row[name] for name in names}}
