"""Spatial catalogues: named places with an extent, and which objects lie in one of them.

An entry is a circle or an ellipse with sharp edges, as its catalogue states it (for most that is the region
of 95 %). Catalogues are for everybody with a token; who made one may change and remove it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from scanner.maps import healpix
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, may
from server.desk.common.errors import Unauthorized
from server.desk.common.ids import next_id, next_ids
from server.desk.maps.membership import restrict
from server.desk.maps.skymaps import offsets
from server.desk.maps.tiles import merged
from server.desk.objects.spatial_files import read_file
from server.desk.objects.spatial_text import Entry, SpatialTextError, read_entries
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "add_file", "between", "entries", "find", "listed", "objects_in", "remove"]

INDEXES = [
    Index("desk_spatial_catalogs", "name", [("catalog_name", 1)], unique=True),
    Index("desk_spatial_entries", "name", [("catalog_id", 1), ("entry_name", 1)], unique=True),
    Index("desk_spatial_entries", "dec", [("catalog_id", 1), ("data.dec", 1)]),
]

MOST_OBJECTS = 20_000
_PIXELS_ACROSS = 8  # of the pixels that cover an entry, over its longer half axis
_FINEST = 24
_AT_ONCE = 1000


async def add(ctx: Context, who: Visitor, name: str, text: str) -> int:
    """Store the entries of a table; those whose names the catalogue has are brought up to date. Its id.

    Raises BadRequest: a bad table. Raises Unauthorized: somebody else's catalogue.
    """
    return await _store(ctx, who, name, lambda: read_entries(text))


async def add_file(ctx: Context, who: Visitor, name: str, data: bytes,
                   columns: Mapping[str, str] | None = None) -> int:
    """The same of a published file: FITS, VOTable or text; `columns` says what its columns are called."""
    return await _store(ctx, who, name, lambda: read_file(data, columns))


async def _store(ctx: Context, who: Visitor, name: str, read: Callable[[], dict[str, Entry]]) -> int:
    try:
        found = await asyncio.to_thread(read)
    except SpatialTextError as error:
        raise BadRequest(str(error)) from None
    number = await _own(ctx, who, name)
    names = list(found)
    for start in range(0, len(names), _AT_ONCE):
        some = names[start:start + _AT_ONCE]
        fresh = await next_ids(ctx, "spatial_entries", len(some))
        await ctx.db.desk_spatial_entries.bulk_write([
            UpdateOne({"catalog_id": number, "entry_name": entry},
                      {"$set": {"data": found[entry].data, "about": found[entry].about, "modified": now()},
                       "$setOnInsert": {"_id": entry_id, "created_at": now()}}, upsert=True)
            for entry_id, entry in zip(fresh, some, strict=True)], ordered=False)
    return number


async def _own(ctx: Context, who: Visitor, name: str) -> int:
    """The visitor's catalogue of a name, made when there is none."""
    row = await ctx.db.desk_spatial_catalogs.find_one({"catalog_name": name})
    if row is None:
        row = {"_id": await next_id(ctx, "spatial_catalogs"), "catalog_name": name, "owner_id": who.user_id,
               "created_at": now(), "modified": now()}
        try:
            await ctx.db.desk_spatial_catalogs.insert_one(row)
        except DuplicateKeyError:  # made by somebody just now
            return await _own(ctx, who, name)
    _check_owner(who, row)
    await ctx.db.desk_spatial_catalogs.update_one({"_id": row["_id"]}, {"$set": {"modified": now()}})
    return int(row["_id"])


def _check_owner(who: Visitor, row: Mapping[str, Any]) -> None:
    if not may("spatial_catalog", who, row):
        raise Unauthorized(f"the spatial catalog {row['catalog_name']!r} belongs to another user")


async def between(ctx: Context, name: str, lowest: float, highest: float) -> list[Document] | None:
    """The entries of a catalogue in a band of declination (degrees); None when there is no such catalogue."""
    row = await ctx.db.desk_spatial_catalogs.find_one({"catalog_name": name})
    if row is None:
        return None
    query = {"catalog_id": row["_id"], "data.dec": {"$gte": lowest, "$lte": highest}}
    return await ctx.db.desk_spatial_entries.find(query).to_list()


async def listed(ctx: Context, skip: int, limit: int) -> tuple[list[Document], int]:
    """Catalogues by their names with the number of their entries, a page of them; and how many there are."""
    rows = await ctx.db.desk_spatial_catalogs.find({}).sort("catalog_name").skip(skip).limit(limit).to_list()
    counts = [await ctx.db.desk_spatial_entries.count_documents({"catalog_id": row["_id"]}) for row in rows]
    found = [{**_shown(row), "entries_count": count} for row, count in zip(rows, counts, strict=True)]
    return found, await ctx.db.desk_spatial_catalogs.estimated_document_count()


async def find(ctx: Context, number: int) -> Document:
    """A catalogue. Raises BadRequest."""
    row = await ctx.db.desk_spatial_catalogs.find_one({"_id": number})
    if row is None:
        raise BadRequest(f"there is no spatial catalog {number}")
    return _shown(row)


async def entries(ctx: Context, number: int, skip: int, limit: int) -> tuple[list[Document], int]:
    """Entries of a catalogue by their names, a page of them; and how many there are."""
    query = {"catalog_id": number}
    cursor = ctx.db.desk_spatial_entries.find(query).sort("entry_name").skip(skip).limit(limit)
    return [_shown(row) for row in await cursor.to_list()], \
        await ctx.db.desk_spatial_entries.count_documents(query)


def _shown(row: Mapping[str, Any]) -> Document:
    return {"id": row["_id"], **{name: value for name, value in row.items() if name != "_id"}}


async def remove(ctx: Context, who: Visitor, number: int) -> None:
    """Remove a catalogue; its entries first, so that one that is half removed can be removed again.

    Raises BadRequest, Unauthorized.
    """
    row = await ctx.db.desk_spatial_catalogs.find_one({"_id": number})
    if row is None:
        raise BadRequest(f"there is no spatial catalog {number}")
    _check_owner(who, row)
    await ctx.db.desk_spatial_entries.delete_many({"catalog_id": number})
    await ctx.db.desk_spatial_catalogs.delete_one({"_id": number})


async def objects_in(ctx: Context, catalog: str, entry: str) -> list[str]:
    """Names of the objects inside an entry. Raises BadRequest: unknown, or too many objects."""
    row = await ctx.db.desk_spatial_catalogs.find_one({"catalog_name": catalog})
    if row is None:
        raise BadRequest(f"spatialCatalogName: there is no spatial catalog {catalog!r}")
    one = await ctx.db.desk_spatial_entries.find_one({"catalog_id": row["_id"], "entry_name": entry})
    if one is None:
        raise BadRequest(f"spatialCatalogEntryName: {catalog!r} has no entry {entry!r}")
    cursor = ctx.db.desk_objs.find(restrict(_cover(one["data"])).query, {"ra": 1, "dec": 1})
    rows = await cursor.limit(MOST_OBJECTS + 1).to_list()
    if len(rows) > MOST_OBJECTS:
        raise BadRequest(f"spatialCatalogEntryName: more than {MOST_OBJECTS} objects lie around {entry!r}")
    return await asyncio.to_thread(_inside, rows, one["data"])


def _cover(data: Mapping[str, float]) -> np.ndarray:
    """Ranges of order-29 pixels that hold an entry and little else."""
    size = data.get("radius") or max(data["amaj"], data["amin"])
    order = math.ceil(math.log2(math.sqrt(healpix.FULL_SKY_DEG2 / 12) / (size / _PIXELS_ACROSS)))
    order = min(max(order, 0), _FINEST)
    nside = healpix.nside_of(order)
    reach = size + 1.5 * healpix.pixel_area(nside) ** 0.5
    nested = healpix.ring_to_nest(nside, healpix.disc(nside, data["ra"], data["dec"], reach))
    shift = 2 * (healpix.MAX_ORDER - order)
    return merged(np.column_stack([nested << shift, (nested + 1) << shift]))


def _inside(rows: list[Document], data: Mapping[str, float]) -> list[str]:
    """Names of the objects within the edge itself."""
    if not rows:
        return []
    places = healpix.unit_vectors([row["ra"] for row in rows], [row["dec"] for row in rows])
    along, across = offsets(places, data["ra"], data["dec"], data.get("phi", 0.0))
    major, minor = (data.get("radius") or data[name] for name in ("amaj", "amin"))
    return [row["_id"] for row, distance in zip(
        rows, np.square(along / major) + np.square(across / minor), strict=True) if distance <= 1]
