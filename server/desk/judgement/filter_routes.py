"""Filters."""

from __future__ import annotations

from typing import Any

import msgspec

from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.bodies import Body, Id, Name, changes, takes
from server.desk.judgement import filters
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

RELATIONS = ("stream", "group", "candidates")


class FilterBody(Body):
    """A new filter; `altdata` may hold the rule by which objects inside a scan's region are selected."""

    name: Name
    stream_id: Id
    group_id: Id
    altdata: Any = None


class FilterChange(Body):
    """What of a filter shall change; its group and stream may be named, not changed."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    stream_id: Id | None = None
    group_id: Id | None = None
    altdata: Any = msgspec.UNSET


class Filters(DeskHandler):
    """Filters that the caller reads."""

    @allow("any")
    async def get(self) -> None:
        """All filters of the caller's groups and streams."""
        rows = await filters.readable(self.ctx, self.who)
        self.success([filters.shown(row) for row in self.cut(rows)])

    @needs(UPLOAD_DATA)
    @takes(FilterBody)
    async def post(self) -> None:
        """Make a filter."""
        body = self.typed(FilterBody, RELATIONS)
        number = await filters.add(self.ctx, self.who, body.name, body.stream_id, body.group_id, body.altdata)
        self.success({"id": number})


class Filter(DeskHandler):
    """One filter."""

    @allow("any")
    async def get(self, filter_id: str) -> None:
        """A filter with its stream."""
        row = await filters.find(self.ctx, self.who, self.number(filter_id, "filter_id"))
        self.success(await filters.shown_filter(self.ctx, row))

    @needs(UPLOAD_DATA)
    @takes(FilterChange)
    async def patch(self, filter_id: str) -> None:
        """Rename a filter."""
        number = self.number(filter_id, "filter_id")
        body = self.typed(FilterChange, (*RELATIONS, "id", "created_at", "modified"))
        await filters.change(self.ctx, self.who, number, changes(body))
        self.success()

    @needs(UPLOAD_DATA)
    async def delete(self, filter_id: str) -> None:
        """Remove a filter and its candidates."""
        await filters.remove(self.ctx, self.who, self.number(filter_id, "filter_id"))
        self.success()


ROUTES = [
    Route("/api/filters", Filters, "desk"),
    Route("/api/filters/{filter_id:any}", Filter, "desk"),
]
