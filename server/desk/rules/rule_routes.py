"""All rules that a caller may read: what they did, what they would have done, and switching them off."""

from __future__ import annotations

from typing import Any

from server.common.errors import BadRequest
from server.desk.common.bodies import Body, Name, takes
from server.desk.people.handler import DeskHandler
from server.desk.rules import standing
from server.rest.routing import Route, allow
from server.rules import conditions, decisions, events, firings, kinds, preview, rules
from server.rules.decisions import DEFAULT_LIMIT, MOST_LIMIT, Rule

__all__ = ["ROUTES", "days"]

MOST_DAYS = events.KEPT_DAYS


class RuleChange(Body):
    """Switch a rule on, for what happens from now on, or off."""

    is_active: bool


class DryRunBody(Body):
    """A rule that is only tried: kind of event, alternatives of clauses, limit a day, days back."""

    event: Name
    condition: list[list[dict[str, Any]]]
    daily_limit: int = DEFAULT_LIMIT
    days: int = preview.DAYS


def days(value: int) -> int:
    """How far a dry run looks back. Raises BadRequest."""
    if not 1 <= value <= MOST_DAYS:
        raise BadRequest(f"days: must be from 1 to {MOST_DAYS}: events are kept for so long")
    return value


class Rules(DeskHandler):
    """Rules of all kinds."""

    @allow("any")
    async def get(self) -> None:
        """The rules of the caller's groups with what each did, and the facts that conditions ask for."""
        page = self.page(default=100, cap=500)
        found = await standing.listed(self.ctx, self.who, {})
        told = [await standing.shown(self.ctx, rule) for rule in page.cut(found)]
        self.success({"rules": told, "totalMatches": len(found), "pageNumber": page.number,
                      "numPerPage": page.size,
                      "events": {kind.name: dict(kind.facts) for kind in kinds.kinds()}})


class RuleOf(DeskHandler):
    """One rule."""

    @allow("any")
    async def get(self, rule_id: str) -> None:
        """A rule, with what it did: the latest first."""
        rule, page = await standing.find_key(self.ctx, self.who, rule_id), self.page(default=100, cap=500)
        done = await firings.listed(self.ctx, rule.key, page.size, page.skip)
        told = await standing.shown(self.ctx, rule)
        self.success({**told, "firings": [firings.shown(row) for row in done]})

    @allow("any")
    @takes(RuleChange)
    async def patch(self, rule_id: str) -> None:
        """Switch a rule on or off."""
        rule = await standing.changeable(self.ctx, self.who, rule_id)
        await rules.change(self.ctx, rule, is_active=self.typed(RuleChange).is_active)
        self.success()


class DryRun(DeskHandler):
    """What a rule would have done."""

    @allow("any")
    async def get(self, rule_id: str) -> None:
        """What a rule would have done in the last `days` (30), event by event, and why not."""
        rule, given = await standing.find_key(self.ctx, self.who, rule_id), self.query_given("days")
        back = days(preview.DAYS if given is None else self.number(given, "days"))
        self.success(preview.shown(await preview.dry_run(self.ctx, rule, back)))


class DryRunOfNew(DeskHandler):
    """What a rule that is not there yet would have done."""

    @allow("any")
    @takes(DryRunBody)
    async def post(self) -> None:
        """Try a condition on what happened lately; nothing is stored."""
        body = self.typed(DryRunBody)
        if not 1 <= body.daily_limit <= MOST_LIMIT:
            raise BadRequest(f"daily_limit: must be from 1 to {MOST_LIMIT}, not {body.daily_limit}")
        condition = conditions.read(body.condition, kinds.kind(body.event).facts)
        groups = None if self.who.system else tuple(sorted(self.who.groups))
        rule = Rule("new", "new", "new", body.event, condition, {}, self.who.user_id, groups,
                    body.daily_limit, decisions.EPOCH)
        self.success(preview.shown(await preview.dry_run(self.ctx, rule, days(body.days))))


ROUTES = [
    Route("/api/rules", Rules, "desk"),
    Route("/api/rules/dry_run", DryRunOfNew, "desk"),
    Route("/api/rules/{rule_id:any}/dry_run", DryRun, "desk"),
    Route("/api/rules/{rule_id:any}", RuleOf, "desk"),
]
