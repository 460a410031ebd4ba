"""Small whole numbers as ids: clients of SkyPortal send and compare them as integers."""

from __future__ import annotations

from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from server.rest.context import Context

__all__ = ["next_id", "next_ids"]


async def next_id(ctx: Context, kind: str) -> int:
    """A new id, greater than all before it, of rows of one kind."""
    return (await next_ids(ctx, kind, 1))[0]


async def next_ids(ctx: Context, kind: str, count: int) -> range:
    """So many new ids at once."""
    try:
        last = await _raise(ctx, kind, count)
    except DuplicateKeyError:  # somebody else made the counter just now
        last = await _raise(ctx, kind, count)
    return range(last - count + 1, last + 1)


async def _raise(ctx: Context, kind: str, count: int) -> int:
    counter: Any = await ctx.db.desk_counters.find_one_and_update(
        {"_id": kind}, {"$inc": {"seq": count}}, upsert=True, return_document=ReturnDocument.AFTER)
    return int(counter["seq"])
