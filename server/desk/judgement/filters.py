"""Filters: a rule that joins one stream of alerts with the group that sees what passes."""

from __future__ import annotations

from typing import Any

from iceprod.ids import now
from server.common.errors import ApiError, BadRequest
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.errors import Unauthorized
from server.desk.common.ids import next_id
from server.desk.judgement.selection import STREAM, read_rule
from server.desk.people.groups import shown
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "change", "find", "of_groups", "readable", "remove", "shown_filter"]

INDEXES = [
    Index("desk_filters", "group_stream", [("group_id", 1), ("stream_id", 1)]),
    Index("desk_filters", "stream_id", [("stream_id", 1)]),
]


async def add(ctx: Context, who: Visitor, name: str, stream_id: int, group_id: int, altdata: Any) -> int:
    """A new filter; the id.

    Raises Unauthorized when the visitor cannot use the stream or the group; a system admin, from whom nothing
    is hidden, gets BadRequest since then there is none.
    """
    for kind, number in (("group", group_id), ("stream", stream_id)):
        query = {"$and": [{"_id": number}, visible(kind, who)]}
        if await ctx.db[f"desk_{kind}s"].find_one(query, {"_id": 1}) is None:
            refusal: type[ApiError] = BadRequest if who.system else Unauthorized
            raise refusal(f"Insufficient permissions: there is no {kind} {number} that you can use")
    await _check_rule(ctx, stream_id, altdata)
    moment = now()
    row: Document = {
        "_id": await next_id(ctx, "filters"), "name": name, "stream_id": stream_id, "group_id": group_id,
        "altdata": altdata, "created_at": moment, "modified": moment}
    await ctx.db.desk_filters.insert_one(row)
    return int(row["_id"])


async def _check_rule(ctx: Context, stream_id: int, altdata: Any) -> None:
    """Raise BadRequest when a filter of finished scans shall have a rule that is none."""
    if altdata is not None and await ctx.db.desk_streams.find_one({"_id": stream_id, "name": STREAM}):
        read_rule(altdata)


async def find(ctx: Context, who: Visitor, filter_id: int) -> Document:
    """A filter. Raises BadRequest when there is none that the visitor reads."""
    row: Document | None = await ctx.db.desk_filters.find_one(
        {"$and": [{"_id": filter_id}, visible("filter", who)]})
    if row is None:
        raise BadRequest(f"no filter {filter_id} that you can read")
    return row


async def readable(ctx: Context, who: Visitor) -> list[Document]:
    """The filters that the visitor reads, by id."""
    return await ctx.db.desk_filters.find(visible("filter", who), sort=[("_id", 1)]).to_list()


async def of_groups(ctx: Context, who: Visitor, group_ids: list[int]) -> list[Document]:
    """The readable filters of some groups."""
    query = {"$and": [{"group_id": {"$in": group_ids}}, visible("filter", who)]}
    return await ctx.db.desk_filters.find(query).to_list()


async def shown_filter(ctx: Context, row: Document) -> Document:
    """A filter as the API shows it, with its stream."""
    stream = await ctx.db.desk_streams.find_one({"_id": row["stream_id"]})
    return {**shown(row), "stream": shown(stream) if stream else None}


async def change(ctx: Context, who: Visitor, filter_id: int, fields: Document) -> None:
    """Rename a filter or change its rule; it stays with its group and stream. Raises BadRequest."""
    row = await find(ctx, who, filter_id)
    for name in ("group_id", "stream_id"):
        if fields.get(name) not in (None, row[name]):
            raise BadRequest(f"Cannot change {name} of a filter; make a new one")
    await _check_rule(ctx, row["stream_id"], fields.get("altdata"))
    kept = {name: fields[name] for name in ("name", "altdata") if name in fields}
    await ctx.db.desk_filters.update_one({"_id": filter_id}, {"$set": {**kept, "modified": now()}})


async def remove(ctx: Context, who: Visitor, filter_id: int) -> None:
    """Remove a filter with its candidates. Raises BadRequest.

    Candidates go first, so that who is interrupted can begin again; and once more for those that came
    meanwhile.
    """
    await find(ctx, who, filter_id)
    await ctx.db.desk_candidates.delete_many({"filter_id": filter_id})
    await ctx.db.desk_filters.delete_one({"_id": filter_id})
    await ctx.db.desk_candidates.delete_many({"filter_id": filter_id})
