"""Telescopes and the instruments on them, by which follow-up is asked for and catalogues are told apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document
from server.desk.common.acls import LISTENERS
from server.desk.common.bodies import Body, Finite, Id, Name, Text
from server.desk.common.ids import next_id
from server.desk.common.vocabulary import ENUM_TYPES
from server.desk.observing import footprints
from server.desk.people.groups import shown
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "InstrumentBody", "TelescopeBody", "add_instrument", "add_telescope", "find_instrument",
           "find_telescope", "first_of_nickname", "instruments", "names_of", "telescopes"]

INDEXES = [
    Index("desk_telescopes", "nickname", [("nickname", 1)]),
    Index("desk_telescopes", "name", [("name", 1)]),
    Index("desk_instruments", "telescope_id", [("telescope_id", 1)]),
    Index("desk_instruments", "name", [("name", 1)]),
]


class TelescopeBody(Body):
    """A telescope: place in degrees and metres, diameter in metres."""

    name: Name
    nickname: Name
    lat: Finite | None = None
    lon: Finite | None = None
    elevation: Finite | None = None
    diameter: Finite | None = None
    skycam_link: Text | None = None
    weather_link: Text | None = None
    robotic: bool = False
    fixed_location: bool = True


class InstrumentBody(Body):
    """An instrument: its filters, and the classes by which it is asked and reports."""

    name: Name
    telescope_id: Id
    type: Name = "imager"
    band: Text | None = None
    filters: list[Name] = msgspec.field(default_factory=list)
    sensitivity_data: dict | None = None
    configuration_data: dict | None = None
    status: dict | None = None
    api_classname: Name | None = None
    api_classname_obsplan: Name | None = None
    listener_classname: Name | None = None
    treasuremap_id: Id | None = None
    tns_id: Id | None = None
    region: Text | None = None
    field_fov_type: Literal["circle", "rectangle"] | None = None
    field_fov_attributes: Finite | list[Finite] | None = None  # radius, or width and height, in degrees
    field_data: dict | None = None  # lists ID, RA, Dec of the fields that it points at


async def add_telescope(ctx: Context, body: TelescopeBody) -> int:
    """Add a telescope; the id. Raises BadRequest: no such place."""
    for name, value, limit in (("lat", body.lat, 90), ("lon", body.lon, 360)):
        if value is not None and not -limit <= value <= limit:
            raise BadRequest(f"{name}: must be from -{limit} to {limit} degrees, not {value}")
    return await _add(ctx, "telescopes", body)


async def add_instrument(ctx: Context, body: InstrumentBody) -> int:
    """Add an instrument; the id. Raises BadRequest: no such telescope, filter or class."""
    for name in body.filters:
        _check_word("filters", name, "ALLOWED_BANDPASSES")
    for field in ("api_classname", "api_classname_obsplan"):
        if (word := getattr(body, field)) is not None:
            _check_word(field, word, "ALLOWED_API_CLASSNAMES")
    footprints.check({name: getattr(body, name) for name in body.__struct_fields__})
    if (listener := body.listener_classname) is not None and listener not in LISTENERS:
        raise BadRequest(f"listener_classname: {listener[:60]!r} is none of {', '.join(LISTENERS)}")
    await find_telescope(ctx, body.telescope_id)
    return await _add(ctx, "instruments", body)


def _check_word(field: str, word: str, vocabulary: str) -> None:
    if word not in ENUM_TYPES[vocabulary]:
        raise BadRequest(f"{field}: {word[:60]!r} is none of {vocabulary} (see /api/enum_types)")


async def _add(ctx: Context, kind: str, body: Body) -> int:
    moment = now()
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    row = {"_id": await next_id(ctx, kind), **fields, "created_at": moment, "modified": moment}
    await ctx.db[f"desk_{kind}"].insert_one(row)
    return int(row["_id"])


async def telescopes(ctx: Context, name: str | None = None) -> list[Document]:
    """All telescopes, or those of one name, by id."""
    query = {"name": name} if name is not None else {}
    return [shown(row) for row in await ctx.db.desk_telescopes.find(query, sort=[("_id", 1)]).to_list()]


async def instruments(ctx: Context, name: str | None = None) -> list[Document]:
    """All instruments, or those of one name, by id."""
    query = {"name": name} if name is not None else {}
    return [shown(row) for row in await ctx.db.desk_instruments.find(query, sort=[("_id", 1)]).to_list()]


async def find_telescope(ctx: Context, telescope_id: int) -> Document:
    """A telescope. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_telescopes.find_one({"_id": telescope_id})
    if row is None:
        raise BadRequest(f"no telescope {telescope_id}")
    return row


async def find_instrument(ctx: Context, instrument_id: int) -> Document:
    """An instrument. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_instruments.find_one({"_id": instrument_id})
    if row is None:
        raise BadRequest(f"no instrument {instrument_id}")
    return row


async def names_of(ctx: Context, instrument_ids: Iterable[int]) -> dict[int, str]:
    """The names of some instruments."""
    cursor = ctx.db.desk_instruments.find({"_id": {"$in": sorted(instrument_ids)}}, {"name": 1})
    return {row["_id"]: row["name"] async for row in cursor}


async def first_of_nickname(ctx: Context, nickname: str) -> Document:
    """The first instrument of the telescope of that nickname. Raises BadRequest."""
    telescope = await ctx.db.desk_telescopes.find_one({"nickname": nickname}, sort=[("_id", 1)])
    row: Document | None = telescope and await ctx.db.desk_instruments.find_one(
        {"telescope_id": telescope["_id"]}, sort=[("_id", 1)])
    if row is None:
        raise BadRequest(f"Expected a Telescope named {nickname} with an instrument")
    return row
