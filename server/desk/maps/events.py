"""Events in the sky, one per moment, and the names that they go by; their sky maps are localizations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common import ids
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "count", "find", "newest", "put"]

INDEXES = [Index("desk_gcn_events", "dateobs", [("dateobs", 1)], unique=True)]


async def put(ctx: Context, dateobs: datetime, aliases: Iterable[str] = (), tags: Iterable[str] = ()
              ) -> dict[str, Any]:
    """The event of a moment (UTC, milliseconds), made if it is not there; names and tags are added."""
    added = {"$addToSet": {"aliases": {"$each": sorted(aliases)}, "tags": {"$each": sorted(tags)}},
             "$set": {"modified": now()}}
    while True:
        known = await ctx.db.desk_gcn_events.find_one_and_update(
            {"dateobs": dateobs}, added, return_document=ReturnDocument.AFTER)
        if known is not None:
            return dict(known)
        fresh = {"_id": await ids.next_id(ctx, "gcn_event"), "dateobs": dateobs, "aliases": [], "tags": [],
                 "created_at": now()}
        try:
            await ctx.db.desk_gcn_events.insert_one(fresh)
        except DuplicateKeyError:  # made by somebody else just now
            continue


async def find(ctx: Context, dateobs: datetime, name: str = "dateobs") -> dict[str, Any]:
    """The event of a moment. Raises BadRequest."""
    document = await ctx.db.desk_gcn_events.find_one({"dateobs": dateobs})
    if document is None:
        raise BadRequest(f"{name}: there is no event at {dateobs.isoformat()}")
    return dict(document)


async def newest(ctx: Context, skip: int, limit: int) -> Sequence[dict[str, Any]]:
    """Events, the latest first."""
    cursor = ctx.db.desk_gcn_events.find({}).sort([("dateobs", -1)]).skip(skip).limit(limit)
    return [document async for document in cursor]


async def count(ctx: Context) -> int:
    """How many events there are."""
    return int(await ctx.db.desk_gcn_events.estimated_document_count())
