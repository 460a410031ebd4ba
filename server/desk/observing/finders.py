"""Finding charts for any place: checking what was asked, fetching image and stars, drawing."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from astropy import units
from astropy.coordinates import SkyCoord

from iceprod.ids import now
from server.common.errors import BadRequest, TooManyRequests
from server.desk.common.dates import parse_date
from server.desk.common.positions import hpix29
from server.desk.maps import localizations
from server.desk.observing import charts
from server.desk.observing.charts import FACILITIES, Chart, Image, ImageError
from server.desk.outside import archives
from server.desk.outside.archives import Cone
from server.desk.outside.calls import Call, ServiceError, fetch
from server.rest.context import Context

__all__ = ["KINDS", "Asked", "draw", "read"]

KINDS = {"pdf": "application/pdf", "png": "image/png"}
LOCATIONS = ("gaia_dr3", "gaia_dr2", "pos")
SKYMAP = "skymap"  # an image source of our own
SURVEYS = ("ps1", "desi", "dss", "ztfref")
_PIXELS = 600  # of a survey's image, each way
_MOST_AT_ONCE = 8  # charts that are drawn or wait for it
_MOST_STARS = 4
_PEN = ThreadPoolExecutor(1, "chart")  # fonts are shared: one drawing at a time

_drawing = 0


@dataclass(frozen=True)
class Asked:
    """A checked request for a chart; degrees, and arcminutes for the size (degrees of a sky map)."""

    location: str
    catalog_id: int | None
    ra: float
    dec: float
    size: float
    facility: str
    source: str
    obstime: datetime
    kind: str
    stars: int
    dateobs: str | None
    map_name: str | None


def read(query: dict[str, str | None]) -> Asked:
    """What a query asks for. Raises BadRequest, which names the argument."""
    location = _one_of(query, "location_type", LOCATIONS, None)
    at_place = location == "pos"
    catalog_id = None if at_place else _catalog_id(query.get("catalog_id"))
    ra = _number(query, "ra", 0, 360, is_open=True) if at_place else 0.0
    dec = _number(query, "dec", -90, 90) if at_place else 0.0
    obstime = query.get("obstime")
    return Asked(
        location, catalog_id, ra, dec, _number(query, "imsize", 2, 15, default=4.0),
        _one_of(query, "facility", tuple(FACILITIES), "Keck"),
        _one_of(query, "image_source", (*SURVEYS, SKYMAP), "ps1"),
        parse_date(obstime, "obstime") if obstime else now(), _one_of(query, "type", tuple(KINDS), "pdf"),
        _count(query.get("num_offset_stars")), query.get("localizationDateobs"),
        query.get("localizationName"))


def _one_of(query: dict[str, str | None], name: str, known: tuple[str, ...], default: str | None) -> str:
    value = query.get(name) or default
    if value is None:
        raise BadRequest(f"{name}: is needed, one of {', '.join(known)}")
    if value not in known:
        raise BadRequest(f"{name}: must be one of {', '.join(known)}, not {value[:40]!r}")
    return value


def _number(query: dict[str, str | None], name: str, low: float, high: float, *, default: float | None = None,
            is_open: bool = False) -> float:
    text = query.get(name)
    if not text:
        if default is None:
            raise BadRequest(f"{name}: is needed for this location_type")
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (low <= value <= high) or (is_open and value == high):
        limit = "less than" if is_open else "at most"
        raise BadRequest(f"{name}: must be a number from {low:g} and {limit} {high:g}, not {text[:40]!r}")
    return value


def _catalog_id(text: str | None) -> int:
    if not text or not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise BadRequest("catalog_id: must be the number of a Gaia source")
    return int(text)


def _count(text: str | None) -> int:
    if not text:
        return 3
    if text not in {str(number) for number in range(_MOST_STARS + 1)}:
        raise BadRequest(f"num_offset_stars: must be from 0 to {_MOST_STARS}, not {text[:40]!r}")
    return int(text)


async def draw(ctx: Context, asked: Asked) -> tuple[str, bytes]:
    """A chart's name and bytes. Raises BadRequest, ServiceError; TooManyRequests when many wait."""
    global _drawing
    if _drawing >= _MOST_AT_ONCE:
        raise TooManyRequests("many finding charts are being drawn; try again in a few seconds", 3)
    _drawing += 1
    try:
        chart = await _chart(ctx, asked)
        data = await asyncio.get_running_loop().run_in_executor(_PEN, charts.draw, chart, asked.kind)
    finally:
        _drawing -= 1
    return chart.name, data


async def _chart(ctx: Context, asked: Asked) -> Chart:
    name, ra, dec = await _target(ctx, asked)
    image = await _map_image(ctx, asked, ra, dec) if asked.source == SKYMAP else await _survey_image(
        ctx, asked, ra, dec)
    facility = FACILITIES[asked.facility]
    rows: list[dict[str, Any]] = []
    if asked.stars and asked.source != SKYMAP:
        cone = Cone(ra, dec, facility.radius * 60)
        for row in await archives.gaia_near(ctx, "gaiadr3.gaia_source", cone, facility.faintest):
            at = archives.moved_to(row, asked.obstime)
            rows.append({**row, "ra": at[0], "dec": at[1]})
    target = SkyCoord(ra * units.deg, dec * units.deg)
    stars = await asyncio.to_thread(charts.offset_stars, target, rows, facility, asked.stars)
    return Chart(name, ra, dec, asked.facility, asked.obstime, image, stars)


async def _target(ctx: Context, asked: Asked) -> tuple[str, float, float]:
    """Name and place of the target at the time of the observation."""
    if asked.catalog_id is None:
        place = SkyCoord(asked.ra * units.deg, asked.dec * units.deg)
        name = "J" + place.to_string("hmsdms", sep="", precision=1).replace(" ", "")
        return name, asked.ra, asked.dec
    release = asked.location.removeprefix("gaia_")
    row = await archives.gaia_by_id(ctx, release, asked.catalog_id)
    ra, dec = archives.moved_to(row, asked.obstime)
    return f"Gaia_{release.upper()}_{asked.catalog_id}", ra, dec


async def _survey_image(ctx: Context, asked: Asked, ra: float, dec: float) -> Image:
    settings = ctx.settings.catalogs
    survey = settings.image_surveys.get(asked.source)
    if survey is None:
        raise BadRequest(f"image_source: this installation has no address for {asked.source!r}")
    query = {"hips": survey, "width": str(_PIXELS), "height": str(_PIXELS), "fov": f"{asked.size / 60:.6f}",
             "ra": f"{ra:.7f}", "dec": f"{dec:.7f}", "projection": "TAN", "coordsys": "icrs",
             "format": "fits"}
    data = await fetch(ctx, Call("The image service", settings.images_url, query))
    try:
        return await asyncio.to_thread(charts.read_image, data, f"{asked.source} {asked.size:g}'")
    except ImageError as error:
        raise ServiceError(f"The image service answers no image: {error}") from None


async def _map_image(ctx: Context, asked: Asked, ra: float, dec: float) -> Image:
    """A cut-out of the named sky map, or of the newest that has the place in its region."""
    if asked.dateobs:
        row = await localizations.find(ctx, parse_date(asked.dateobs, "localizationDateobs"), asked.map_name)
    else:
        known = await localizations.levels_at(ctx, hpix29(ra, dec))
        if not known:
            raise BadRequest("image_source: no sky map has this place in its 99 % region;"
                             " name one by localizationDateobs")
        moment = parse_date(known[0]["dateobs"], "dateobs")
        row = await localizations.find(ctx, moment, known[0]["name"])
    tiles = await localizations.tiles_of(ctx, row)
    title = f"sky map {row['name']}, {asked.size:g} deg"
    return await asyncio.to_thread(charts.chart_of_map, tiles, ra, dec, asked.size, title)
