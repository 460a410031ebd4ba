"""Spatial catalogues: places with an extent, such as gamma-ray sources with their error ellipses."""

from __future__ import annotations

from typing import Any

from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.bodies import Body, Name, takes
from server.desk.objects import catalog_folder, spatial_catalogs
from server.desk.objects.table_text import as_text
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class SpatialTableBody(Body):
    """A table as comma-separated text: name, ra, dec, and radius or amaj, amin, phi; degrees."""

    catalogName: Name
    catalogData: Any


class SpatialFileBody(Body):
    """A published file: one of the catalogue folder by its name, or its bytes in base64."""

    catalogName: Name
    file_name: Name | None = None
    file_data: str | None = None
    columns: dict[Name, Name] | None = None  # name, ra, dec, radius …: the file's names of these


class SpatialCatalogs(DeskHandler):
    """All of them."""

    @allow("any")
    async def get(self) -> None:
        """Catalogues by their names, a page of them."""
        page = self.page(default=100, cap=1000)
        rows, total = await spatial_catalogs.listed(self.ctx, page.skip, page.size)
        page.check(total)
        self.success(rows)


class SpatialTables(DeskHandler):
    """Tables of places."""

    @needs(UPLOAD_DATA)
    @takes(SpatialTableBody)
    async def post(self) -> None:
        """Make a catalogue of a table, or add to the caller's one of that name."""
        body = self.typed(SpatialTableBody)
        text = as_text(body.catalogData)
        self.success({"id": await spatial_catalogs.add(self.ctx, self.who, body.catalogName, text)})


class SpatialFiles(DeskHandler):
    """Published files of sources, such as the Fermi-LAT catalogues."""

    @needs(UPLOAD_DATA)
    @takes(SpatialFileBody)
    async def post(self) -> None:
        """Make a catalogue of a file (FITS table, VOTable, CSV), or add to the caller's one of that name."""
        body = self.typed(SpatialFileBody)
        data = await catalog_folder.sent_or_local(self.ctx, body.file_name, body.file_data)
        number = await spatial_catalogs.add_file(self.ctx, self.who, body.catalogName, data, body.columns)
        self.success({"id": number})


class SpatialCatalog(DeskHandler):
    """One catalogue."""

    @allow("any")
    async def get(self, catalog_id: str) -> None:
        """A catalogue with its entries, a page of them."""
        page, number = self.page(default=1000, cap=10_000), self.number(catalog_id, "catalog_id")
        row = await spatial_catalogs.find(self.ctx, number)
        entries, total = await spatial_catalogs.entries(self.ctx, number, page.skip, page.size)
        page.check(total)
        self.success({**row, "entries": entries, "entries_count": total, "pageNumber": page.number,
                      "numPerPage": page.size})

    @needs(UPLOAD_DATA)
    async def delete(self, catalog_id: str) -> None:
        """Remove a catalogue of the caller's."""
        await spatial_catalogs.remove(self.ctx, self.who, self.number(catalog_id, "catalog_id"))
        self.success()


ROUTES = [
    Route("/api/spatial_catalog", SpatialCatalogs, "desk"),
    Route("/api/spatial_catalog/ascii", SpatialTables, "desk"),
    Route("/api/spatial_catalog/file", SpatialFiles, "desk"),
    Route("/api/spatial_catalog/{catalog_id:any}", SpatialCatalog, "desk"),
]
