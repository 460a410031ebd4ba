"""What the page of an object shows: all that the visitor may see of it, each list cut to what fits a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from astropy import units
from astropy.coordinates import SkyCoord

from server.desk.common.access import Document, Visitor
from server.desk.common.positions import galactic_many
from server.desk.judgement import candidates, classifications, filters
from server.desk.maps import event_list, localizations
from server.desk.maps.event_list import Row
from server.desk.objects import listings, measurements, notes, objs, sources
from server.desk.objects.distances import Distance, distance
from server.desk.observing import instruments
from server.rest.context import Context
from server.web.desk import event_titles
from server.web.desk.desk_view import FAVORITES, REJECTED, Choice, classes_of
from server.web.desk.light_curve import Curve, curves

__all__ = ["MOST_ROWS", "ObjectView", "Place", "place", "view"]

MOST_ROWS = 100  # of each list
MOST_POINTS = 2000  # of a light curve


@dataclass(frozen=True)
class Place:
    """Where an object is: degrees, hours and degrees in sixties, and Galactic degrees."""

    ra: float
    dec: float
    sexagesimal: str
    galactic: tuple[float, float]


@dataclass(frozen=True)
class ObjectView:
    """The page."""

    obj: Document
    place: Place | None
    distance: Distance
    host: Document | None
    groups: list[Document]
    passages: list[tuple[str, Document]]
    judgements: list[Document]
    classes: list[Choice]
    annotations: list[Document]
    comments: list[Document]
    spectra: list[Document]
    points: list[Document]
    instruments: dict[int, str]  # names by number, of the points
    light_curves: list[Curve]
    maps: list[dict[str, Any]]
    is_favorite: bool
    is_rejected: bool

    @property
    def name(self) -> str:
        return str(self.obj["_id"])


async def view(ctx: Context, who: Visitor, obj: Document) -> ObjectView:
    """The page of an object's document, as the visitor may see it."""
    name = obj["_id"]
    points = await measurements.latest(ctx, who, "photometry", name, MOST_POINTS)
    on_lists = await listings.lists_of(ctx, who, name)
    return ObjectView(
        obj, place(obj), distance(obj["altdata"], obj["redshift"]), await objs.host(ctx, obj),
        (await sources.saved_groups(ctx, who, [name])).get(name, []), await _passages(ctx, who, name),
        (await classifications.of_objects(ctx, who, [name])).get(name, [])[-MOST_ROWS:],
        await classes_of(ctx, who),
        (await notes.of_objects(ctx, who, [name])).get(name, [])[:MOST_ROWS],
        await measurements.latest(ctx, who, "comment", name, MOST_ROWS),
        await measurements.latest(ctx, who, "spectrum", name, MOST_ROWS),
        points, await _instruments(ctx, points), curves(name, points), await _maps(ctx, obj),
        FAVORITES in on_lists, REJECTED in on_lists)


def place(obj: Mapping[str, Any]) -> Place | None:
    """Where an object is; None for one without a position."""
    ra, dec = obj["ra"], obj["dec"]
    if ra is None:
        return None
    at = SkyCoord(ra * units.deg, dec * units.deg)
    hours = at.ra.to_string(unit="hourangle", sep=":", precision=2, pad=True)
    degrees = at.dec.to_string(unit="deg", sep=":", precision=1, pad=True, alwayssign=True)
    lon, lat = galactic_many([ra], [dec])
    return Place(ra, dec, f"{hours} {degrees}", (float(lon[0]), float(lat[0])))


async def _passages(ctx: Context, who: Visitor, name: str) -> list[tuple[str, Document]]:
    """Through which filters the object passed and when, the latest first."""
    rows = (await candidates.of_objects(ctx, who, [name])).get(name, [])[:MOST_ROWS]
    title = {one["_id"]: one["name"] for one in await filters.readable(ctx, who)}
    return [(title.get(row["filter_id"], str(row["filter_id"])), row) for row in rows]


async def _instruments(ctx: Context, points: Sequence[Document]) -> dict[int, str]:
    known = {number for point in points if (number := point.get("instrument_id")) is not None}
    return await instruments.names_of(ctx, known)


async def _maps(ctx: Context, obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sky maps that hold the object, with the titles of their events."""
    found = [] if obj["hpix29"] is None else await localizations.levels_at(ctx, obj["hpix29"])
    moments = sorted({datetime.fromisoformat(one["dateobs"]) for one in found})
    events = {event["dateobs"]: event for event in await ctx.db.desk_gcn_events.find(
        {"dateobs": {"$in": moments}}).to_list()}
    maps = {one["_id"]: one for some in (await event_list.maps_of(ctx, moments)).values() for one in some}
    rows = {number: Row(events[one["dateobs"]], [one]) for number, one in maps.items()}
    reco = await event_titles.recos_of(ctx, list(rows.values()))
    given = await event_titles.names_of(ctx, list(rows.values()))
    return [{**one, "title": event_titles.title(rows[one["id"]], given, reco)} for one in found]
