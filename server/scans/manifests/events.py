"""Events as they came, each stored once: equal JSON has one canonical text, whose hash is unique."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec
from bson.binary import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from config.json_text import JsonError, decode, without_gaps
from config.unpacking import own
from server.common.errors import BadRequest, NotFound
from server.rest.context import Context

__all__ = ["StoredEvent", "event_json", "find_event", "parse_text", "store_event"]

MAX_STORED = 15 << 20  # bytes, compressed: a database document ends at 16 MiB


@dataclass(frozen=True)
class StoredEvent:
    """Where an event is and by which hash it is recognised."""

    i3_event_id: str
    hash: str


def parse_text(text: str) -> dict[str, Any]:
    """An event that came as JSON text; numbers that are missing are null. Raises BadRequest."""
    try:
        event = without_gaps(decode(text, gaps=True))
    except JsonError as error:
        raise BadRequest(f"'event_i3live_json': is not JSON-encoded: {error}") from None
    if not isinstance(event, dict):
        raise BadRequest("'event_i3live_json': must be type 'object' (dict)")
    return event


async def store_event(ctx: Context, event: dict[str, Any]) -> StoredEvent:
    """Store an event, or find the equal one that is there already. Raises BadRequest when it is too large."""
    digest = await asyncio.to_thread(_digest, event)
    known = await ctx.db.i3_events.find_one({"hash": digest}, {"i3_event_id": 1})
    if known:
        return StoredEvent(known["i3_event_id"], digest)
    data = await asyncio.to_thread(zlib.compress, msgspec.json.encode(event), 1)
    if len(data) > MAX_STORED:
        raise BadRequest(f"'event_i3live_json': must compress to less than {MAX_STORED} bytes")
    fresh = {"i3_event_id": uuid.uuid4().hex, "data": Binary(data)}
    try:
        document = await ctx.db.i3_events.find_one_and_update(
            {"hash": digest}, {"$setOnInsert": fresh}, {"i3_event_id": 1}, upsert=True,
            return_document=ReturnDocument.AFTER)
    except DuplicateKeyError:  # the same event came twice at once
        document = await ctx.db.i3_events.find_one({"hash": digest}, {"i3_event_id": 1})
    assert document is not None, "an event is never removed"
    return StoredEvent(document["i3_event_id"], digest)


def _digest(event: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(event, order="deterministic")).hexdigest()


async def find_event(ctx: Context, i3_event_id: str) -> StoredEvent:
    """An event that an earlier scan brought. Raises BadRequest."""
    document = await ctx.db.i3_events.find_one({"i3_event_id": i3_event_id}, {"hash": 1})
    if document is None:
        raise BadRequest("i3 event not found")
    return StoredEvent(i3_event_id, document["hash"])


async def event_json(ctx: Context, i3_event_id: str | None) -> bytes:
    """The event as JSON text. Raises NotFound."""
    document = await ctx.db.i3_events.find_one({"i3_event_id": i3_event_id}, {"data": 1})
    if document is None:
        raise NotFound("i3 event not found")
    return own(document["data"])
