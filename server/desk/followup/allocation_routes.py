"""Allocations: who may spend how many hours on which instrument, with which credentials."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from server.common.errors import BadRequest
from server.desk.common.bodies import Body, Finite, Id, Text, changes, takes
from server.desk.common.dates import parse_date
from server.desk.followup import allocation_pages, drawing, reports
from server.desk.observing import allocations
from server.desk.observing.instruments import find_instrument
from server.desk.people.groups import check_groups, find_group
from server.desk.people.handler import DeskHandler, needs
from server.desk.people.people import check_users
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

MANAGE = "Manage allocations"
RELATIONS = ("requests", "default_requests", "default_observation_plans", "catalog_queries",
             "observation_plans", "group", "instrument", "allocation_users", "gcn_triggers")


class AllocationBody(Body):
    """An allocation; hours of telescope or computing time."""

    group_id: Id
    instrument_id: Id
    hours_allocated: Finite
    pi: Text | None = None
    proposal_id: Text | None = None
    start_date: Text | None = None
    end_date: Text | None = None
    default_share_group_ids: list[Id] | None = None
    allocation_admin_ids: list[Id] | None = None
    altdata: Text | None = msgspec.field(default=None, name="_altdata")


class AllocationChange(Body):
    """What of an allocation is to change."""

    group_id: Id | msgspec.UnsetType = msgspec.UNSET
    instrument_id: Id | msgspec.UnsetType = msgspec.UNSET
    hours_allocated: Finite | msgspec.UnsetType = msgspec.UNSET
    pi: Text | msgspec.UnsetType | None = msgspec.UNSET
    proposal_id: Text | msgspec.UnsetType | None = msgspec.UNSET
    start_date: Text | msgspec.UnsetType | None = msgspec.UNSET
    end_date: Text | msgspec.UnsetType | None = msgspec.UNSET
    default_share_group_ids: list[Id] | msgspec.UnsetType | None = msgspec.UNSET
    allocation_admin_ids: list[Id] | msgspec.UnsetType = msgspec.UNSET
    altdata: Text | msgspec.UnsetType | None = msgspec.field(default=msgspec.UNSET, name="_altdata")


def _fields(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """An allocation's fields and its credentials, from a body's. Raises BadRequest."""
    altdata = given.pop("altdata", None)
    for name in ("start_date", "end_date"):
        if given.get(name) is not None:
            given[name] = _date(given[name], name)
    if given.get("hours_allocated", 0) < 0:
        raise BadRequest("hours_allocated: must not be negative")
    if given.get("allocation_admin_ids") is None:
        given.pop("allocation_admin_ids", None)
    return given, altdata


def _date(text: str, name: str) -> datetime:
    return parse_date(text, name)


class _AllocationHandler(DeskHandler):
    async def check_people(self, fields: dict[str, Any]) -> None:
        """Raise BadRequest unless there are the admins and groups that an allocation's fields name."""
        await check_users(self.ctx, fields.get("allocation_admin_ids", ()), "allocation_admin_ids")
        await check_groups(self.ctx, self.who, fields.get("default_share_group_ids") or ())


class Allocations(_AllocationHandler):
    """Allocations."""

    @allow("any")
    async def get(self) -> None:
        """The allocations of the caller's groups, perhaps of one instrument or of those with an adaptor."""
        given = self.query_given("instrument_id")
        instrument_id = None if given is None else self.number(given, "instrument_id")
        found = await allocation_pages.listed(self.ctx, self.who, instrument_id, self.query_given("apiType"),
                                              self.page(default=1000, cap=1000))
        self.success(found)

    @needs(MANAGE)
    @takes(AllocationBody)
    async def post(self) -> None:
        """Add an allocation."""
        body = self.typed(AllocationBody, RELATIONS)
        await find_group(self.ctx, self.who, body.group_id)
        await find_instrument(self.ctx, body.instrument_id)
        fields, altdata = _fields(changes(body))
        await self.check_people(fields)
        fields.setdefault("allocation_admin_ids", [])
        self.success({"id": await allocations.add(self.ctx, fields, altdata)})


class Allocation(_AllocationHandler):
    """One allocation."""

    @allow("any")
    async def get(self, allocation_id: str) -> None:
        """An allocation of one of the caller's groups: its newest requests, its hours, the coming night."""
        row = await allocations.find(self.ctx, self.who, self.number(allocation_id, "allocation_id"))
        self.success(await allocation_pages.whole(self.ctx, row))

    @needs(MANAGE)
    @takes(AllocationChange)
    async def put(self, allocation_id: str) -> None:
        """Change an allocation."""
        row = await allocations.find(self.ctx, self.who, self.number(allocation_id, "allocation_id"))
        given = changes(self.typed(AllocationChange, RELATIONS))
        if "group_id" in given:
            await find_group(self.ctx, self.who, given["group_id"])
        if "instrument_id" in given:
            await find_instrument(self.ctx, given["instrument_id"])
        fields, altdata = _fields(given)
        await self.check_people(fields)
        await allocation_pages.change(self.ctx, row, fields, altdata)
        self.success()

    @needs(MANAGE)
    async def delete(self, allocation_id: str) -> None:
        """Remove an allocation, and take back its requests."""
        row = await allocations.find(self.ctx, self.who, self.number(allocation_id, "allocation_id"))
        await allocation_pages.remove(self.ctx, self.who, row)
        self.success()


class Report(DeskHandler):
    """What became of an instrument's hours."""

    @allow("any")
    async def get(self, instrument_id: str) -> None:
        """A chart over the caller's allocations of an instrument, as pdf or png."""
        number, kind = self.number(instrument_id, "instrument_id"), self.query_given("output_format") or "pdf"
        data = await reports.draw(self.ctx, self.who, number, kind)
        self.set_header("Content-Type", drawing.KINDS[kind])
        self.set_header("Cache-Control", "no-store")
        self.finish(data)


ROUTES = [
    Route("/api/allocation", Allocations, "desk"),
    Route("/api/allocation/report/{instrument_id:any}", Report, "desk"),
    Route("/api/allocation/{allocation_id:any}", Allocation, "desk"),
]
