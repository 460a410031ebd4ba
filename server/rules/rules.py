"""Rules at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest, Conflict
from server.rest.context import Context
from server.rules import conditions, kinds
from server.rules.decisions import MOST_LIMIT, Rule
from server.store.database import Index

__all__ = ["INDEXES", "add", "change", "find", "for_event", "key_of", "listed", "remove", "replace_with"]

INDEXES = [
    Index("rules", "event", [("event", 1), ("is_active", 1)]),
    Index("rules", "name", [("action", 1), ("name", 1)], unique=True),
    Index("rules", "group_ids", [("action", 1), ("group_ids", 1)]),
]


def key_of(action: str, number: int) -> str:
    """The name of a rule in the journal."""
    return f"{action}:{number}"


async def add(ctx: Context, rule: Rule) -> Rule:
    """Store a rule; it is for what happens from now on. Raises BadRequest."""
    _check(rule)
    stored = replace(rule, since=now())
    try:
        await ctx.db.rules.insert_one(_row(stored))
    except DuplicateKeyError:
        raise BadRequest(f"name: there is a rule named {rule.name!r} already") from None
    return stored


def _check(rule: Rule) -> None:
    kinds.action(rule.action)
    conditions.check(rule.condition, kinds.kind(rule.event).facts)
    if not 1 <= rule.daily_limit <= MOST_LIMIT:
        raise BadRequest(f"daily_limit: must be from 1 to {MOST_LIMIT}, not {rule.daily_limit}")


async def change(ctx: Context, rule: Rule, *, is_active: bool) -> None:
    """Switch a rule on, for what happens from now on, or off."""
    moment = now()
    since = {"since": moment} if is_active and not rule.is_active else {}
    fields = {"is_active": is_active, "modified": moment, **since}
    await ctx.db.rules.update_one({"_id": rule.key}, {"$set": fields})


async def replace_with(ctx: Context, rule: Rule, seen: datetime) -> None:
    """Make the rule of that key another, for what happens from now on; its number and journal stay.

    `seen` is when the old one was changed last. Raises BadRequest, and Conflict when it was changed since.
    """
    _check(rule)
    row, staying = _row(replace(rule, since=now())), {"_id", "number", "action", "created_at"}
    kept = {name: value for name, value in row.items() if name not in staying}
    try:
        done = await ctx.db.rules.update_one({"_id": rule.key, "modified": seen}, {"$set": kept})
    except DuplicateKeyError:
        raise BadRequest(f"name: there is a rule named {rule.name!r} already") from None
    if not done.matched_count:
        raise Conflict("somebody changed or removed this rule meanwhile: look at it again")


async def remove(ctx: Context, key: str) -> None:
    """Remove a rule. What it has not done yet it will not do; its journal stays."""
    await ctx.db.rules.delete_one({"_id": key})


async def find(ctx: Context, key: str) -> Rule | None:
    """A rule by its key."""
    row = await ctx.db.rules.find_one({"_id": key})
    return None if row is None else _rule(row)


async def listed(ctx: Context, query: Mapping[str, Any]) -> list[Rule]:
    """Rules by a query on their rows, in the order in which they were made."""
    rows = await ctx.db.rules.find(dict(query), sort=[("action", 1), ("number", 1)]).to_list()
    return [_rule(row) for row in rows]


async def for_event(ctx: Context, kind: str) -> list[Rule]:
    """The rules that are asked about an event of a kind."""
    return await listed(ctx, {"event": kind, "is_active": True})


def _row(rule: Rule) -> dict[str, Any]:
    groups = None if rule.group_ids is None else list(rule.group_ids)
    return {"_id": rule.key, "number": rule.number, "action": rule.action, "name": rule.name,
            "event": rule.event, "condition": conditions.shown(rule.condition),
            "settings": dict(rule.settings), "owner_id": rule.owner_id, "group_ids": groups,
            "daily_limit": rule.daily_limit, "since": rule.since, "is_active": rule.is_active,
            "extra": dict(rule.extra), "created_at": rule.since, "modified": rule.since}


def _rule(row: Mapping[str, Any]) -> Rule:
    condition = conditions.stored(row["condition"])
    groups = None if row["group_ids"] is None else tuple(row["group_ids"])
    extra = {**row["extra"], "created_at": row["created_at"], "modified": row["modified"]}
    return Rule(row["_id"], row["action"], row["name"], row["event"], condition, row["settings"],
                row["owner_id"], groups, row["daily_limit"], row["since"], row["is_active"], row["number"],
                extra)
