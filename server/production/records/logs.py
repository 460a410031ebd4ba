"""Logs of tasks: what they printed, compressed. Of a very long one the head and the tail are kept.

A document of `logs` holds the text in `packed`, and what is too long for one document in `log_parts`. The
lines that tell of errors stand in `log_errors` beside, where they are found without unpacking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from bson import Binary

from iceprod.ids import new_id, timestamp
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document, project, projection
from server.production.records import log_text
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "create", "errors_of", "find", "get", "newest_by_name", "remove", "remove_of_task"]

PART = 4_000_000  # bytes in one part
SMALL = 100_000  # characters that are packed without a thread

INDEXES = [
    Index("logs", "log_id", [("log_id", 1)], unique=True),
    Index("logs", "task", [("task_id", 1), ("timestamp", -1)]),
    Index("logs", "dataset", [("dataset_id", 1), ("name", 1)]),
    Index("logs", "dataset_time", [("dataset_id", 1), ("timestamp", -1)]),
    Index("logs", "timestamp", [("timestamp", 1)]),
    Index("log_parts", "log_part", [("log_id", 1), ("part", 1)], unique=True),
    Index("log_errors", "log_id", [("log_id", 1)], unique=True),
    Index("log_errors", "dataset_time", [("dataset_id", 1), ("timestamp", -1)]),
]


async def create(ctx: Context, fields: Document) -> str:
    """Store a log; its id. Raises BadRequest when it has no data."""
    if "data" not in fields:
        raise BadRequest("data field not in body")
    for name in ("data", "name", "dataset_id", "task_id"):
        if name in fields and not isinstance(fields[name], str):
            raise BadRequest(f"key {name} should be of type str")
    text, left_out = log_text.shortened(fields["data"])
    packed, lines = await asyncio.to_thread(_digest, text) if len(text) > SMALL else _digest(text)
    about = {name: value for name, value in fields.items() if name != "data"}
    log: Document = {"name": "log", **about, "log_id": new_id(), "timestamp": timestamp()}
    if lines and "dataset_id" in log:
        await ctx.db.log_errors.insert_one(_errors(log, lines))
    await _store(ctx, log | ({"left_out": left_out} if left_out else {}), packed)
    return str(log["log_id"])


def _errors(log: Document, lines: dict[str, str]) -> Document:
    """The lines of a log that tell of errors, as `log_errors` keeps them."""
    return {**log, "lines": [{"form": form, "line": line} for form, line in lines.items()]}


async def errors_of(found: Sequence[Document]) -> list[Document]:
    """What is to be kept in `log_errors` of logs that are stored with their text in `data`."""
    size = sum(len(log["data"]) for log in found)
    return await asyncio.to_thread(_errors_of, found) if size > SMALL else _errors_of(found)


def _errors_of(found: Sequence[Document]) -> list[Document]:
    rows = []
    for log in found:
        if lines := log_text.error_lines(log["data"]):
            rows.append(_errors({name: value for name, value in log.items() if name != "data"}, lines))
    return rows


def _digest(text: str) -> tuple[bytes, dict[str, str]]:
    return log_text.pack(text), log_text.error_lines(text)


async def _store(ctx: Context, log: Document, packed: bytes) -> None:
    """The parts are stored first: a log that is found is whole."""
    rest = [packed[start:start + PART] for start in range(PART, len(packed), PART)]
    for number, part in enumerate(rest):
        await ctx.db.log_parts.insert_one({"log_id": log["log_id"], "part": number, "packed": Binary(part)})
    await ctx.db.logs.insert_one(
        {**log, "packed": Binary(packed[:PART])} | ({"parts": len(rest)} if rest else {}))


async def _whole(ctx: Context, log: Document, keys: set[str] | None) -> Document:
    packed = log.pop("packed", None)
    if log.pop("parts", 0) and packed is not None:
        rest = ctx.db.log_parts.find({"log_id": log["log_id"]}, {"_id": 0, "packed": 1}, sort=[("part", 1)])
        packed = b"".join([packed, *[part["packed"] async for part in rest]])
    if packed is not None and (keys is None or "data" in keys):
        large = len(packed) > SMALL
        log["data"] = await asyncio.to_thread(log_text.unpack, packed) if large else log_text.unpack(packed)
    return project(log, keys)


def _read(keys: set[str] | None) -> dict[str, int]:
    """What to read of a log to show `keys`."""
    if keys is None:
        return {"_id": 0}
    return projection({*keys, "log_id"} | ({"packed", "parts"} if "data" in keys else set()))


async def get(ctx: Context, log_id: str, dataset_id: str = "", keys: set[str] | None = None) -> Document:
    """One log, of one dataset when that is given. Raises NotFound."""
    query = {"log_id": log_id} | ({"dataset_id": dataset_id} if dataset_id else {})
    log = await ctx.db.logs.find_one(query, _read(keys))
    if log is None:
        raise NotFound("Log not found")
    return await _whole(ctx, log, keys)


async def find(ctx: Context, query: dict[str, Any], keys: set[str] | None, *, newest_first: bool = True,
               limit: int = 0) -> list[Document]:
    """Logs in the order of time."""
    order = [("timestamp", -1 if newest_first else 1)]
    cursor = ctx.db.logs.find(query, _read(keys), sort=order, limit=limit)
    return [await _whole(ctx, log, keys) async for log in cursor]


async def newest_by_name(ctx: Context, query: dict[str, Any], keys: set[str] | None) -> list[Document]:
    """The newest log of each name."""
    cursor = ctx.db.logs.find(query, {"_id": 0, "log_id": 1, "name": 1}, sort=[("timestamp", -1)])
    newest: dict[str, str] = {}
    async for log in cursor:
        newest.setdefault(log["name"], log["log_id"])
    return [await get(ctx, log_id, keys=keys) for log_id in newest.values()]


async def remove(ctx: Context, query: Document) -> int:
    """Delete logs; how many."""
    ids = [log["log_id"] async for log in ctx.db.logs.find(query, {"log_id": 1})]
    return await _remove(ctx, ids)


async def remove_of_task(ctx: Context, dataset_id: str, task_id: str) -> int:
    """Delete all logs of a task; how many."""
    return await remove(ctx, {"dataset_id": dataset_id, "task_id": task_id})


async def _remove(ctx: Context, ids: Sequence[str]) -> int:
    for start in range(0, len(ids), 1000):
        chosen = {"log_id": {"$in": list(ids[start:start + 1000])}}
        await ctx.db.logs.delete_many(chosen)
        await ctx.db.log_parts.delete_many(chosen)
        await ctx.db.log_errors.delete_many(chosen)
    return len(ids)
