"""Observation plans: ask, read, delete."""

from __future__ import annotations

from typing import Any

import msgspec

from server.common.errors import BadRequest
from server.desk.common.acls import MANAGE_PLANS
from server.desk.common.bodies import Body, Id, Text, convert, takes
from server.desk.people.handler import DeskHandler, needs
from server.desk.plans import plans
from server.desk.plans.plans import Wanted
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

MOST_AT_ONCE = 20


class PlanBody(Body):
    """A plan for a sky map, or several as `observation_plans`."""

    localization_id: Id
    allocation_id: Id
    payload: dict[str, Any]
    gcnevent_id: Id | None = None
    target_group_ids: list[Id] = msgspec.field(default_factory=list)
    status: Text | None = None
    combine_plans: bool | None = None


class ObservationPlans(DeskHandler):
    """Observation plans."""

    @allow("any")
    async def get(self) -> None:
        """The plans of the caller's groups, the newest first."""
        page = self.page(default=100, cap=1000, strict=True)
        names = {"localizationID": "localization_id", "gcneventID": "gcnevent_id",
                 "allocationID": "allocation_id", "instrumentID": "instrument_id"}
        query = {field: self.number(given, name) for name, field in names.items()
                 if (given := self.query_given(name)) is not None}
        rows, total = await plans.listed(self.ctx, self.who, query, page)
        self.success({"requests": [plans.shown(row) for row in rows], "totalMatches": total,
                      "pageNumber": page.number, "numPerPage": page.size})

    @needs(MANAGE_PLANS)
    @takes(PlanBody)
    async def post(self) -> None:
        """Have a plan made; or several, given as `observation_plans`."""
        body = self.body()
        several = body.get("observation_plans", [body])
        if not isinstance(several, list) or not 0 < len(several) <= MOST_AT_ONCE:
            raise BadRequest(f"observation_plans: must be a list of 1 to {MOST_AT_ONCE} plans")
        wanted = [_wanted(convert(one if isinstance(one, dict) else {}, PlanBody)) for one in several]
        ids = [await plans.submit(self.ctx, self.who, one) for one in wanted]
        self.success({"id": ids[0], "ids": ids})


def _wanted(body: PlanBody) -> Wanted:
    return Wanted(body.localization_id, body.allocation_id, body.payload, body.target_group_ids)


class ObservationPlan(DeskHandler):
    """One observation plan."""

    @allow("any")
    async def get(self, observation_plan_id: str) -> None:
        """A plan with its fields and exposures (these are left out by includePlannedObservations=false)."""
        row = await plans.find(self.ctx, self.who, self.number(observation_plan_id, "observation_plan_id"))
        self.success(plans.shown(row, whole=self.query_bool("includePlannedObservations", True)))

    @needs(MANAGE_PLANS)
    async def delete(self, observation_plan_id: str) -> None:
        """Remove a plan."""
        await plans.delete(self.ctx, self.who, self.number(observation_plan_id, "observation_plan_id"))
        self.success()


ROUTES = [
    Route("/api/observation_plan", ObservationPlans, "desk"),
    Route("/api/observation_plan/{observation_plan_id:any}", ObservationPlan, "desk"),
]
