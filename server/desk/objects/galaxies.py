"""The catalogue of galaxies: names are unique over all of them, the pixel index finds by place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
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

__all__ = ["INDEXES", "best_inside", "find", "find_named", "page_inside", "page_of", "shown", "store"]

INDEXES = [
    Index("desk_galaxies", "name", [("name", 1)], unique=True),
    Index("desk_galaxies", "hpix29", [("hpix29", 1)]),
    Index("desk_galaxies", "catalog", [("catalog_name", 1), ("hpix29", 1)]),
]

AT_ONCE = 2000  # rows of one insertion: half a megabyte
DUPLICATE = 11000  # MongoDB's code of a unique key that is there
WALKS = 24  # of the index; more would read less that is outside, and cost more than that
_COMPARED = (*Galaxy.__struct_fields__, "hpix29", "catalog_name")


async def store(ctx: Context, catalog: str, galaxies: Sequence[Galaxy]) -> int:
    """Store galaxies: one whose name is known is brought up to date, if it differs. How many are new.

    New rows are inserted, for upserts cost the database four times as much. Doing it twice changes nothing.
    """
    new = 0
    for start in range(0, len(galaxies), AT_ONCE):
        rows = await asyncio.to_thread(_new_rows, catalog, galaxies[start:start + AT_ONCE])
        known = await _known(ctx, rows)
        fresh = [row for name, row in rows.items() if name not in known]
        new += await _insert(ctx, fresh)
        await _bring_up_to_date(ctx, known, rows)
    return new


def _new_rows(catalog: str, some: Sequence[Galaxy]) -> dict[str, dict[str, Any]]:
    """Rows without ids by their names; of two with one name the last counts."""
    pixels = hpix29_many([galaxy.ra for galaxy in some], [galaxy.dec for galaxy in some]).tolist()
    return {galaxy.name: {**msgspec.structs.asdict(galaxy), "hpix29": pixel, "catalog_name": catalog}
            for galaxy, pixel in zip(some, pixels, strict=True)}


async def _known(ctx: Context, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    cursor = ctx.db.desk_galaxies.find({"name": {"$in": list(names)}}, batch_size=AT_ONCE)
    return {row["name"]: row for row in await cursor.to_list()}


async def _insert(ctx: Context, rows: Sequence[dict[str, Any]]) -> int:
    """Insert rows, along the sky, so that neighbours come to lie side by side. How many."""
    if not rows:
        return 0
    moment = now()
    numbers = await ids.next_ids(ctx, "galaxy", len(rows))
    documents = [{"_id": number, **row, "created_at": moment, "modified": moment}
                 for number, row in zip(numbers, sorted(rows, key=itemgetter("hpix29")), strict=True)]
    try:
        await ctx.db.desk_galaxies.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        met = [one["op"] for one in error.details["writeErrors"]]
        if any(one["code"] != DUPLICATE for one in error.details["writeErrors"]):
            raise
        await _overtaken(ctx, met)
        return len(rows) - len(met)
    return len(rows)


async def _overtaken(ctx: Context, documents: Sequence[dict[str, Any]]) -> None:
    """Galaxies that another import stored since we looked: ours came last."""
    rows = {one["name"]: {name: one[name] for name in _COMPARED} for one in documents}
    await _bring_up_to_date(ctx, await _known(ctx, rows), rows)


async def _bring_up_to_date(ctx: Context, known: Mapping[str, dict[str, Any]],
                            rows: Mapping[str, dict[str, Any]]) -> None:
    moment = now()
    writes = [UpdateOne({"_id": row["_id"]}, {"$set": {**rows[name], "modified": moment}})
              for name, row in known.items() if any(row.get(key) != rows[name][key] for key in _COMPARED)]
    if writes:
        await ctx.db.desk_galaxies.bulk_write(writes, ordered=False)


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
    cursor = ctx.db.desk_galaxies.find(query).sort([("hpix29", 1)]).skip(skip).limit(limit)
    return [row async for row in cursor], await ctx.db.desk_galaxies.count_documents(query)


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

