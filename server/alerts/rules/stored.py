"""Rules in force: those stored through the API, the newest first, before those of the settings."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from config.alerts import AlertRule
from iceprod.ids import now
from scanner.maps.levels import Progression, ProgressionError
from scanner.recos.recos import UnknownReco, find_reco
from server.alerts.common import alerts
from server.alerts.common.alerts import Search
from server.alerts.rules.matching import choose
from server.common.errors import BadRequest, NotFound
from server.rest.context import Context

__all__ = ["NAME", "dry_run", "forget", "in_force", "keep", "read"]

NAME = re.compile(r"[A-Za-z0-9_-]{1,50}")
MOST_RULES = 100
TRIED = 500  # alerts that a dry run looks at


async def in_force(ctx: Context) -> dict[str, AlertRule]:
    """All rules by name, in their order. A stored one hides that of the settings that has its name."""
    cursor = ctx.db.alert_rules.find({}).sort([("changed", -1)])
    kept = {row["_id"]: msgspec.convert(row["rule"], AlertRule) async for row in cursor}
    return kept | {name: rule for name, rule in ctx.settings.alerts.rules.items() if name not in kept}


def read(body: Any) -> AlertRule:
    """A rule of a request. Raises BadRequest."""
    try:
        rule = msgspec.convert(body, AlertRule)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    for number, step in enumerate(rule.steps):
        try:
            find_reco(step.reco)
            Progression.parse(step.nsides)
        except UnknownReco as error:
            raise BadRequest(f"steps[{number}].reco: {error}") from None
        except ProgressionError as error:
            raise BadRequest(f"steps[{number}].nsides: {str(error).removeprefix('nsides: ')}") from None
        if not -10**6 <= step.priority <= 10**6 or not 0 < step.deadline_seconds <= 10**6:
            raise BadRequest(f"steps[{number}]: priority and deadline_seconds must be within a million")
    return rule


async def keep(ctx: Context, name: str, rule: AlertRule, who: str) -> None:
    """Store a rule under a name; it then comes first. Raises BadRequest."""
    if not NAME.fullmatch(name):
        raise BadRequest("name: up to 50 letters, digits, - and _")
    if await ctx.db.alert_rules.count_documents({"_id": {"$ne": name}}) >= MOST_RULES:
        raise BadRequest(f"name: there are {MOST_RULES} stored rules already; delete one first")
    fields = {"rule": msgspec.to_builtins(rule), "changed": now(), "by": who}
    await ctx.db.alert_rules.update_one({"_id": name}, {"$set": fields}, upsert=True)


async def forget(ctx: Context, name: str) -> None:
    """Delete a stored rule; that of the settings is in force again, if there is one. Raises NotFound."""
    if not (await ctx.db.alert_rules.delete_one({"_id": name})).deleted_count:
        raise NotFound("there is no stored rule of this name")


async def dry_run(ctx: Context, rules: dict[str, AlertRule]) -> list[dict[str, Any]]:
    """What rules would do with the latest events, beside what was done; nothing is started."""
    found = []
    for alert in await alerts.listed(ctx, Search(replay=None), 0, TRIED):
        if alert.kind == "event":
            choice = choose(rules, {"stream": alert.stream, "event_type": alert.event_type})
            steps = [step.reco for step in rules[choice.name].steps] if choice.name else []
            found.append({"alert_id": alert.alert_id, "title": alert.title, "stream": alert.stream,
                          "event_type": alert.event_type, "received": alert.received,
                          "was": alert.rule or None, "was_state": alert.state, "would_be": choice.name,
                          "would_scan": steps, "why_not": dict(choice.passed_over)})
    return found
