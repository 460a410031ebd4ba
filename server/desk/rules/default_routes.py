"""Default follow-ups, default plans and default efficiencies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from server.desk.common.acls import MANAGE_PLANS
from server.desk.common.bodies import Body, Id, Name, takes
from server.desk.people.handler import DeskHandler, needs
from server.desk.rules import default_plans, followups, standing
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.rules.decisions import Rule

__all__ = ["ROUTES"]

RELATIONS = ("requester", "allocation", "target_groups", "default_survey_efficiencies", "requester_id",
             "default_observationplan_request")

Shown = Callable[[Context, Rule], Awaitable[dict[str, Any]]]


class FollowupBody(Body):
    """A default follow-up; without a source filter it never fires."""

    allocation_id: Id
    payload: Any
    target_group_ids: list[Id] = msgspec.field(default_factory=list)
    default_followup_name: Name | None = None
    source_filter: dict[str, Any] | str | None = None
    daily_limit: int | None = None


class PlanBody(Body):
    """A default plan; without filters it fires for every new sky map."""

    allocation_id: Id
    payload: Any
    target_group_ids: list[Id] = msgspec.field(default_factory=list)
    default_plan_name: Name | None = None
    filters: dict[str, Any] | None = None
    daily_limit: int | None = None


class EfficiencyBody(Body):
    """A default efficiency of a default plan."""

    default_observationplan_request_id: Id
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    daily_limit: int | None = None


class _Standing(DeskHandler):
    """What the lists and single reads of standing requests share."""

    async def all_of(self, action: str, shown: Shown) -> None:
        found = await standing.listed(self.ctx, self.who, {"action": action})
        self.success([await shown(self.ctx, rule) for rule in found])

    async def one_of(self, action: str, number: str, shown: Shown) -> None:
        rule = await standing.find(self.ctx, self.who, action, self.number(number, f"default {action} id"))
        self.success(await shown(self.ctx, rule))


class DefaultFollowups(_Standing):
    """Default follow-ups."""

    @allow("any")
    async def get(self) -> None:
        """Those of the caller's allocations."""
        await self.all_of(followups.ACTION, followups.shown)

    @allow("any")
    @takes(FollowupBody)
    async def post(self) -> None:
        """Have every object that gets a class followed up."""
        body = self.typed(FollowupBody, RELATIONS)
        draft = await followups.checked(
            self.ctx, self.who, body.allocation_id, body.payload, group_ids=body.target_group_ids,
            name=body.default_followup_name, source_filter=body.source_filter, daily_limit=body.daily_limit)
        self.success({"id": await standing.add(self.ctx, self.who, draft)})


class DefaultFollowup(_Standing):
    """One default follow-up."""

    @allow("any")
    async def get(self, default_followup_request_id: str) -> None:
        """A default follow-up with its allocation."""
        await self.one_of(followups.ACTION, default_followup_request_id, followups.shown)

    @allow("any")
    async def delete(self, default_followup_request_id: str) -> None:
        """Remove a default follow-up; requests that it made stay."""
        number = self.number(default_followup_request_id, "default_followup_request_id")
        await standing.remove(self.ctx, self.who, followups.ACTION, number)
        self.success()


class DefaultPlans(_Standing):
    """Default observation plans."""

    @allow("any")
    async def get(self) -> None:
        """Those of the caller's allocations."""
        await self.all_of(default_plans.PLAN, default_plans.shown_plan)

    @needs(MANAGE_PLANS)
    @takes(PlanBody)
    async def post(self) -> None:
        """Have every new sky map that passes the filters tiled."""
        body = self.typed(PlanBody, RELATIONS)
        draft = await default_plans.checked_plan(
            self.ctx, self.who, body.allocation_id, body.payload, group_ids=body.target_group_ids,
            name=body.default_plan_name, filters=body.filters, daily_limit=body.daily_limit)
        self.success({"id": await standing.add(self.ctx, self.who, draft)})


class DefaultPlan(_Standing):
    """One default observation plan."""

    @allow("any")
    async def get(self, default_observation_plan_id: str) -> None:
        """A default plan with its allocation."""
        await self.one_of(default_plans.PLAN, default_observation_plan_id, default_plans.shown_plan)

    @needs(MANAGE_PLANS)
    async def delete(self, default_observation_plan_id: str) -> None:
        """Remove a default plan and its default efficiencies; plans that it made stay."""
        number = self.number(default_observation_plan_id, "default_observation_plan_id")
        await default_plans.remove_plan(self.ctx, self.who, number)
        self.success()


class DefaultEfficiencies(_Standing):
    """Default survey efficiencies."""

    @allow("any")
    async def get(self) -> None:
        """Those of the caller's allocations, with their default plans."""
        await self.all_of(default_plans.EFFICIENCY, default_plans.shown_efficiency)

    @allow("any")
    @takes(EfficiencyBody)
    async def post(self) -> None:
        """Have every plan of a default plan tried on simulated sources."""
        body = self.typed(EfficiencyBody, RELATIONS)
        draft = await default_plans.checked_efficiency(
            self.ctx, self.who, body.default_observationplan_request_id, body.payload,
            daily_limit=body.daily_limit)
        self.success({"id": await standing.add(self.ctx, self.who, draft)})


class DefaultEfficiency(_Standing):
    """One default survey efficiency."""

    @allow("any")
    async def get(self, default_survey_efficiency_id: str) -> None:
        """A default efficiency with its default plan."""
        await self.one_of(default_plans.EFFICIENCY, default_survey_efficiency_id,
                          default_plans.shown_efficiency)

    @allow("any")
    async def delete(self, default_survey_efficiency_id: str) -> None:
        """Remove a default efficiency."""
        number = self.number(default_survey_efficiency_id, "default_survey_efficiency_id")
        await standing.remove(self.ctx, self.who, default_plans.EFFICIENCY, number)
        self.success()


ROUTES = [
    Route("/api/default_followup_request", DefaultFollowups, "desk"),
    Route("/api/default_followup_request/{default_followup_request_id:any}", DefaultFollowup, "desk"),
    Route("/api/default_observation_plan", DefaultPlans, "desk"),
    Route("/api/default_observation_plan/{default_observation_plan_id:any}", DefaultPlan, "desk"),
    Route("/api/default_survey_efficiency", DefaultEfficiencies, "desk"),
    Route("/api/default_survey_efficiency/{default_survey_efficiency_id:any}", DefaultEfficiency, "desk"),
]
