"""Requests to telescopes and to our own grid: ask, list, change, take back, watch, fetch, rank."""

from __future__ import annotations

from typing import Any

import msgspec

from server.common.errors import BadRequest
from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.bodies import Body, Id, Name, Text, takes
from server.desk.common.dates import query_date
from server.desk.followup import prioritization, requests, rows, watching
from server.desk.followup.prioritization import Ranking
from server.desk.followup.requests import Wanted
from server.desk.followup.rows import Asked
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class RequestBody(Body):
    """What is to be observed, by which allocation."""

    obj_id: Name
    allocation_id: Id
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    target_group_ids: list[Id] = msgspec.field(default_factory=list)
    watcher_ids: list[Id] = msgspec.field(default_factory=list)
    status: Text | None = None  # the life of a request begins with its submission


class RequestChange(Body):
    """What of a request changes: its status, by hand, or else what is asked for."""

    obj_id: Name | None = None
    allocation_id: Id | None = None
    payload: dict[str, Any] | None = None
    target_group_ids: list[Id] | None = None
    status: Text | None = None


class RankingBody(Body):
    """Which requests are to be ranked, by what, and into which priorities."""

    requestIds: list[Id]
    priorityType: Name = "magnitude"
    magnitudeOrdering: Name = "ascending"
    localizationId: Id | None = None
    minimumPriority: int = 1
    maximumPriority: int = 5


class FollowupRequests(DeskHandler):
    """Follow-up requests."""

    @allow("any")
    async def get(self) -> None:
        """The requests of the caller's groups, the newest first."""
        page = self.page(default=100, cap=1000, strict=True)
        found, total = await rows.listed(self.ctx, self.who, self._asked(), page)
        self.success({"followup_requests": [rows.shown(row) for row in found], "totalMatches": total,
                      "pageNumber": page.number, "numPerPage": page.size})

    def _asked(self) -> Asked:
        return Asked(
            obj_part=self.query_given("sourceID"), status_part=self.query_given("status"),
            first=query_date(self.query("startDate"), "startDate"),
            last=query_date(self.query("endDate"), "endDate"), instrument_id=self._id("instrumentID"),
            allocation_id=self._id("allocationID"),
            watcher_id=self.who.user_id if self.query_bool("watched") else None)

    def _id(self, name: str) -> int | None:
        given = self.query_given(name)
        return None if given is None else self.number(given, name)

    @needs(UPLOAD_DATA)
    @takes(RequestBody)
    async def post(self) -> None:
        """Ask a facility, or our own grid, for an observation."""
        body = self.typed(RequestBody)
        wanted = Wanted(body.obj_id, body.allocation_id, body.payload, tuple(body.target_group_ids),
                        tuple(body.watcher_ids))
        self.success({"id": await requests.submit(self.ctx, self.who, wanted)})


class FollowupRequest(DeskHandler):
    """One follow-up request."""

    @allow("any")
    async def get(self, request_id: str) -> None:
        """A request, with what was said between the desk and its facility."""
        row = await rows.find(self.ctx, self.who, self.number(request_id, "request_id"))
        self.success({**rows.shown(row), "transactions": await rows.transactions(self.ctx, row)})

    @needs(UPLOAD_DATA)
    @takes(RequestChange)
    async def put(self, request_id: str) -> None:
        """Write down how a request stands (`status`), or change what is asked for, at its facility too."""
        number = self.number(request_id, "request_id")
        body = self.typed(RequestChange)
        row = await rows.changeable(self.ctx, self.who, number)
        if body.status is not None:
            await requests.set_status(self.ctx, self.who, row, body.status, body.target_group_ids)
        elif body.payload is not None:
            self._check_same(row, body)
            await requests.change(self.ctx, self.who, row, body.payload, body.target_group_ids)
        else:
            raise BadRequest("payload: is needed, or else a status")
        self.success()

    def _check_same(self, row: dict[str, Any], body: RequestChange) -> None:
        for name in ("obj_id", "allocation_id"):
            if getattr(body, name) not in (None, row[name]):
                raise BadRequest(f"{name}: cannot change; take the request back and make another")

    @needs(UPLOAD_DATA)
    async def delete(self, request_id: str) -> None:
        """Take a request back; a scan of ours is aborted."""
        row = await rows.changeable(self.ctx, self.who, self.number(request_id, "request_id"))
        await requests.take_back(self.ctx, self.who, row)
        self.success()


class Watch(DeskHandler):
    """Who watches a request."""

    @allow("any")
    async def post(self, request_id: str) -> None:
        """Watch a request."""
        await watching.begin(self.ctx, self.who, self.number(request_id, "followup_request_id"))
        self.success()

    @allow("any")
    async def delete(self, request_id: str) -> None:
        """Watch a request no more."""
        await watching.end(self.ctx, self.who, self.number(request_id, "followup_request_id"))
        self.success()


class Prioritization(DeskHandler):
    """Priorities of requests."""

    @needs(UPLOAD_DATA)
    @takes(RankingBody)
    async def put(self) -> None:
        """Give requests priorities by a sky map or by brightness, and tell their facilities."""
        body = self.typed(RankingBody)
        ranking = Ranking(body.priorityType, body.magnitudeOrdering, body.localizationId,
                          body.minimumPriority, body.maximumPriority)
        await prioritization.rank(self.ctx, self.who, body.requestIds, ranking)
        self.success()


class PhotometryRequest(DeskHandler):
    """Results of a request."""

    @allow("any")
    async def get(self, request_id: str) -> None:
        """Ask the facility for a request's results now."""
        row = await rows.find(self.ctx, self.who, self.number(request_id, "request_id"))
        done = await requests.fetch(self.ctx, row)
        self.success({"status": done["status"], "products": done["products"]})


ROUTES = [
    Route("/api/followup_request", FollowupRequests, "desk"),
    Route("/api/followup_request/prioritization", Prioritization, "desk"),
    Route("/api/followup_request/watch/{request_id:any}", Watch, "desk"),
    Route("/api/followup_request/{request_id:any}", FollowupRequest, "desk"),
    Route("/api/photometry_request/{request_id:any}", PhotometryRequest, "desk"),
]
