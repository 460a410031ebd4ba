"""Outside catalogues: cross-matches of one object, imports of transients, searches of a region; charts."""

from __future__ import annotations

from typing import Any

import msgspec

from server.desk.catalogs import catalog_queries, crossmatch, transients
from server.desk.catalogs.crossmatch import CrossmatchBody
from server.desk.common import jobs
from server.desk.common.bodies import Body, Id, Name, Text, takes
from server.desk.common.dates import query_date
from server.desk.observing import finders
from server.desk.people.handler import DeskHandler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

_LISTED = 500


class ImportBody(Body):
    """Which telescope's first instrument the transients are for, and from which days."""

    telescope_name: Name | None = None
    startDate: Text | None = None
    endDate: Text | None = None


class QueryBody(Body):
    """A search: credentials by the allocation, and in the payload what to search where and when."""

    allocation_id: Id
    payload: Any = None
    target_group_ids: list[Id] = msgspec.field(default_factory=list)
    status: Text = "pending submission"


class GaiaMatch(DeskHandler):
    """Stars near an object."""

    @allow("any")
    @takes(CrossmatchBody)
    async def post(self, obj_id: str) -> None:
        """Keep what the Gaia archive knows at an object's place as an annotation."""
        await crossmatch.gaia(self.ctx, self.who, obj_id, self.typed(CrossmatchBody, required=False))
        self.success()


class IrsaMatch(DeskHandler):
    """Infrared sources near an object."""

    @allow("any")
    @takes(CrossmatchBody)
    async def post(self, obj_id: str) -> None:
        """Keep what IRSA knows at an object's place as an annotation."""
        await crossmatch.irsa(self.ctx, self.who, obj_id, self.typed(CrossmatchBody, required=False))
        self.success()


class VizierMatch(DeskHandler):
    """Quasars, or sources of any catalogue, near an object."""

    @allow("any")
    @takes(CrossmatchBody)
    async def post(self, obj_id: str) -> None:
        """Keep what VizieR knows at an object's place as an annotation."""
        await crossmatch.vizier(self.ctx, self.who, obj_id, self.typed(CrossmatchBody, required=False))
        self.success()


class SwiftTransients(DeskHandler):
    """X-ray transients."""

    @allow("any")
    @takes(ImportBody)
    async def post(self) -> None:
        """Import the Swift LSXPS transients, in the background."""
        body = self.typed(ImportBody, required=False)
        await transients.start(self.ctx, self.who, "swift", body.telescope_name or "Swift")
        self.success()


class GaiaAlerts(DeskHandler):
    """Optical transients."""

    @allow("any")
    @takes(ImportBody)
    async def post(self) -> None:
        """Import the alerts of Gaia, in the background."""
        body = self.typed(ImportBody, required=False)
        first, last = query_date(body.startDate, "startDate"), query_date(body.endDate, "endDate")
        await transients.start(self.ctx, self.who, "gaia_alerts", body.telescope_name or "Gaia", first, last)
        self.success()


class CatalogQueries(DeskHandler):
    """Searches of outside catalogues."""

    @allow("any")
    async def get(self) -> None:
        """The caller's searches and those of the caller's groups, with how far they are."""
        rows = await jobs.listed(self.ctx, self.who, [catalog_queries.KIND], _LISTED)
        self.success([jobs.shown(row) for row in rows])

    @allow("any")
    @takes(QueryBody)
    async def post(self) -> None:
        """Search a region of a sky map in an outside catalogue, in the background."""
        body = self.typed(QueryBody)
        number = await catalog_queries.add(self.ctx, self.who, body.allocation_id, body.payload,
                                           body.target_group_ids)
        self.success({"id": number})


class CatalogImports(DeskHandler):
    """Imports of catalogues."""

    @allow("any")
    async def get(self) -> None:
        """The caller's imports and those of the caller's groups, with how far they are."""
        rows = await jobs.listed(self.ctx, self.who, jobs.IMPORTS, _LISTED)
        self.success([jobs.shown(row) for row in rows])


class UnsourcedFinder(DeskHandler):
    """Finding charts."""

    @allow("any")
    async def get(self) -> None:
        """A finding chart for a place, or for a Gaia source."""
        asked = finders.read({
            "location_type": self.query_given("location_type"), "catalog_id": self.query_given("catalog_id"),
            "ra": self.query_given("ra"), "dec": self.query_given("dec"),
            "imsize": self.query_given("imsize"),
            "facility": self.query_given("facility"), "image_source": self.query_given("image_source"),
            "use_ztfref": self.query_given("use_ztfref"), "obstime": self.query_given("obstime"),
            "type": self.query_given("type"), "num_offset_stars": self.query_given("num_offset_stars"),
            "localizationDateobs": self.query_given("localizationDateobs"),
            "localizationName": self.query_given("localizationName")})
        name, data = await finders.draw(self.ctx, asked)
        self.set_header("Content-Type", finders.KINDS[asked.kind])
        if asked.kind == "pdf":
            self.set_header("Content-Disposition", f'attachment; filename="finder_{name}.pdf"')
        self.finish(data)


ROUTES = [
    Route("/api/sources/{obj_id:any}/annotations/gaia", GaiaMatch, "desk"),
    Route("/api/sources/{obj_id:any}/annotations/irsa", IrsaMatch, "desk"),
    Route("/api/sources/{obj_id:any}/annotations/vizier", VizierMatch, "desk"),
    Route("/api/catalogs/swift_lsxps", SwiftTransients, "desk"),
    Route("/api/catalogs/gaia_alerts", GaiaAlerts, "desk"),
    Route("/api/catalogs/imports", CatalogImports, "desk"),
    Route("/api/catalog_queries", CatalogQueries, "desk"),
    Route("/api/unsourced_finder", UnsourcedFinder, "desk"),
]
