"""What the desk's catalogues have inside the 90 % region of a scan, to be marked on its map."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from server.common.errors import BadRequest
from server.desk.common import positions
from server.desk.maps import localizations
from server.desk.maps.regions import find_region
from server.desk.maps.tiles import Tiles, inside
from server.desk.objects import galaxies, spatial_catalogs
from server.rest.context import Context

__all__ = ["MOST", "Catalog", "Found", "Mark", "catalogs", "marks_in"]

MOST = 50  # marks on a map: more would hide it
GALAXIES = "galaxies"
_LOOKED_AT = 5000  # entries of a spatial catalogue
_CATALOGS = 50
_REGION = 0.9


@dataclass(frozen=True)
class Catalog:
    """A catalogue that can be chosen."""

    value: str
    title: str


@dataclass(frozen=True)
class Mark:
    """An entry inside the region; `level` is the least region that holds it."""

    name: str
    catalog: str
    ra: float
    dec: float
    level: float


@dataclass(frozen=True)
class Found:
    """The most probable entries, and how many there are."""

    marks: list[Mark]
    total: int
    has_map: bool = True


async def catalogs(ctx: Context) -> list[Catalog]:
    """The catalogues of the desk."""
    spatial, _ = await spatial_catalogs.listed(ctx, 0, _CATALOGS)
    return [Catalog(GALAXIES, "Galaxies"),
            *(Catalog(str(one["id"]), str(one["catalog_name"])) for one in spatial if one["entries_count"])]


async def marks_in(ctx: Context, scan_id: str, catalog: str) -> Found:
    """Entries of a catalogue inside a scan's 90 % region. Raises BadRequest."""
    row = await localizations.of_scan(ctx, scan_id)
    if row is None:
        return Found([], 0, has_map=False)
    tiles = await localizations.tiles_of(ctx, row)
    region = await find_region(ctx, row["dateobs"].isoformat(), row["name"], _REGION)
    if catalog == GALAXIES:
        rows, total = await galaxies.best_inside(ctx, region, tiles.level_at, MOST)
        found = [(str(one["name"]), str(one["catalog_name"]), one["ra"], one["dec"]) for one in rows]
    else:
        found = await _entries(ctx, catalog, region)
        total = len(found)
    return Found((await asyncio.to_thread(_ranked, tiles, found))[:MOST], total)


async def _entries(ctx: Context, catalog: str, region: np.ndarray) -> list[tuple[str, str, float, float]]:
    """Entries of a spatial catalogue whose middle is in a region."""
    if not (catalog.isascii() and catalog.isdigit() and len(catalog) < 19):
        raise BadRequest("catalog: must be galaxies or the number of a spatial catalogue")
    known = await spatial_catalogs.find(ctx, int(catalog))
    rows, _ = await spatial_catalogs.entries(ctx, int(catalog), 0, _LOOKED_AT)
    if not rows:
        return []
    title = str(known["catalog_name"])
    found = [(str(row["entry_name"]), title, row["data"]["ra"], row["data"]["dec"]) for row in rows]
    pixels = positions.hpix29_many([one[2] for one in found], [one[3] for one in found])
    return [one for one, is_in in zip(found, inside(region, pixels), strict=True) if is_in]


def _ranked(tiles: Tiles, found: Sequence[tuple[str, str, float, float]]) -> list[Mark]:
    """The most probable places first."""
    if not found:
        return []
    levels = tiles.level_at(positions.hpix29_many([one[2] for one in found], [one[3] for one in found]))
    marks = [Mark(*one, level) for one, level in zip(found, levels.tolist(), strict=True)]
    return sorted(marks, key=lambda mark: (mark.level, mark.name))
