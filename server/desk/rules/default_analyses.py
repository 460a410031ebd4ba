"""Default analyses: when an object gets a class with enough probability, an analysis service is run on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iceprod.ids import now
from server.common.errors import BadRequest, Forbidden
from server.desk.analyses import analyses, services
from server.desk.analyses.analyses import Wanted
from server.desk.common.access import Document, Visitor, own_groups
from server.desk.common.acls import RUN_ANALYSES
from server.desk.judgement import classifications
from server.desk.people.groups import check_groups
from server.desk.rules import standing
from server.desk.rules.standing import Draft
from server.rest.context import Context
from server.rules import firings, rules
from server.rules.conditions import Clause, Condition
from server.rules.decisions import Rule
from server.rules.kinds import Action, Firing, register_action

__all__ = ["ACTION", "checked", "find", "listed", "read_source_filter", "remove", "shown"]

ACTION = services.DEFAULT_ANALYSIS


async def checked(ctx: Context, who: Visitor, service_id: int, *, parameters: Mapping[str, Any],
                  source_filter: Any, daily_limit: int | None, group_ids: list[int] | None,
                  show: Mapping[str, bool], name: str | None = None) -> Draft:
    """A default analysis. Raises BadRequest, Unauthorized."""
    standing.check_right(who, RUN_ANALYSES)
    condition = read_source_filter(source_filter)
    await analyses.check(ctx, who, service_id, parameters)
    groups = own_groups(who, group_ids)
    await check_groups(ctx, who, groups)
    if not groups:
        raise BadRequest("group_ids: name at least one group")
    settings = {"analysis_service_id": service_id, "parameters": dict(parameters), "show": dict(show)}
    return Draft(ACTION, "classification", condition, settings, groups, name, daily_limit,
                 {"source_filter": source_filter})


def read_source_filter(given: Any) -> Condition:
    """The condition of ``{"classifications": [{"name": …, "probability": …}, …]}``. Raises BadRequest."""
    rows = given.get("classifications") if isinstance(given, Mapping) else None
    if not isinstance(rows, list) or not 0 < len(rows) <= 50 or set(given) != {"classifications"}:
        raise BadRequest("source_filter: must be an object with a list `classifications` of 1 to 50 classes, "
                         "and nothing else")
    return tuple(_alternative(row) for row in rows)


def _alternative(row: Any) -> tuple[Clause, ...]:
    if not isinstance(row, Mapping) or set(row) - {"name", "probability"}:
        raise BadRequest("source_filter: a class has a name and a probability, and nothing else")
    name, least = row.get("name"), row.get("probability", 0)
    if not isinstance(name, str) or not 0 < len(name) <= 500:
        raise BadRequest("source_filter: name: must be the name of a class")
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise BadRequest("source_filter: probability: must be a number from 0 to 1")
    return Clause("classification", among=(name,)), Clause("probability", least=float(least))


async def find(ctx: Context, who: Visitor, service_id: int, number: int) -> Rule:
    """A default analysis of a service. Raises BadRequest."""
    rule = await standing.find(ctx, who, ACTION, number)
    if rule.settings["analysis_service_id"] != service_id:
        raise BadRequest(f"there is no default analysis {number} of analysis service {service_id}")
    return rule


async def listed(ctx: Context, who: Visitor, service_id: int) -> list[Rule]:
    """The default analyses of a service that the visitor may read. Raises BadRequest: no such service."""
    try:
        await services.find(ctx, who, service_id)
    except Forbidden as error:
        raise BadRequest(error.reason) from None
    return await standing.listed(ctx, who, {"action": ACTION, "settings.analysis_service_id": service_id})


async def remove(ctx: Context, who: Visitor, service_id: int, number: int) -> None:
    """Remove a default analysis. Raises BadRequest, Unauthorized."""
    rule = await find(ctx, who, service_id, number)
    await standing.changeable(ctx, who, rule.key)
    await rules.remove(ctx, rule.key)


async def shown(ctx: Context, rule: Rule) -> Document:
    """A default analysis as the API shows it."""
    settings, last = rule.settings, await firings.listed(ctx, rule.key, 1)
    groups = list(rule.group_ids or ())
    return {"id": rule.number, "analysis_service_id": settings["analysis_service_id"],
            "default_analysis_parameters": settings["parameters"],
            "source_filter": rule.extra["source_filter"],
            "stats": {"daily_limit": rule.daily_limit,
                      "daily_count": await firings.counted(ctx, rule.key, now()),
                      "last_run": last[0]["modified"] if last else None},
            **settings["show"], "groups": [{"id": number} for number in groups], "group_ids": groups,
            "author_id": rule.owner_id, "is_active": rule.is_active, "created_at": rule.extra["created_at"],
            "modified": rule.extra["modified"]}


async def _fire(ctx: Context, firing: Firing) -> Document:
    """Run an analysis of a classified object, in the name of the rule's owner."""
    who, settings = await standing.owner(ctx, firing.rule), firing.rule.settings
    standing.check_right(who, RUN_ANALYSES)
    await classifications.find(ctx, who, int(firing.event.row))
    wanted = Wanted(settings["analysis_service_id"], firing.event.facts["obj_id"], settings["parameters"],
                    firing.rule.group_ids or (), **settings["show"], key=firing.key)
    return {"analysis_id": await analyses.start(ctx, who, wanted)}


register_action(Action(ACTION, _fire))
