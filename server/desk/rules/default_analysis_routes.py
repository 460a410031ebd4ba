"""Default analyses of analysis services."""

from __future__ import annotations

from typing import Any

import msgspec

from server.desk.common.bodies import Body, Id, takes
from server.desk.people.handler import DeskHandler
from server.desk.rules import default_analyses, standing
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

RELATIONS = ("analysis_service", "author", "groups")


class DefaultAnalysisBody(Body):
    """A default analysis: parameters, which classes start it, how often a day."""

    source_filter: dict[str, Any]
    default_analysis_parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    daily_limit: int | None = None
    group_ids: list[Id] | None = None
    show_parameters: bool = True
    show_plots: bool = True
    show_corner: bool = False


class DefaultAnalyses(DeskHandler):
    """Default analyses of a service."""

    @allow("any")
    async def get(self, analysis_service_id: str) -> None:
        """Those that the caller's groups may read."""
        number = self.number(analysis_service_id, "analysis_service_id")
        found = await default_analyses.listed(self.ctx, self.who, number)
        self.success([await default_analyses.shown(self.ctx, rule) for rule in found])

    @allow("any")
    @takes(DefaultAnalysisBody)
    async def post(self, analysis_service_id: str) -> None:
        """Have every object that gets a class analysed."""
        body = self.typed(DefaultAnalysisBody, RELATIONS)
        show = {name: getattr(body, name) for name in ("show_parameters", "show_plots", "show_corner")}
        draft = await default_analyses.checked(
            self.ctx, self.who, self.number(analysis_service_id, "analysis_service_id"),
            parameters=body.default_analysis_parameters, source_filter=body.source_filter,
            daily_limit=body.daily_limit, group_ids=body.group_ids, show=show)
        self.success({"id": await standing.add(self.ctx, self.who, draft)})


class DefaultAnalysis(DeskHandler):
    """One default analysis."""

    @allow("any")
    async def get(self, analysis_service_id: str, default_analysis_id: str) -> None:
        """A default analysis with what it did today."""
        rule = await default_analyses.find(self.ctx, self.who, *self._numbers(analysis_service_id,
                                                                              default_analysis_id))
        self.success(await default_analyses.shown(self.ctx, rule))

    @allow("any")
    async def delete(self, analysis_service_id: str, default_analysis_id: str) -> None:
        """Remove a default analysis; analyses that it started stay."""
        await default_analyses.remove(self.ctx, self.who, *self._numbers(analysis_service_id,
                                                                         default_analysis_id))
        self.success()

    def _numbers(self, service: str, default: str) -> tuple[int, int]:
        return self.number(service, "analysis_service_id"), self.number(default, "default_analysis_id")


_OF_SERVICE = "/api/analysis_service/{analysis_service_id:any}/default_analysis"
ROUTES = [
    Route(_OF_SERVICE, DefaultAnalyses, "desk"),
    Route(_OF_SERVICE + "/{default_analysis_id:any}", DefaultAnalysis, "desk"),
]
