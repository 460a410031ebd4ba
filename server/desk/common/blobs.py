"""Bytes of any size beside the rows: cut into parts that fit a document, found by what they hold.

A key is the hash of the content, so writing the same bytes twice, or from two servers, changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib

from bson.binary import Binary

from server.common.errors import NotFound
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "get", "put", "remove"]

PART = 8 << 20  # bytes; a document ends at 16 MiB

INDEXES = [Index("desk_blobs", "key_part", [("key", 1), ("part", 1)], unique=True)]


async def put(ctx: Context, data: bytes, name: str = "") -> str:
    """Store bytes; their key: the name, of what is removed one day though others may hold the same bytes."""
    key = name or await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
    parts = range(0, max(len(data), 1), PART)
    for part, start in enumerate(parts):
        which = {"key": key, "part": part}
        fields = {"data": Binary(data[start:start + PART]), "parts": len(parts)}
        await ctx.db.desk_blobs.update_one(which, {"$setOnInsert": fields}, upsert=True)
    return key


async def get(ctx: Context, key: str) -> bytes:
    """The bytes of a key. Raises NotFound."""
    parts = [document async for document in ctx.db.desk_blobs.find({"key": key}).sort([("part", 1)])]
    if not parts or len(parts) != parts[0]["parts"]:
        raise NotFound("the stored data is not there (any more)")
    return b"".join(part["data"] for part in parts)


async def remove(ctx: Context, key: str) -> None:
    """Forget the bytes of a key. Only for content that no two rows share."""
    await ctx.db.desk_blobs.delete_many({"key": key})
