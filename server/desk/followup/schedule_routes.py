"""Schedules of instruments."""

from __future__ import annotations

from server.desk.common.dates import query_date
from server.desk.followup import schedules
from server.desk.followup.rows import Asked
from server.desk.followup.schedules import Plan
from server.desk.followup.standards import magnitude_range, standards
from server.desk.people.handler import DeskHandler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Schedule(DeskHandler):
    """The schedule of an instrument."""

    @allow("any")
    async def get(self, instrument_id: str) -> None:
        """What of an instrument's requests is observed when, as csv, png or pdf."""
        number, kind = self.number(instrument_id, "instrument_id"), self.query_given("output_format") or "csv"
        data = await schedules.draw(self.ctx, self.who, number, self._plan(number), kind)
        self.set_header("Content-Type", schedules.KINDS[kind])
        self.set_header("Cache-Control", "no-store")
        if kind != "png":
            self.set_header("Content-Disposition", f'attachment; filename="schedule_{number}.{kind}"')
        self.finish(data)

    def _plan(self, instrument_id: int) -> Plan:
        only = self.query_bool("standardsOnly")
        limits = magnitude_range(self.query_given("magnitudeRange"))
        stars = standards(self.query_given("standardType") or "ESO", limits)
        asked = Asked(
            obj_part=self.query_given("sourceID"), status_part=self.query_given("status"),
            first=query_date(self.query("startDate"), "startDate"),
            last=query_date(self.query("endDate"), "endDate"), instrument_id=instrument_id)
        return Plan(asked, query_date(self.query("observationStartDate"), "observationStartDate"),
                    query_date(self.query("observationEndDate"), "observationEndDate"),
                    stars if only or self.query_bool("includeStandards") else [], only)


ROUTES = [Route("/api/followup_request/schedule/{instrument_id:any}", Schedule, "desk")]
