"""Stored results: one per scan, replaced while it is partial; of a final one every version is kept."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from bson.binary import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from config.unpacking import own
from server.common.errors import BadRequest, NotFound
from server.rest.context import Context

__all__ = ["Result", "Version", "is_final", "put", "read", "read_version", "unmarked", "versions"]

_AT_ONCE = 20
MAX_STORED = 15 << 20  # bytes, compressed: a database document ends at 16 MiB


class Result(msgspec.Struct):
    """A result as clients see it. The map itself stays JSON text: nobody here looks inside."""

    scan_id: str
    skyscan_result: msgspec.Raw
    is_final: bool


class Version(msgspec.Struct):
    """A final result: from 1 on, in the order of their coming; `finished` in seconds since 1970."""

    version: int
    finished: float
    is_current: bool


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

    After a final one only another final one is stored, and the one before stays readable as a version; the
    same one again changes nothing. Raises BadRequest when it is too large.
    """
    data = await asyncio.to_thread(zlib.compress, skyscan_result, 1)
    if len(data) > MAX_STORED:
        raise BadRequest(f"'skyscan_result': must compress to less than {MAX_STORED} bytes")
    fields: dict[str, Any] = {"is_final": final, "data": Binary(data)}
    present = await ctx.db.results.find_one({"scan_id": scan_id, "is_final": True})
    if final and present is not None:
        if present["data"] == data:
            return _from_document(present)
        await _keep(ctx, present)
    if final:
        fields |= {"finished": time.time(), "localized": None, "sketched": None}
    condition = {"scan_id": scan_id} if final else {"scan_id": scan_id, "is_final": False}
    try:
        document = await ctx.db.results.find_one_and_update(
            condition, {"$set": fields}, upsert=True, return_document=ReturnDocument.AFTER)
    except DuplicateKeyError:  # a final one is there already, or another came at the same time
        if final:
            return await put(ctx, scan_id, skyscan_result, final)
        document = await ctx.db.results.find_one({"scan_id": scan_id})
    assert document is not None, "a result is never removed"
    if final:
        ctx.signals.notify("results")
    return _from_document(document)


async def unmarked(ctx: Context, mark: str) -> AsyncIterator[tuple[str, float | None]]:
    """Scans whose final result has no such mark yet, with that result's time; who asks sets the mark."""
    while True:
        cursor = ctx.db.results.find({"is_final": True, mark: None}, {"scan_id": 1, "finished": 1})
        found = [document async for document in cursor.limit(_AT_ONCE)]
        for document in found:
            yield document["scan_id"], document.get("finished")
        if len(found) < _AT_ONCE:
            return


async def _keep(ctx: Context, final: dict[str, Any]) -> None:
    """Keep a final result that another is about to replace."""
    name = {"scan_id": final["scan_id"], "finished": final.get("finished", 0.0)}
    with contextlib.suppress(DuplicateKeyError):
        await ctx.db.result_versions.update_one(name, {"$setOnInsert": {"data": final["data"]}}, upsert=True)


async def versions(ctx: Context, scan_id: str) -> list[Version]:
    """All final results that a scan ever had, the oldest first."""
    cursor = ctx.db.result_versions.find({"scan_id": scan_id}, {"finished": 1}).sort([("finished", 1)])
    times = [float(document["finished"]) async for document in cursor]
    current = await is_final(ctx, scan_id)
    known = [*(time for time in times if time != current), *([] if current is None else [current])]
    return [Version(number, moment, moment == current) for number, moment in enumerate(known, 1)]


async def read_version(ctx: Context, scan_id: str, number: int) -> Result:
    """One of the final results. Raises NotFound."""
    for version in await versions(ctx, scan_id):
        if version.version == number:
            collection = ctx.db.results if version.is_current else ctx.db.result_versions
            document = await collection.find_one({"scan_id": scan_id, "finished": version.finished})
            if document is not None:
                return _from_document({**document, "is_final": True})
    raise NotFound(f"this scan has no version {number} of its final result")


def _from_document(document: dict[str, Any]) -> Result:
    return Result(document["scan_id"], msgspec.Raw(own(document["data"])), document["is_final"])
