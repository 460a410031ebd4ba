"""The backlog: scans that wait for their start, by priority, then age."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from server.rest.context import Context

__all__ = ["Entry", "add", "bury", "count_of", "dead_letters", "entries", "find", "place", "postpone",
           "remove", "revive", "take"]

PENDING_SECONDS = 10.0  # whoever took an entry that long ago is gone; if not, two launches do no harm


class Entry(msgspec.Struct):
    """One scan that waits; times are seconds since 1970, `next_attempt` counts the tries.

    User, reconstruction and clusters are those of its request; empty in entries of older releases.
    """

    scan_id: str
    timestamp: float
    priority: int
    pending_timestamp: float = 0.0
    next_attempt: int = 0
    username: str = ""
    reco: str = ""
    clusters: list[str] = []
    traced: dict[str, str] = {}  # the trace of its request, as headers name it

    def public(self) -> dict[str, Any]:
        """The entry as SkyDriver shows it."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if name not in _OURS}


_OURS = ("username", "reco", "clusters", "traced")
_ORDER = [("priority", -1), ("timestamp", 1)]


async def add(ctx: Context, entry: Entry) -> None:
    """Put a scan on the backlog, once."""
    document = {**msgspec.to_builtins(entry), "reason": None}
    try:
        await ctx.db.scan_backlog.update_one(
            {"scan_id": entry.scan_id}, {"$setOnInsert": document}, upsert=True)
    except DuplicateKeyError:
        return


async def entries(ctx: Context) -> list[Entry]:
    """Everything that still waits, first to start first."""
    cursor = ctx.db.scan_backlog.find({"reason": None}).sort(_ORDER)
    return [msgspec.convert(document, Entry) async for document in cursor]


async def find(ctx: Context, scan_id: str) -> Entry | None:
    """The entry of a scan, if it still waits."""
    document = await ctx.db.scan_backlog.find_one({"scan_id": scan_id, "reason": None})
    return None if document is None else msgspec.convert(document, Entry)


async def place(ctx: Context, entry: Entry) -> int:
    """Which place an entry has among those that wait, from 1 on."""
    older = {"priority": entry.priority, "timestamp": {"$lt": entry.timestamp}}
    before = {"reason": None, "$or": [{"priority": {"$gt": entry.priority}}, older]}
    return 1 + await ctx.db.scan_backlog.count_documents(before)


async def take(ctx: Context, scan_id: str) -> Entry | None:
    """Claim an entry for one try at starting it; None when another server has it or it is gone."""
    moment = time.time()
    document = await ctx.db.scan_backlog.find_one_and_update(
        {"scan_id": scan_id, "reason": None, "pending_timestamp": {"$lt": moment - PENDING_SECONDS}},
        {"$set": {"pending_timestamp": moment}, "$inc": {"next_attempt": 1}},
        return_document=ReturnDocument.AFTER)
    return None if document is None else msgspec.convert(document, Entry)


async def postpone(ctx: Context, scan_id: str) -> None:
    """Give an entry back after a failed attempt; it is due again at once."""
    await ctx.db.scan_backlog.update_one({"scan_id": scan_id}, {"$set": {"pending_timestamp": 0.0}})


async def remove(ctx: Context, scan_id: str) -> None:
    """The scan started, or never will."""
    await ctx.db.scan_backlog.delete_one({"scan_id": scan_id})


async def bury(ctx: Context, scan_id: str, reason: str) -> None:
    """Give up on an entry; it stays readable, with the reason, and stands in nobody's way."""
    await ctx.db.scan_backlog.update_one({"scan_id": scan_id}, {"$set": {"reason": reason}})


async def count_of(ctx: Context, username: str) -> int:
    """How many scans of a user wait."""
    return await ctx.db.scan_backlog.count_documents({"reason": None, "username": username})


async def revive(ctx: Context, scan_id: str) -> bool:
    """Try an entry again that was given up, with all its attempts; whether there was one."""
    result = await ctx.db.scan_backlog.update_one(
        {"scan_id": scan_id, "reason": {"$ne": None}},
        {"$set": {"reason": None, "next_attempt": 0, "pending_timestamp": 0.0}})
    return bool(result.modified_count)


async def dead_letters(ctx: Context) -> list[dict[str, Any]]:
    """The entries that were given up, with the reasons."""
    cursor = ctx.db.scan_backlog.find({"reason": {"$ne": None}}, {"_id": 0}).sort(_ORDER).limit(1000)
    return [document async for document in cursor]
