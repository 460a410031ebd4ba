"""Routes of the rules: what is in force, what is stored, and what others would do."""

from __future__ import annotations

from config.alerts import AlertRule
from server.alerts.handler import READERS, AlertHandler
from server.alerts.rules import journal, stored
from server.common.errors import BadRequest, NotFound
from server.production.common.fields import Described, Field, read_fields, takes
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

_RULES = (Field("rules", "dict", required=True),)
_RULE = Described({"type": "object", "additionalProperties": False, "properties": {
    name: {} for name in AlertRule.__struct_fields__}})


class Rules(AlertHandler):
    """The rules in force."""

    @allow(*READERS)
    async def get(self) -> None:
        """All rules by name, in the order in which they are tried."""
        self.send({"rules": await stored.in_force(self.ctx)})


class OneRule(AlertHandler):
    """One rule."""

    @allow(*READERS)
    async def get(self, name: str) -> None:
        """A rule in force."""
        rules = await stored.in_force(self.ctx)
        if name not in rules:
            raise NotFound("there is no rule of this name")
        self.send(rules[name])

    @allow("admin")
    async def put(self, name: str) -> None:
        """Store a rule: it comes before all others, and in place of one of the settings of this name."""
        rule = stored.read(self.body())
        await stored.keep(self.ctx, name, rule, self.user.username)
        self.send(rule)

    put.body = _RULE  # type: ignore[attr-defined]

    @allow("admin")
    async def delete(self, name: str) -> None:
        """Delete a stored rule; that of the settings is in force again, if there is one."""
        await stored.forget(self.ctx, name)
        self.send({})


class RuleFirings(AlertHandler):
    """What a rule did."""

    @allow(*READERS)
    async def get(self, name: str) -> None:
        """The alerts that a rule of this name took, the latest first."""
        skip, limit = self.page()
        self.send({"firings": await journal.of_rule(self.ctx, name, skip, limit)})


class Trials(AlertHandler):
    """Dry runs."""

    @allow(*READERS)
    @takes(*_RULES, closed=True)
    async def post(self) -> None:
        """What rules would do with the latest events, beside what was done; nothing is started."""
        given = read_fields(self.body(), _RULES)["rules"]
        if len(given) > stored.MOST_RULES:
            raise BadRequest(f"rules: more than {stored.MOST_RULES}")
        rules = {name: stored.read(rule) for name, rule in given.items()}
        self.send({"events": await stored.dry_run(self.ctx, rules)})


ROUTES = [
    Route("/alert_rules", Rules, "alerts"),
    Route("/alert_rules/{name:any}", OneRule, "alerts"),
    Route("/alert_rules/{name:any}/firings", RuleFirings, "alerts"),
    Route("/alert_rule_trials", Trials, "alerts"),
]
