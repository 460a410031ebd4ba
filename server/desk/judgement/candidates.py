"""Candidates: an object's passages through filters. The key of a passage is object, filter and moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo.errors import BulkWriteError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_id, next_ids
from server.desk.common.positions import check_position
from server.desk.objects import objs
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "Passage", "add", "changed", "exists", "of_objects", "remove", "version"]

INDEXES = [
    Index("desk_candidates", "passage", [("obj_id", 1), ("filter_id", 1), ("passed_at", 1)], unique=True),
    Index("desk_candidates", "newest", [("filter_id", 1), ("passed_at", -1), ("obj_id", 1), ("hpix29", 1)]),
    Index("desk_candidates", "place", [("filter_id", 1), ("hpix29", 1), ("passed_at", -1), ("obj_id", 1)]),
]


CHANGES = "candidate changes"


@dataclass(frozen=True)
class Passage:
    """An object that passed filters: its name and fields, when, and the alert's number."""

    obj_id: str
    filter_ids: frozenset[int]
    passed_at: datetime
    passing_alert_id: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


async def add(ctx: Context, who: Visitor, passage: Passage) -> list[int]:
    """One candidate for each filter that the visitor reads; their ids. The object is made when it is new.

    Raises BadRequest: no filter that is readable, no position for a new object, or the passage is there
    already; then nothing is stored.
    """
    filters = await ctx.db.desk_filters.find({"$and": [
        {"_id": {"$in": sorted(passage.filter_ids)}}, visible("filter", who)]}, sort=[("_id", 1)]).to_list()
    if not filters:
        raise BadRequest("filter_ids: at least one filter that you can read must be given")
    check_position(passage.fields.get("ra"), passage.fields.get("dec"))
    numbers = [row["_id"] for row in filters]
    same = {"obj_id": passage.obj_id, "passed_at": passage.passed_at, "filter_id": {"$in": numbers}}
    if await ctx.db.desk_candidates.find_one(same, {"_id": 1}):
        raise _duplicate(passage)
    if passage.fields.get("ra") is None:
        await _known(ctx, passage.obj_id)
    obj = await objs.ensure(ctx, who, passage.obj_id, passage.fields)
    return await _insert(ctx, who, passage, obj, filters)


async def _insert(ctx: Context, who: Visitor, passage: Passage, obj: Document,
                  filters: list[Document]) -> list[int]:
    ids, moment = await next_ids(ctx, "candidates", len(filters)), now()
    rows = [{"_id": number, "obj_id": passage.obj_id, "filter_id": row["_id"], "group_id": row["group_id"],
             "passed_at": passage.passed_at, "passing_alert_id": passage.passing_alert_id,
             "uploader_id": who.user_id, "hpix29": obj["hpix29"], "created_at": moment, "modified": moment}
            for number, row in zip(ids, filters, strict=True)]
    try:
        await ctx.db.desk_candidates.insert_many(rows)
    except BulkWriteError:  # the same passage came at the same time
        await ctx.db.desk_candidates.delete_many({"_id": {"$in": list(ids)}})
        raise _duplicate(passage) from None
    await changed(ctx)
    return list(ids)


async def changed(ctx: Context) -> None:
    """Say that candidates came, went or moved; called after every such write."""
    await next_id(ctx, CHANGES)


async def version(ctx: Context) -> int:
    """A number that is another one after candidates changed."""
    row = await ctx.db.desk_counters.find_one({"_id": CHANGES})
    return int(row["seq"]) if row else 0


async def _known(ctx: Context, name: str) -> None:
    if not await objs.find_many(ctx, [name]):
        raise BadRequest("RA and Declination must be given for a new object (ra, dec)")


def _duplicate(passage: Passage) -> BadRequest:
    moment = passage.passed_at.isoformat()
    return BadRequest(f"{passage.obj_id} passed one of these filters at {moment} already")


async def exists(ctx: Context, who: Visitor, obj_id: str) -> bool:
    """Whether the object has a candidate that the visitor reads."""
    query = {"$and": [{"obj_id": obj_id}, visible("candidate", who)]}
    return await ctx.db.desk_candidates.find_one(query, {"_id": 1}) is not None


async def of_objects(ctx: Context, who: Visitor, names: Iterable[str],
                     filter_ids: Iterable[int] | None = None) -> dict[str, list[Document]]:
    """By object: the passages that the visitor reads (of these filters alone), newest first."""
    query: Document = {"obj_id": {"$in": list(names)}}
    if filter_ids is not None:
        query["filter_id"] = {"$in": sorted(filter_ids)}
    found: defaultdict[str, list[Document]] = defaultdict(list)
    rows = await ctx.db.desk_candidates.find({"$and": [query, visible("candidate", who)]}).to_list()
    for row in sorted(rows, key=lambda row: (row["passed_at"], row["_id"]), reverse=True):
        found[row["obj_id"]].append(row)
    return dict(found)


async def remove(ctx: Context, who: Visitor, obj_id: str, filter_id: int) -> None:
    """Remove all passages of an object through a filter. Raises BadRequest when there are none."""
    query = {"$and": [{"obj_id": obj_id, "filter_id": filter_id}, visible("candidate", who)]}
    if not (await ctx.db.desk_candidates.delete_many(query)).deleted_count:
        raise BadRequest(f"no candidate {obj_id!r} of filter {filter_id}")
    await changed(ctx)
