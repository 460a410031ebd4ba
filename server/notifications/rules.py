"""Rules: who is told of what, where, and how often; as they are stored and shown.

Addresses to post to, and secrets of signatures, are sealed; the API shows them to nobody.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from pymongo.errors import DuplicateKeyError

from iceprod.ids import new_id
from server.common.errors import BadRequest, Conflict, NotFound
from server.notifications import filters, owners, recipients, topics
from server.notifications.filters import Filters
from server.notifications.owners import Owner
from server.production.people import sealing
from server.rest.context import Context
from server.sending import hooks
from server.store.database import Index

__all__ = ["INDEXES", "Change", "Rule", "Wanted", "add", "change", "find", "for_topic", "listed", "read",
           "remove", "shown"]

INDEXES = [
    Index("notification_rules", "owner", [("username", 1), ("created", 1)]),
    Index("notification_rules", "event", [("event", 1), ("is_active", 1)]),
    Index("notification_rules", "place", [("place", 1)], unique=True, options={"sparse": True}),
]

log = logging.getLogger("server.notifications")

MOST_LISTED = 1000
MOST_PAUSE = 1440.0  # minutes
_Name = Annotated[str, msgspec.Meta(max_length=100)]
_Text = Annotated[str, msgspec.Meta(max_length=2000)]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule as somebody asks for it."""

    event: str
    kind: str
    address: _Text
    name: _Name = ""
    secret: _Text = ""  # of a webhook's signatures; empty: one is made
    filters: Filters = Filters()
    pause_minutes: float | None = None
    is_active: bool = True


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of a rule is to be another; what is not given stays."""

    name: _Name | None = None
    address: _Text | None = None
    secret: _Text | None = None  # empty: a new one is made
    filters: Filters | None = None
    pause_minutes: float | None = None
    is_active: bool | None = None


class Rule(msgspec.Struct, kw_only=True):
    """A rule at rest; times in seconds since 1970."""

    rule_id: str
    username: str
    event: str
    kind: str
    name: str
    sealed_address: str
    shown_address: str
    filters: Filters
    pause_minutes: float
    created: float
    since: float  # what happened before is not told
    is_active: bool = True
    sealed_secret: str = ""

    def address(self, ctx: Context) -> str:
        """Where it sends to. Raises SealError."""
        return sealing.unseal(ctx, self.sealed_address)

    def secret(self, ctx: Context) -> str:
        """What its posts are signed with; empty for none. Raises SealError."""
        return sealing.unseal(ctx, self.sealed_secret)


def read(document: Mapping[str, Any], form: type[Any]) -> Any:
    """A `Wanted` or `Change` that came as JSON. Raises BadRequest."""
    try:
        return msgspec.convert(document, form)
    except msgspec.ValidationError as error:
        raise BadRequest(f"rule: {error}") from None


async def add(ctx: Context, owner: Owner, wanted: Wanted) -> tuple[Rule, str]:
    """Store a rule for what happens from now on; the rule, and its secret, which is told this once.

    Raises BadRequest, Conflict.
    """
    topic = topics.find(wanted.event)
    if not await owners.may_hear(ctx, owner, topic):
        raise BadRequest(f"event: {wanted.event} is for {topic.audience.value}")
    filters.check(wanted.filters, topic.filters, topic.name)
    recipients.check(ctx, owner, wanted.kind, wanted.address)
    pause = ctx.settings.notify.pause_minutes if wanted.pause_minutes is None else wanted.pause_minutes
    _check(wanted.name, pause)
    secret, moment = _secret(wanted.kind, wanted.secret), time.time()
    rule = Rule(rule_id=new_id(), username=owner.username, event=topic.name, kind=wanted.kind,
                name=wanted.name or topic.title, sealed_address=sealing.seal(ctx, wanted.address),
                shown_address=recipients.shown(wanted.kind, wanted.address), filters=wanted.filters,
                pause_minutes=pause, created=moment, since=moment, is_active=wanted.is_active,
                sealed_secret=sealing.seal(ctx, secret))
    await _store(ctx, rule)
    return rule, secret


def _check(name: str, pause_minutes: float) -> None:
    if not name.isprintable():
        raise BadRequest("name: printable characters alone")
    if not 0 <= pause_minutes <= MOST_PAUSE:
        raise BadRequest(f"pause_minutes: must be from 0 to {MOST_PAUSE:g}")


def _secret(kind: str, given: str) -> str:
    if kind != recipients.WEBHOOK:
        if given:
            raise BadRequest(f"secret: a rule to {kind} signs nothing")
        return ""
    if given:
        hooks.read_secret(given, "secret")
    return given or hooks.new_secret()


async def _store(ctx: Context, rule: Rule) -> None:
    """Insert a rule at one of its owner's places, so that nobody has more than there are. Raises Conflict."""
    row = msgspec.to_builtins(rule)
    row = {"_id": row.pop("rule_id"), **row}
    most = ctx.settings.notify.rules_per_user
    of_owner = {"username": rule.username, "place": {"$exists": True}}
    taken = {one["place"] async for one in ctx.db.notification_rules.find(of_owner, {"place": 1})}
    for place in (f"{rule.username}|{number}" for number in range(most)):
        if place not in taken:
            try:
                await ctx.db.notification_rules.insert_one({**row, "place": place})
            except DuplicateKeyError:  # taken just now
                continue
            return
    raise Conflict(f"{rule.username} has {most} rules already (setting notify.rules_per_user); remove one")


async def change(ctx: Context, owner: Owner, rule: Rule, wanted: Change) -> tuple[Rule, str]:
    """Change a rule; the rule then, and a new secret. Raises BadRequest."""
    fields: dict[str, Any] = {}
    if wanted.filters is not None:
        filters.check(wanted.filters, topics.find(rule.event).filters, rule.event)
        fields["filters"] = wanted.filters
    _check(wanted.name or "", rule.pause_minutes if wanted.pause_minutes is None else wanted.pause_minutes)
    given = {name: getattr(wanted, name) for name in ("name", "pause_minutes")}
    fields |= {name: value for name, value in given.items() if value is not None}
    if wanted.address is not None:
        recipients.check(ctx, owner, rule.kind, wanted.address)
        fields |= {"sealed_address": sealing.seal(ctx, wanted.address),
                   "shown_address": recipients.shown(rule.kind, wanted.address)}
    secret = "" if wanted.secret is None else _secret(rule.kind, wanted.secret)
    if secret:
        fields["sealed_secret"] = sealing.seal(ctx, secret)
    if wanted.is_active is not None:
        fields |= {"is_active": wanted.is_active}
        fields |= {"since": time.time()} if wanted.is_active and not rule.is_active else {}
    if fields:
        await ctx.db.notification_rules.update_one(
            {"_id": rule.rule_id}, {"$set": msgspec.to_builtins(fields)})
    return msgspec.structs.replace(rule, **fields), secret


async def remove(ctx: Context, rule: Rule) -> None:
    """Remove a rule, and what it has not told yet."""
    await ctx.db.notification_rules.delete_one({"_id": rule.rule_id})
    await ctx.db.notification_notes.delete_many({"rule_id": rule.rule_id, "parcel": ""})


async def find(ctx: Context, rule_id: str, username: str | None = None) -> Rule:
    """A rule; with a name, one of that owner. Raises NotFound."""
    query = {"_id": rule_id, **({} if username is None else {"username": username})}
    row = await ctx.db.notification_rules.find_one(query)
    if row is None:
        raise NotFound("there is no such rule")
    return _rule(row)


async def listed(ctx: Context, username: str | None) -> list[Rule]:
    """The rules of an owner, or (None) all, the oldest first."""
    query = {} if username is None else {"username": username}
    cursor = ctx.db.notification_rules.find(query, sort=[("username", 1), ("created", 1)], limit=MOST_LISTED)
    return [_rule(row) async for row in cursor]


async def for_topic(ctx: Context, topic: str) -> list[Rule]:
    """The rules that are asked about an event."""
    cursor = ctx.db.notification_rules.find({"event": topic, "is_active": True}, sort=[("created", 1)])
    return [rule async for row in cursor if (rule := _readable(row)) is not None]


def _readable(row: Mapping[str, Any]) -> Rule | None:
    """A rule, or None for one of another version: it stops nobody else's."""
    try:
        return _rule(row)
    except msgspec.ValidationError as error:
        log.warning("a rule cannot be read",
                    extra={"action": "notify", "rule": row["_id"], "reason": str(error)})
        return None


def shown(rule: Rule) -> dict[str, Any]:
    """A rule as the API shows it: without what is secret."""
    names = ("rule_id", "username", "name", "event", "kind", "pause_minutes", "is_active", "created")
    return {**{name: getattr(rule, name) for name in names}, "address": rule.shown_address,
            "filters": msgspec.to_builtins(rule.filters), "is_signed": bool(rule.sealed_secret)}


def _rule(row: Mapping[str, Any]) -> Rule:
    return msgspec.convert({**row, "rule_id": row["_id"]}, Rule)
