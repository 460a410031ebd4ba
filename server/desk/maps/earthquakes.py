"""Earthquakes: what may have shaken a detector, told by notices of which later ones correct earlier ones."""

from __future__ import annotations

import math
from datetime import datetime

import msgspec

from iceprod.ids import now
from server.common.errors import BadRequest, NotFound
from server.desk.common.access import Document, Visitor
from server.desk.common.bodies import Body, Finite, Name, Text, convert
from server.desk.common.dates import parse_date
from server.desk.common.ids import next_id
from server.desk.maps.quakeml import read_quakeml
from server.desk.people.groups import shown
from server.desk.people.people import find_users
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "EarthquakeBody", "add", "find"]

INDEXES = [Index("desk_earthquakes", "event_id", [("event_id", 1)], unique=True)]

_MOST_NOTICES = 200


class EarthquakeBody(Body):
    """A notice: fields in degrees and km, or a QuakeML document instead of them."""

    event_id: Name | None = None
    event_uri: Name | None = None
    status: Name = "initial"
    date: Text | None = None
    latitude: Finite | None = None
    longitude: Finite | None = None
    depth: Finite | None = None
    magnitude: Finite | None = None
    country: Name | None = None
    xml: Text | None = None


async def add(ctx: Context, who: Visitor, body: EarthquakeBody) -> int:
    """Keep a notice of a new or a known earthquake; the earthquake's id. Raises BadRequest."""
    notice = _notice(_filled(body))
    number, moment = await next_id(ctx, "earthquakes"), now()
    kept = {"id": await next_id(ctx, "earthquake_notices"), "sent_by_id": who.user_id, "created_at": moment,
            **notice}
    known: Document | None = await ctx.db.desk_earthquakes.find_one_and_update(
        {"event_id": kept.pop("event_id")},
        {"$push": {"notices": {"$each": [kept], "$slice": -_MOST_NOTICES}},
         "$set": {"status": body.status, "event_uri": body.event_uri, "modified": moment},
         "$setOnInsert": {"_id": number, "sent_by_id": who.user_id, "created_at": moment, "predictions": [],
                          "measurements": [], "comments": []}},
        {"_id": 1}, upsert=True, return_document=True)
    assert known is not None  # it was made if it was not there
    return int(known["_id"])


def _filled(body: EarthquakeBody) -> EarthquakeBody:
    """The body, with the fields of its QuakeML document."""
    if body.xml is None:
        return body
    quake = read_quakeml(body.xml)
    fields = {name: getattr(quake, name) for name in quake.__dataclass_fields__}
    return convert({**msgspec.to_builtins(body), **fields}, EarthquakeBody)


def _notice(body: EarthquakeBody) -> Document:
    missing = [name for name in ("event_id", "date", "latitude", "longitude") if getattr(body, name) is None]
    if missing:
        raise BadRequest(f"Invalid/missing parameters: {missing[0]!r} is missing")
    place = _degrees("latitude", body.latitude, 90.0) | _degrees("longitude", body.longitude, 360.0)
    return {"event_id": body.event_id, "date": _moment(body.date), **place, "depth": body.depth,
            "magnitude": body.magnitude, "country": body.country}


def _moment(text: str | None) -> datetime:
    assert text is not None
    return parse_date(text, "date")


def _degrees(name: str, value: float | None, limit: float) -> dict[str, float]:
    if value is None or not math.isfinite(value) or abs(value) > limit:
        raise BadRequest(f"{name}: must be from -{limit:g} to {limit:g} degrees, not {value}")
    return {name: value}


async def find(ctx: Context, event_id: str) -> Document:
    """An earthquake with who told of it, its newest notice first. Raises NotFound."""
    row = await ctx.db.desk_earthquakes.find_one({"event_id": event_id})
    if row is None:
        raise NotFound(f"no earthquake {event_id[:60]!r}")
    sender = (await find_users(ctx, [row["sent_by_id"]])).get(row["sent_by_id"])
    return shown({**row, "sent_by": sender, "notices": row["notices"][::-1]})
