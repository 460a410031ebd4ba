"""What all standing requests have in common: whose they are, in whose name they act, how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from iceprod.ids import now
from server.common.errors import BadRequest, Forbidden
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.errors import Unauthorized
from server.desk.common.ids import next_id
from server.desk.observing import allocations
from server.desk.people import people
from server.rest.context import Context
from server.rules import conditions, firings, rules
from server.rules.conditions import Condition
from server.rules.decisions import DEFAULT_LIMIT, Rule

__all__ = ["Draft", "add", "allocation_of", "changeable", "check_right", "find", "find_key", "listed",
           "on_allocation", "owner", "remove", "replace_with", "shown"]

COUNTED = "rules"  # the counter of ids, one for each action


@dataclass(frozen=True)
class Draft:
    """A standing request that was checked and is not stored."""

    action: str
    event: str
    condition: Condition
    settings: Mapping[str, Any]
    group_ids: Sequence[int]
    name: str | None = None
    daily_limit: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def rule(self, who: Visitor, number: int) -> Rule:
        """The rule that it is, in the visitor's name."""
        limit = DEFAULT_LIMIT if self.daily_limit is None else self.daily_limit
        return Rule(rules.key_of(self.action, number), self.action, self.name or f"{self.action} {number}",
                    self.event, self.condition, self.settings, who.user_id,
                    tuple(sorted(set(self.group_ids))), limit, now(), number=number, extra=self.extra)


async def add(ctx: Context, who: Visitor, draft: Draft) -> int:
    """Store a standing request of the visitor's; its id. Raises BadRequest."""
    number = await next_id(ctx, f"{COUNTED}_{draft.action}")
    await rules.add(ctx, draft.rule(who, number))
    return number


async def replace_with(ctx: Context, who: Visitor, rule: Rule, draft: Draft) -> None:
    """Make a rule that the visitor may change what a draft says, for what happens from now on.

    It acts in the name of whoever changed it last: only their rights were looked at. Raises BadRequest;
    Conflict when somebody changed it since it was read.
    """
    named = draft if draft.name else replace(draft, name=rule.name)
    fresh = replace(named.rule(who, rule.number), is_active=rule.is_active)
    await rules.replace_with(ctx, fresh, rule.extra["modified"])


async def find(ctx: Context, who: Visitor, action: str, number: int) -> Rule:
    """A standing request that the visitor may read. Raises BadRequest."""
    return await find_key(ctx, who, rules.key_of(action, number))


async def find_key(ctx: Context, who: Visitor, key: str) -> Rule:
    """A rule that the visitor may read, by its key such as ``followup:3``. Raises BadRequest."""
    found = await rules.listed(ctx, {"$and": [{"_id": key}, visible("rule", who)]})
    if not found:
        raise BadRequest(f"there is no rule {key[:60]!r} of a group that you belong to")
    return found[0]


async def listed(ctx: Context, who: Visitor, query: Mapping[str, Any]) -> list[Rule]:
    """The rules that the visitor may read."""
    return await rules.listed(ctx, {"$and": [dict(query), visible("rule", who)]})


async def remove(ctx: Context, who: Visitor, action: str, number: int) -> Rule:
    """Remove a standing request; what it was. Raises BadRequest."""
    rule = await changeable(ctx, who, rules.key_of(action, number))
    await rules.remove(ctx, rule.key)
    return rule


async def changeable(ctx: Context, who: Visitor, key: str) -> Rule:
    """A rule that the visitor may change: its owner, and members of its groups who may upload.

    Raises BadRequest, Unauthorized.
    """
    rule = await find_key(ctx, who, key)
    if rule.owner_id != who.user_id:
        check_right(who, UPLOAD_DATA)
    return rule


def check_right(who: Visitor, acl: str) -> None:
    """Raise Unauthorized unless somebody has a right."""
    if not who.has(acl):
        raise Unauthorized(f"Insufficient permissions: {who.username} lacks the right {acl!r}")


async def owner(ctx: Context, rule: Rule) -> Visitor:
    """In whose name a rule acts: with the rights that its owner has now. Raises Forbidden, BadRequest."""
    who = await people.of_user(ctx, rule.owner_id)
    if not who.system and rule.group_ids is not None and not set(rule.group_ids) & who.groups:
        raise Forbidden("its owner does not belong to the rule's groups any more")
    return who


async def allocation_of(ctx: Context, who: Visitor, allocation_id: int) -> Document:
    """The allocation of a standing request. Raises Forbidden, as SkyPortal does."""
    try:
        return await allocations.find(ctx, who, allocation_id)
    except BadRequest as error:
        raise Forbidden(error.reason) from None


async def on_allocation(ctx: Context, rule: Rule) -> Document:
    """What the API shows of every standing request on an allocation; its name and condition are its own."""
    settings = rule.settings
    return {"id": rule.number, "allocation_id": settings["allocation_id"], "payload": settings["payload"],
            "requester_id": rule.owner_id, "target_group_ids": settings["target_group_ids"],
            "target_groups": [{"id": number} for number in settings["target_group_ids"]],
            "daily_limit": rule.daily_limit, "is_active": rule.is_active,
            "allocation": await _allocation(ctx, rule),
            "created_at": rule.extra["created_at"], "modified": rule.extra["modified"]}


async def _allocation(ctx: Context, rule: Rule) -> Document | None:
    """A rule's allocation as the API shows it; None when it is gone."""
    row = await ctx.db.desk_allocations.find_one({"_id": rule.settings["allocation_id"]})
    return None if row is None else allocations.shown(row)


async def shown(ctx: Context, rule: Rule) -> Document:
    """A rule as the page of rules shows it, with how often it fired."""
    last = await firings.listed(ctx, rule.key, 1)
    return {"id": rule.key, "action": rule.action, "name": rule.name, "event": rule.event,
            "condition": conditions.shown(rule.condition), "settings": dict(rule.settings),
            "group_ids": None if rule.group_ids is None else list(rule.group_ids), "owner_id": rule.owner_id,
            "daily_limit": rule.daily_limit, "is_active": rule.is_active, "since": rule.since,
            "fired": await firings.counted(ctx, rule.key), "fired_today": await firings.counted(
                ctx, rule.key, now()), "last": firings.shown(last[0]) if last else None}
