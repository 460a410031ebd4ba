"""Stored results: one per scan, replaced while it is partial, immutable once it is final."""

from __future__ import annotations

import asyncio
import time
import zlib
from typing import Any

import msgspec
from bson.binary import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from server.context import Context
from server.errors import BadRequest

__all__ = ["Result", "is_final", "put", "read"]

MAX_STORED = 15 << 20  # bytes, compressed: a database document ends at 16 MiB


class Result(msgspec.Struct):
    """A result as clients see it. The map itself stays JSON text: nobody here looks inside."""

    scan_id: str
    skyscan_result: msgspec.Raw
    is_final: bool


async def read(ctx: Context, scan_id: str) -> Result | None:
    """The stored result of a scan, if there is one."""
    document = await ctx.db.results.find_one({"scan_id": scan_id})
    return None if document is None else _from_document(document)


async def is_final(ctx: Context, scan_id: str) -> float | None:
    """When the scan got its final result (seconds since 1970); None while it has none."""
    document = await ctx.db.results.find_one({"scan_id": scan_id, "is_final": True}, {"finished": 1})
    return None if document is None else float(document.get("finished", 0.0))


async def put(ctx: Context, scan_id: str, skyscan_result: bytes, final: bool) -> Result:
    """Store a result given as JSON text, and say what is on record then.

    After a final one only another final one is stored. Raises BadRequest when it is too large.
    """
    data = await asyncio.to_thread(zlib.compress, skyscan_result, 1)
    if len(data) > MAX_STORED:
        raise BadRequest(f"'skyscan_result': must compress to less than {MAX_STORED} bytes")
    fields: dict[str, Any] = {"is_final": final, "data": Binary(data)}
    if final:
        fields["finished"] = time.time()
    condition = {"scan_id": scan_id} if final else {"scan_id": scan_id, "is_final": False}
    try:
        document = await ctx.db.results.find_one_and_update(
            condition, {"$set": fields}, upsert=True, return_document=ReturnDocument.AFTER)
    except DuplicateKeyError:  # a final one is there already, or another came at the same time
        if final:
            return await put(ctx, scan_id, skyscan_result, final)
        document = await ctx.db.results.find_one({"scan_id": scan_id})
    assert document is not None, "a result is never removed"
    return _from_document(document)


def _from_document(document: dict[str, Any]) -> Result:
    return Result(document["scan_id"], msgspec.Raw(zlib.decompress(document["data"])), document["is_final"])
