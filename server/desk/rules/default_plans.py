"""Default plans and efficiencies: new sky maps are tiled, and the plans tried on simulated sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.common.errors import BadRequest, Forbidden
from server.desk.common.access import Document, Visitor, own_groups
from server.desk.common.acls import MANAGE_PLANS
from server.desk.people.groups import check_groups
from server.desk.plans import efficiencies, plans
from server.desk.plans.payloads import read_efficiency
from server.desk.plans.plans import Wanted
from server.desk.rules import standing
from server.desk.rules.standing import Draft
from server.rest.context import Context
from server.rules import rules
from server.rules.conditions import Clause, Condition
from server.rules.decisions import Rule
from server.rules.kinds import Action, Firing, register_action

__all__ = ["EFFICIENCY", "PLAN", "checked_efficiency", "checked_plan", "read_filters",
           "remove_plan", "shown_efficiency", "shown_plan"]

PLAN, EFFICIENCY = "plan", "efficiency"
_FORBIDDEN = ("start_date", "end_date", "queue_name")
_WORDS = {"gcn_tags": "tags", "localization_tags": "localization_tags"}
USUAL_LIMIT = 50  # plans a day


# -- plans


async def checked_plan(ctx: Context, who: Visitor, allocation_id: int, payload: Any, *,
                       group_ids: list[int], name: str | None, filters: Any,
                       daily_limit: int | None) -> Draft:
    """A default plan. Raises BadRequest, and Forbidden for what the instrument does not take."""
    if not isinstance(payload, Mapping):
        raise BadRequest("payload: must be an object")
    if given := [name for name in _FORBIDDEN if name in payload]:
        raise BadRequest(f"payload: {given[0]} cannot be set here: it is set when the plan is made")
    condition, told = read_filters(filters)
    allocation = await standing.allocation_of(ctx, who, allocation_id)
    await check_groups(ctx, who, own_groups(who, group_ids))
    try:
        await plans.check(ctx, who, allocation_id, payload)
    except BadRequest as error:
        raise Forbidden(error.reason) from None
    settings = {"allocation_id": allocation_id, "payload": dict(payload),
                "target_group_ids": sorted(set(group_ids))}
    return Draft(PLAN, "localization", condition, settings, [allocation["group_id"]], name,
                 USUAL_LIMIT if daily_limit is None else daily_limit, {"filters": told})


def read_filters(given: Any) -> tuple[Condition, Document]:
    """The condition of a default plan's filters, and the filters as they are shown. Raises BadRequest.

    ``gcn_tags`` and ``localization_tags`` are lists of which the map must have one; ``max_area_90`` in square
    degrees; ``only_scans``. Without filters every new map passes.
    """
    document = {} if given is None else given
    known = (*_WORDS, "max_area_90", "only_scans")
    if not isinstance(document, dict):
        raise BadRequest("filters: must be an object")
    if unknown := set(document) - set(known):
        raise BadRequest(f"filters: {min(unknown)[:60]!r} is none of {', '.join(known)}")
    clauses = [Clause(fact, holds=_words(document[name], name)) for name, fact in _WORDS.items()
               if document.get(name)]
    if (most := document.get("max_area_90")) is not None:
        clauses.append(Clause("area_90", most=_area(most)))
    if document.get("only_scans"):
        clauses.append(Clause("is_scan", among=(True,)))
    return (tuple(clauses),), document


def _words(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and 0 < len(one) <= 500 for one in value):
        raise BadRequest(f"filters: {name}: must be a list of words")
    return tuple(value)


def _area(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 41253:
        raise BadRequest("filters: max_area_90: must be a number of square degrees, up to 41253")
    return float(value)


async def remove_plan(ctx: Context, who: Visitor, number: int) -> None:
    """Remove a default plan and its default efficiencies. Raises BadRequest."""
    rule = await standing.changeable(ctx, who, rules.key_of(PLAN, number))
    for one in await rules.listed(ctx, {"action": EFFICIENCY, "settings.default_plan_id": number}):
        await rules.remove(ctx, one.key)
    await rules.remove(ctx, rule.key)


async def shown_plan(ctx: Context, rule: Rule) -> Document:
    """A default plan as the API shows it."""
    return {**await standing.on_allocation(ctx, rule), "default_plan_name": rule.name,
            "filters": rule.extra["filters"]}


async def _plan(ctx: Context, firing: Firing) -> Document:
    """Have a plan made for a new sky map, in the name of the rule's owner."""
    who, settings = await standing.owner(ctx, firing.rule), firing.rule.settings
    standing.check_right(who, MANAGE_PLANS)
    wanted = Wanted(int(firing.event.row), settings["allocation_id"], settings["payload"],
                    settings["target_group_ids"], key=firing.key, rule=firing.rule.number)
    return {"observation_plan_id": await plans.submit(ctx, who, wanted)}


# -- efficiencies


async def checked_efficiency(ctx: Context, who: Visitor, default_plan_id: int, payload: Any, *,
                             daily_limit: int | None, name: str | None = None) -> Draft:
    """A default efficiency for the plans of a default plan. Raises BadRequest, Forbidden."""
    try:
        plan = await standing.find(ctx, who, PLAN, default_plan_id)
    except BadRequest:
        raise Forbidden(f"default_observationplan_request_id: no default plan {default_plan_id} of a group "
                        "that you belong to") from None
    read_efficiency(payload)
    condition = ((Clause("default_plan", among=(default_plan_id,)),),)
    settings = {"default_plan_id": default_plan_id, "payload": dict(payload)}
    groups = plan.group_ids or ()
    return Draft(EFFICIENCY, plans.KIND.name, condition, settings, groups, name,
                 USUAL_LIMIT if daily_limit is None else daily_limit)


async def shown_efficiency(ctx: Context, rule: Rule) -> Document:
    """A default efficiency as the API shows it, with its default plan."""
    number = rule.settings["default_plan_id"]
    plan = await rules.find(ctx, rules.key_of(PLAN, number))
    return {"id": rule.number, "default_observationplan_request_id": number,
            "payload": rule.settings["payload"],
            "default_observationplan_request": None if plan is None else await shown_plan(ctx, plan),
            "requester_id": rule.owner_id, "daily_limit": rule.daily_limit, "is_active": rule.is_active,
            "created_at": rule.extra["created_at"], "modified": rule.extra["modified"]}


async def _efficiency(ctx: Context, firing: Firing) -> Document:
    """Have a plan tried on simulated sources, in the name of the rule's owner."""
    who = await standing.owner(ctx, firing.rule)
    number = await efficiencies.of_plan(ctx, who, int(firing.event.row), firing.rule.settings["payload"],
                                        key=firing.key)
    return {"survey_efficiency_id": number}


register_action(Action(PLAN, _plan))
register_action(Action(EFFICIENCY, _efficiency))
