"""Galaxies: the reference catalogue, and which galaxy hosts an object."""

from __future__ import annotations

from typing import Any

from server.common.errors import BadRequest
from server.desk.common.acls import SYSTEM_ADMIN, UPLOAD_DATA
from server.desk.common.bodies import Body, Name, Text, takes
from server.desk.maps import regions
from server.desk.maps.regions import read_cumprob
from server.desk.objects import galaxies, galaxy_imports, objs
from server.desk.objects.table_text import as_text
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class TableBody(Body):
    """A table of galaxies as comma-separated text with a header."""

    catalogName: Name
    catalogData: Any


class GladeBody(Body):
    """Where GLADE+ is: a file in the catalogue folder, or an address."""

    file_name: Text | None = None
    file_url: Text | None = None


class HostBody(Body):
    """A galaxy by its name."""

    galaxyName: Name


class Galaxies(DeskHandler):
    """The catalogue of galaxies."""

    @allow("any")
    async def get(self) -> None:
        """Galaxies of a catalogue, by distance or redshift, inside a credible region."""
        page = self.page(default=100, cap=10_000)
        query = self._query()
        dateobs = self.query_given("localizationDateobs")
        name = self.query_given("localizationName")
        cumprob = read_cumprob(self.query_given("localizationCumprob"))
        if dateobs is None:
            if name is not None:
                raise BadRequest("localizationName: give localizationDateobs with it")
            rows, total = await galaxies.page_of(self.ctx, query, page.skip, page.size)
        else:
            region = await regions.find_region(self.ctx, dateobs, name, cumprob)
            rows, total = await galaxies.page_inside(self.ctx, query, region, page.skip, page.size)
        page.check(total)
        self.success({"galaxies": [galaxies.shown(row) for row in rows], "totalMatches": total,
                      "pageNumber": page.number, "numPerPage": page.size})

    def _query(self) -> dict[str, Any]:
        """The conditions on a galaxy's own values. Raises BadRequest."""
        given = {"catalog_name": self.query_given("catalog_name"), "name": self.query_given("galaxyName")}
        bounds = {
            "distmpc": (self.query_given("minDistance"), self.query_given("maxDistance")),
            "redshift": (self.query_given("minRedshift"), self.query_given("maxRedshift")),
            "magb": (self.query_given("minMagB"), self.query_given("maxMagB"))}
        query: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        for name, (low, high) in bounds.items():
            between = {"$gte": _number(low, name), "$lte": _number(high, name)}
            if wanted := {key: value for key, value in between.items() if value is not None}:
                query[name] = wanted
        return query


def _number(text: str | None, name: str) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or abs(value) == float("inf"):
        raise BadRequest(f"limits of {name} must be numbers, not {text[:40]!r}")
    return value


class GalaxyTables(DeskHandler):
    """Tables of galaxies."""

    @needs(UPLOAD_DATA)
    @takes(TableBody)
    async def post(self) -> None:
        """Add galaxies from a table; they are there shortly after."""
        body = self.typed(TableBody)
        await galaxy_imports.add_table(self.ctx, self.who, body.catalogName, as_text(body.catalogData))
        self.success()


class Glade(DeskHandler):
    """The GLADE+ catalogue."""

    @needs(SYSTEM_ADMIN)
    @takes(GladeBody)
    async def post(self) -> None:
        """Import GLADE+, in the background."""
        body = self.typed(GladeBody, required=False)
        await galaxy_imports.start_glade(self.ctx, self.who, body.file_name, body.file_url)
        self.success()


class Host(DeskHandler):
    """The galaxy that hosts an object."""

    @needs(UPLOAD_DATA)
    @takes(HostBody)
    async def post(self, obj_id: str) -> None:
        """Say which galaxy hosts an object."""
        body = self.typed(HostBody)
        galaxy = await galaxies.find_named(self.ctx, body.galaxyName)
        await objs.change(self.ctx, self.who, obj_id, {"host_id": galaxy["_id"]})
        self.success()

    @needs(UPLOAD_DATA)
    async def delete(self, obj_id: str) -> None:
        """Say that no host is known."""
        await objs.change(self.ctx, self.who, obj_id, {"host_id": None})
        self.success()


ROUTES = [
    Route("/api/galaxy_catalog", Galaxies, "desk"),
    Route("/api/galaxy_catalog/ascii", GalaxyTables, "desk"),
    Route("/api/galaxy_catalog/glade", Glade, "desk"),
    Route("/api/sources/{obj_id:any}/host", Host, "desk"),
]
