"""Survey efficiencies of plans and of exposures that were taken."""

from __future__ import annotations

from typing import Any

import msgspec

from server.desk.common.acls import RUN_ANALYSES
from server.desk.common.bodies import Body, Id, Name, takes
from server.desk.people.handler import DeskHandler, needs
from server.desk.plans import efficiencies
from server.desk.plans.efficiencies import Taken, Which
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class PlanEfficiencyBody(Body):
    """The efficiency of a plan."""

    observation_plan_id: Id
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    group_ids: list[Id] | None = None


class TakenEfficiencyBody(Body):
    """The efficiency of exposures that were taken."""

    gcnevent_id: Id
    instrument_id: Id
    observations: list[Taken]
    localization_name: Name | None = None
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    group_ids: list[Id] | None = None


class _Efficiencies(DeskHandler):
    async def listed(self, kind: Which, name: str) -> None:
        """Those of a kind, perhaps of one event or plan."""
        page, given = self.page(default=100, cap=500), self.query_given(name)
        query = {} if given is None else {name: self.number(given.removesuffix(".0"), name)}
        rows = await efficiencies.listed(self.ctx, self.who, kind, query, page)
        self.success([efficiencies.shown(row) for row in rows])


class OfPlans(_Efficiencies):
    """Survey efficiencies of observation plans."""

    @allow("any")
    async def get(self) -> None:
        """Those that the caller's groups may read, the newest first."""
        await self.listed("observation_plan", "observation_plan_id")

    @needs(RUN_ANALYSES)
    @takes(PlanEfficiencyBody)
    async def post(self) -> None:
        """Simulate how many sources a plan would find."""
        body = self.typed(PlanEfficiencyBody)
        number = await efficiencies.of_plan(self.ctx, self.who, body.observation_plan_id, body.payload,
                                            body.group_ids)
        self.success({"id": number})


class OfObservations(_Efficiencies):
    """Survey efficiencies of exposures that were taken."""

    @allow("any")
    async def get(self) -> None:
        """Those that the caller's groups may read, the newest first."""
        await self.listed("observations", "gcnevent_id")

    @needs(RUN_ANALYSES)
    @takes(TakenEfficiencyBody)
    async def post(self) -> None:
        """Simulate how many sources exposures would have found."""
        body = self.typed(TakenEfficiencyBody)
        number = await efficiencies.of_exposures(
            self.ctx, self.who, body.gcnevent_id, body.localization_name, body.instrument_id,
            body.observations, body.payload, body.group_ids)
        self.success({"id": number})


class Efficiency(DeskHandler):
    """One survey efficiency."""

    @allow("any")
    async def get(self, survey_efficiency_id: str) -> None:
        """A survey efficiency, by id."""
        number = self.number(survey_efficiency_id, "survey_efficiency_id")
        self.success(efficiencies.shown(await efficiencies.find(self.ctx, self.who, number)))

    @needs(RUN_ANALYSES)
    async def delete(self, survey_efficiency_id: str) -> None:
        """Remove a survey efficiency."""
        number = self.number(survey_efficiency_id, "survey_efficiency_id")
        await efficiencies.delete(self.ctx, self.who, number)
        self.success()


ROUTES = [
    Route("/api/survey_efficiency/observations", OfObservations, "desk"),
    Route("/api/survey_efficiency/observation_plan", OfPlans, "desk"),
    Route("/api/survey_efficiency/{survey_efficiency_id:any}", Efficiency, "desk"),
]
