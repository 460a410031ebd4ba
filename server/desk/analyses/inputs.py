"""What an analysis is given of an object, as texts: CSV with a line of names first, one text per input.

photometry       mjd, filter, flux, fluxerr (µJy), mag, magerr (AB), instrument_id
spectra          one line per stored spectrum, columns as they are stored
redshift         redshift
annotations      origin, data (JSON)
comments         text, created_at
classifications  classification, probability, created_at
localization     ra, dec (degrees, ICRS), area (sr), density (per sr): tiles of the sky map
scan_result      nside, index (RING), llh, E_in, E_tot (GeV), X, Y, Z (m), T (ns): pixels of that map's scan
event            dateobs, name, scan_id, best_ra, best_dec, area_50, area_90 (deg²): of that map
catalogs         catalog, region, area (deg²), count: galaxies in the map's 50 and 90 % regions, in a disc
                 of 10 degrees around the object, and on the whole sky
"""

from __future__ import annotations

import asyncio
import csv
import io
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from scanner.maps import healpix
from scanner.maps.result import PIXEL_DTYPE, ScanResult
from server.common.errors import BadRequest, NotFound
from server.desk.common.access import Document, Visitor
from server.desk.common.dates import parse_date
from server.desk.judgement import classifications
from server.desk.maps import events, localizations
from server.desk.maps.tiles import Tiles, merged
from server.desk.objects import galaxies, measurements, notes
from server.rest.context import Context
from server.scans.results import maps

__all__ = ["gather"]

MOST_TILES = 200_000  # of a map; those with the highest density
DISC = 10.0  # degrees
REGIONS = (0.5, 0.9)
_DISC_NSIDE = 128
_FULL_SKY_SR = 4 * np.pi


async def gather(ctx: Context, who: Visitor, obj: Document, kinds: Sequence[str],
                 parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The texts of these inputs, as far as the visitor may see them, and the parameters.

    Raises BadRequest when a map is needed and there is none that holds the object.
    """
    found: dict[str, Any] = {"analysis_parameters": dict(parameters)}
    around = _Around(ctx, who, obj, parameters)
    for kind in kinds:
        found[kind] = await _MAKERS[kind](around)
    return found


class _Around:
    """An object and, when somebody needs it, the sky map that it is looked at with."""

    def __init__(self, ctx: Context, who: Visitor, obj: Document, parameters: Mapping[str, Any]) -> None:
        self.ctx, self.who, self.obj, self.parameters = ctx, who, obj, parameters
        self._map: Document | None = None

    @property
    def name(self) -> str:
        return str(self.obj["_id"])

    async def map(self) -> Document:
        """The map that `parameters` name (``localization``: "dateobs" or "dateobs/name"), else the newest
        that holds the object. Raises BadRequest.
        """
        if self._map is None:
            self._map = await self._found()
        return self._map

    async def _found(self) -> Document:
        if named := str(self.parameters.get("localization") or ""):
            dateobs, _, name = named.partition("/")
            moment = parse_date(dateobs, "analysis_parameters: localization")
            return await localizations.find(self.ctx, moment, name or None)
        levels = [] if self.obj["hpix29"] is None else await localizations.levels_at(
            self.ctx, self.obj["hpix29"])
        if not levels:
            raise BadRequest(f"analysis_parameters: no sky map holds {self.name}; name one, as "
                             '{"localization": "<dateobs>/<name>"}')
        moment = parse_date(levels[0]["dateobs"], "dateobs")
        return await localizations.find(self.ctx, moment, levels[0]["name"])

    async def tiles(self) -> Tiles:
        return await localizations.tiles_of(self.ctx, await self.map())


async def _photometry(around: _Around) -> str:
    rows = await measurements.rows(around.ctx, around.who, "photometry", [around.name])
    return _csv(("mjd", "filter", "flux", "fluxerr", "mag", "magerr", "instrument_id"), rows)


async def _spectra(around: _Around) -> str:
    rows = await measurements.rows(around.ctx, around.who, "spectrum", [around.name])
    return _csv(("id", "wavelengths", "fluxes", "errors", "observed_at", "instrument_id"), rows)


async def _redshift(around: _Around) -> str:
    return _csv(("redshift", "redshift_error"), [around.obj])


async def _annotations(around: _Around) -> str:
    found = await notes.of_objects(around.ctx, around.who, [around.name])
    return _csv(("origin", "data", "created_at"), found.get(around.name, []))


async def _comments(around: _Around) -> str:
    rows = await measurements.rows(around.ctx, around.who, "comment", [around.name])
    return _csv(("text", "created_at"), rows)


async def _classifications(around: _Around) -> str:
    found = await classifications.of_objects(around.ctx, around.who, [around.name])
    return _csv(("classification", "probability", "created_at"), found.get(around.name, []))


async def _localization(around: _Around) -> str:
    return await asyncio.to_thread(_tile_table, await around.tiles())


async def _scan_result(around: _Around) -> str:
    row = await around.map()
    if not row.get("scan_id"):
        raise BadRequest(f"input scan_result: the map {row['name']} is of no scan; name one that is, as "
                         '{"localization": "<dateobs>/<name>"}')
    try:
        result, _ = await maps.latest(around.ctx, row["scan_id"])
    except NotFound as error:  # its scan was deleted since
        raise BadRequest(f"input scan_result: {error.reason}") from None
    return await asyncio.to_thread(_pixel_table, result)


async def _event(around: _Around) -> str:
    row = await around.map()
    event = await events.find(around.ctx, row["dateobs"])
    facts = {**row, "best_ra": row["best"]["ra"], "best_dec": row["best"]["dec"], "obj_ra": around.obj["ra"],
             "obj_dec": around.obj["dec"], "aliases": event["aliases"], "tags": event["tags"]}
    return _csv(("dateobs", "name", "scan_id", "best_ra", "best_dec", "area_50", "area_90", "obj_ra",
                 "obj_dec", "aliases", "tags"), [facts])


async def _catalogs(around: _Around) -> str:
    """How many galaxies of each catalogue there are in the map's regions, around the object, in all."""
    tiles = await around.tiles()
    regions = {f"{level:.0%}": await asyncio.to_thread(_region, tiles, level) for level in REGIONS}
    if around.obj["ra"] is not None:
        regions["disc"] = await asyncio.to_thread(_disc, around.obj["ra"], around.obj["dec"])
    rows = [row async for row in _counted(around.ctx, regions)]
    return _csv(("catalog", "region", "area", "count"), rows)


def _region(tiles: Tiles, level: float) -> np.ndarray:
    return tiles.ranges(tiles.chosen(level))


async def _counted(ctx: Context, regions: Mapping[str, np.ndarray]) -> Any:
    for catalog in sorted(await ctx.db.desk_galaxies.distinct("catalog_name")):
        query = {"catalog_name": catalog}
        for name, ranges in regions.items():
            _, count = await galaxies.page_inside(ctx, query, ranges, 0, 0)
            yield {"catalog": catalog, "region": name, "area": _area(ranges), "count": count}
        total = await ctx.db.desk_galaxies.count_documents(query)
        yield {"catalog": catalog, "region": "sky", "area": healpix.FULL_SKY_DEG2, "count": total}


def _area(ranges: np.ndarray) -> float:
    """Square degrees of ranges at order 29."""
    share = float((ranges[:, 1] - ranges[:, 0]).sum()) / (12.0 * 4.0 ** healpix.MAX_ORDER)
    return share * healpix.FULL_SKY_DEG2


def _disc(ra: float, dec: float) -> np.ndarray:
    nested = healpix.ring_to_nest(_DISC_NSIDE, healpix.disc(_DISC_NSIDE, ra, dec, DISC))
    shift = 2 * (healpix.MAX_ORDER - healpix.order_of(_DISC_NSIDE))
    return merged(np.column_stack([nested << shift, (nested + 1) << shift]))


def _tile_table(tiles: Tiles) -> str:
    densest = np.argsort(-tiles.density, kind="stable")[:MOST_TILES]
    order, nested = healpix.from_uniq(tiles.uniq[densest])
    ra, dec = np.empty(len(densest)), np.empty(len(densest))
    for one in np.unique(order):
        here, nside = order == one, healpix.nside_of(int(one))
        ra[here], dec[here] = healpix.centres(nside, healpix.nest_to_ring(nside, nested[here]))
    area = _FULL_SKY_SR / (12.0 * 4.0**order)
    lines = zip(ra.tolist(), dec.tolist(), area.tolist(), tiles.density[densest].tolist(), strict=True)
    return "ra,dec,area,density\n" + "".join(f"{a!r},{b!r},{c!r},{d!r}\n" for a, b, c, d in lines)


def _pixel_table(result: ScanResult) -> str:
    lines = (f"{nside},{','.join(map(_figure, row))}\n"
             for nside, table in result.pixels.items() for row in table.tolist())
    return f"nside,{','.join(PIXEL_DTYPE.names or ())}\n" + "".join(lines)


def _figure(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


_MAKERS: dict[str, Callable[[_Around], Awaitable[str]]] = {
    "photometry": _photometry, "spectra": _spectra, "redshift": _redshift, "annotations": _annotations,
    "comments": _comments, "classifications": _classifications, "localization": _localization,
    "scan_result": _scan_result, "event": _event, "catalogs": _catalogs}
