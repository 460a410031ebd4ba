"""Routes of grids."""

from __future__ import annotations

from server.production.common.fields import Field, read_fields, takes
from server.production.common.handler import ProductionHandler
from server.production.sites import grids, site_control, site_tests
from server.rest.routing import Route, allow, urgent

__all__ = ["ROUTES"]

FIELDS = [Field("host", "str", required=True), Field("queues", "dict", required=True),
          Field("version", "str", required=True)]


class Grids(ProductionHandler):
    """All grids."""

    @allow("admin", "client", "system")
    async def get(self) -> None:
        """Grids by id."""
        self.send(await grids.find(self.ctx))

    @allow("admin", "client", "system")
    @takes(*FIELDS)
    async def post(self) -> None:
        """Register a grid."""
        body = self.update_fields() if self.body() else {}
        read_fields(body, FIELDS, closed=False)
        self.send({"result": await grids.create(self.ctx, body, self.user.username)}, 201)


class Grid(ProductionHandler):
    """One grid."""

    @allow("admin", "client", "system")
    async def get(self, grid_id: str) -> None:
        self.send(await grids.get(self.ctx, grid_id))

    @urgent
    @allow("admin", "client", "system")
    async def patch(self, grid_id: str) -> None:
        """Merge fields into the grid; its heartbeat."""
        fields = self.update_fields() if self.body(required=False) else {}
        self.send(await grids.patch(self.ctx, grid_id, fields))


class Control(ProductionHandler):
    """What administrators want of a grid."""

    @allow("admin")
    @takes(Field("state", "str"), Field("limit", "int"), Field("reason", "str"), Field("starts", "str"),
           Field("ends", "str"))
    async def put(self, grid_id: str) -> None:
        """Pause, drain, limit or free a grid, or announce maintenance from starts to ends (UTC); the grid."""
        self.send(await site_control.control(self.ctx, grid_id, self.body(), self.user.username))


class SiteTests(ProductionHandler):
    """What tests of sites came to."""

    @allow("admin", "client", "system")
    async def get(self) -> None:
        """By site: tests of the last days (7), the part that passed, their usual seconds, the last one."""
        days = self.query_int("days", site_tests.DAYS, minimum=1) or site_tests.DAYS
        self.send({"sites": await site_tests.availability(self.ctx, min(days, site_tests.KEPT_DAYS))})


ROUTES = [Route("/site_tests", SiteTests, "grids"),
          Route("/grids", Grids, "grids"), Route("/grids/{grid_id}", Grid, "grids"),
          Route("/grids/{grid_id}/control", Control, "grids")]
