"""The catalogue of galaxies: names are unique over all of them, the pixel index finds by place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common import ids
from server.desk.common.positions import hpix29_many
from server.desk.maps.membership import Membership, restrict
from server.desk.objects.galaxy_text import Galaxy
from server.rest.context import Context
from server.store.database import Index
from server.store.duplicates import are_duplicates

__all__ = ["INDEXES", "best_inside", "find", "find_named", "page_inside", "page_of", "shown", "store"]

INDEXES = [
    Index("desk_galaxies", "name", [("name", 1)], unique=True),
    Index("desk_galaxies", "hpix29", [("hpix29", 1)]),
    Index("desk_galaxies", "catalog", [("catalog_name", 1), ("hpix29", 1)]),
]

_AT_ONCE = 1000
WALKS = 24  # of the index; more would read less that is outside, and cost more than that
_FIELDS = [name for name in Galaxy.__struct_fields__ if name != "name"]
_KEPT = (*_FIELDS, "hpix29", "catalog_name")


async def store(ctx: Context, catalog: str, galaxies: Sequence[Galaxy]) -> int:
    """Store galaxies: one whose name is known is brought up to date. How many are new.

    What is there already, with the same values, is read but not written.
    """
    new = 0
    for start in range(0, len(galaxies), _AT_ONCE):
        rows = await asyncio.to_thread(_rows_of, catalog, galaxies[start:start + _AT_ONCE])
        new += await _store(ctx, rows)
    return new


def _rows_of(catalog: str, some: Sequence[Galaxy]) -> dict[str, dict[str, Any]]:
    """What is stored of galaxies, by name; what is not known of one is not there."""
    pixels = hpix29_many([galaxy.ra for galaxy in some], [galaxy.dec for galaxy in some]).tolist()
    return {galaxy.name: {**{name: value for name in _FIELDS if (value := getattr(galaxy, name)) is not None},
                          "name": galaxy.name, "hpix29": pixel, "catalog_name": catalog}
            for galaxy, pixel in zip(some, pixels, strict=True)}


async def _store(ctx: Context, rows: dict[str, dict[str, Any]]) -> int:
    cursor = ctx.db.desk_galaxies.find({"name": {"$in": list(rows)}}, batch_size=_AT_ONCE)
    known = {row["name"]: row for row in await cursor.to_list()}
    if changes := [_change(row, rows[name]) for name, row in known.items() if _differs(row, rows[name])]:
        await ctx.db.desk_galaxies.bulk_write(changes, ordered=False)
    fresh = [row for name, row in rows.items() if name not in known]
    if not fresh:
        return 0
    moment = now()
    numbers = await ids.next_ids(ctx, "galaxy", len(fresh))
    try:
        await ctx.db.desk_galaxies.insert_many(
            [{"_id": number, **row, "created_at": moment, "modified": moment}
             for number, row in zip(numbers, fresh, strict=True)], ordered=False)
    except BulkWriteError as error:  # another import brought some of them meanwhile
        if not are_duplicates(error):
            raise
        lost = {fresh[one["index"]]["name"]: fresh[one["index"]] for one in error.details["writeErrors"]}
        return len(fresh) - len(lost) + await _store(ctx, lost)
    return len(fresh)


def _differs(known: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return any(known.get(name) != row.get(name) for name in _KEPT)


def _change(known: Mapping[str, Any], row: Mapping[str, Any]) -> UpdateOne:
    """The write that makes a stored row the new one."""
    gone = {name: "" for name in _KEPT if name in known and name not in row}
    update: dict[str, Any] = {"$set": {**row, "modified": now()}}
    return UpdateOne({"_id": known["_id"]}, {**update, "$unset": gone} if gone else update)


async def find(ctx: Context, number: int) -> dict[str, Any] | None:
    """A galaxy by its id, as the API shows it; None when there is none."""
    row = await ctx.db.desk_galaxies.find_one({"_id": number})
    return shown(row) if row else None


async def find_named(ctx: Context, name: str) -> dict[str, Any]:
    """The galaxy of a name. Raises BadRequest."""
    row = await ctx.db.desk_galaxies.find_one({"name": name})
    if row is None:
        raise BadRequest(f"galaxyName: there is no galaxy {name!r}")
    return dict(row)


async def page_of(ctx: Context, query: dict[str, Any], skip: int, limit: int
                  ) -> tuple[list[dict[str, Any]], int]:
    """Galaxies by their place on the sky, and how many there are."""
    table = ctx.db.desk_galaxies
    cursor = table.find(query).sort([("hpix29", 1)]).skip(skip).limit(limit)
    total = await table.count_documents(query) if query else await table.estimated_document_count()
    return [row async for row in cursor], total


async def page_inside(ctx: Context, query: dict[str, Any], region: np.ndarray, skip: int, limit: int
                      ) -> tuple[list[dict[str, Any]], int]:
    """Galaxies inside a region (ranges), by their place on the sky, and how many there are.

    Only the pixels of what is in and near the region are read for that, then the rows of the page.
    """
    _, inside = await _inside(ctx, query, region)
    return await _rows(ctx, inside[skip:skip + limit]), len(inside)


async def best_inside(ctx: Context, region: np.ndarray, rank: Callable[[np.ndarray], np.ndarray], limit: int
                      ) -> tuple[list[dict[str, Any]], int]:
    """Galaxies inside a region (ranges), those of the least rank first, and how many there are.

    `rank` gives a number for each order-29 pixel, such as the credible level of a map.
    """
    pixels, inside = await _inside(ctx, {}, region)
    order = np.argsort(rank(np.array(pixels, dtype=np.int64)), kind="stable")[:limit]
    return await _rows(ctx, [inside[index] for index in order]), len(inside)


async def _rows(ctx: Context, wanted: Sequence[int]) -> list[dict[str, Any]]:
    rows = {row["_id"]: row async for row in ctx.db.desk_galaxies.find({"_id": {"$in": list(wanted)}})}
    return [rows[number] for number in wanted if number in rows]


async def _inside(ctx: Context, query: dict[str, Any], region: np.ndarray) -> tuple[list[int], list[int]]:
    """Pixels and ids of the galaxies inside a region, along the sky."""
    member = restrict(region, most=WALKS)
    walks = await asyncio.gather(*(_pixels(ctx, {**query, **part}) for part in member.query["$or"]))
    return await asyncio.to_thread(_kept, [pair for walk in walks for pair in walk], member)


async def _pixels(ctx: Context, query: dict[str, Any]) -> list[tuple[int, int]]:
    """Pixels and ids of galaxies, by a walk of the index that begins with what is asked for."""
    index = "catalog" if "catalog_name" in query else "hpix29"
    cursor = ctx.db.desk_galaxies.find(query, {"hpix29": 1}, batch_size=100_000, hint=index)
    return [(row["hpix29"], row["_id"]) for row in await cursor.to_list()]


def _kept(found: list[tuple[int, int]], region: Membership) -> tuple[list[int], list[int]]:
    if not found:
        return [], []
    pixels, numbers = np.array(sorted(found), dtype=np.int64).T
    keep = region.keep(pixels)
    return pixels[keep].tolist(), numbers[keep].tolist()


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A galaxy as the API shows it."""
    return {"id": row["_id"], **{name: row.get(name) for name in Galaxy.__struct_fields__},
            "catalog_name": row["catalog_name"], "created_at": row["created_at"], "modified": row["modified"]}

