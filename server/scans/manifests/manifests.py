"""Manifests: the public record of each scan."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from pymongo import ReturnDocument

from server.common.errors import BadRequest, NotFound
from server.rest.context import Context
from server.scans.manifests.requests import ScanRequest

__all__ = ["FIELDS", "HEAVY_FIELDS", "UNREQUESTED", "Manifest", "among", "assign_workflow", "find",
           "mark_deleted", "new_manifest", "newest", "numbers", "patch", "read", "revision", "touch",
           "waiting"]

UNREQUESTED = "not-yet-requested"
"""`ewms_workflow_id` of a scan that has no workers yet; null means that it never will."""

_AT_ONCE = 1000
_TOGETHER = 200  # that are read together; other requests have their turn between
PLACEHOLDER = "use 'i3_event_id'"


class Manifest(msgspec.Struct, kw_only=True):
    """A manifest as clients see it; times are seconds since 1970, the fields in the order of the JSON.

    Old documents may hold the event itself and the workers' description in place of the placeholders.
    """

    scan_id: str
    timestamp: float = 0.0
    is_deleted: bool = False
    scanner_server_args: str = ""
    ewms_workflow_id: str | None = None
    ewms_address: str | None = None
    ewms_task: str | dict[str, Any] = "use 'ewms_workflow_id'"
    priority: int = 0
    classifiers: dict[str, Any] = {}
    i3_event_id: str | None = None
    event_i3live_json_dict: str | dict[str, Any] | None = PLACEHOLDER
    event_i3live_json_dict__hash: str | int | None = None
    event_metadata: dict[str, Any] | None = None
    scan_metadata: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    replaced_by_scan_id: str | None = None
    last_updated: float = 0.0


FIELDS: tuple[str, ...] = Manifest.__struct_fields__
HEAVY_FIELDS = ("ewms_task", "event_i3live_json_dict", "event_i3live_json_dict__hash")

_WRITTEN_ONCE = ("event_metadata", "scan_metadata")
_DEFAULT_STATS: dict[str, Any] = {"rate": {}, "end": "", "finished": False, "predictions": {}}


def new_manifest(request: ScanRequest, scan_id: str, event_hash: str | None) -> Manifest:
    """The manifest of a scan that starts life now."""
    moment = time.time()
    return Manifest(
        scan_id=scan_id, timestamp=moment, last_updated=moment, ewms_workflow_id=UNREQUESTED,
        scanner_server_args=request.command_line(), priority=request.priority,
        classifiers=request.classifiers, i3_event_id=request.i3_event_id,
        event_i3live_json_dict__hash=event_hash)


def from_document(document: Mapping[str, Any]) -> Manifest:
    return msgspec.convert(document, Manifest)


async def read(ctx: Context, scan_id: str, *, include_deleted: bool = True) -> Manifest:
    """The manifest of a scan. Raises NotFound."""
    document = await ctx.db.manifests.find_one({"scan_id": scan_id})
    if document is None or (document.get("is_deleted") and not include_deleted):
        raise NotFound("manifest not found")
    return from_document(document)


async def waiting(ctx: Context, scan_ids: Sequence[str]) -> dict[str, Manifest]:
    """The manifests of some scans that have no progress yet, or without it, by id."""
    found: dict[str, Manifest] = {}
    for start in range(0, len(scan_ids), _AT_ONCE):
        query = {"scan_id": {"$in": list(scan_ids[start:start + _AT_ONCE])}}
        async for document in ctx.db.manifests.find(query, {"progress": 0}):
            found[document["scan_id"]] = from_document(document)
    return found


async def revision(ctx: Context, scan_id: str) -> int:
    """How often a manifest was written since it was made."""
    document = await ctx.db.manifests.find_one({"scan_id": scan_id}, {"revision": 1})
    return int((document or {}).get("revision", 0))


async def numbers(ctx: Context, scan_ids: Sequence[str]) -> dict[str, int]:
    """The short numbers of scans by id; scans of old have none."""
    query = {"scan_id": {"$in": list(scan_ids)}, "number": {"$exists": True}}
    return {document["scan_id"]: int(document["number"])
            async for document in ctx.db.manifests.find(query, {"scan_id": 1, "number": 1})}


async def find(ctx: Context, query: dict[str, Any], skip: int, limit: int, *,
               newest_first: bool = False) -> AsyncIterator[Manifest]:
    """Manifests that match, the oldest first unless told otherwise; without their heavy fields."""
    way = -1 if newest_first else 1
    cursor = ctx.db.manifests.find(query, dict.fromkeys(HEAVY_FIELDS, 0), max_time_ms=10_000,
                                   batch_size=_TOGETHER)
    async for document in cursor.sort([("timestamp", way), ("scan_id", way)]).skip(skip).limit(limit):
        yield from_document(document)


async def newest(ctx: Context, query: Mapping[str, Any], before: tuple[float, str] | None,
                 limit: int) -> list[Manifest]:
    """Manifests that match, the newest first, from a place (time and id) on; without their heavy fields."""
    if before is not None:
        moment, scan_id = before
        later = [{"timestamp": {"$lt": moment}}, {"timestamp": moment, "scan_id": {"$lt": scan_id}}]
        query = {"$and": [query, {"timestamp": {"$lte": moment}}, {"$or": later}]}
    cursor = ctx.db.manifests.find(query, dict.fromkeys(HEAVY_FIELDS, 0), max_time_ms=10_000)
    cursor = cursor.sort([("timestamp", -1), ("scan_id", -1)]).limit(limit)
    return [from_document(document) async for document in cursor]


async def among(ctx: Context, query: Mapping[str, Any], scan_ids: Sequence[str]) -> list[Manifest]:
    """Those of some scans that match, in the order of the ids; without their heavy fields."""
    cursor = ctx.db.manifests.find({"scan_id": {"$in": list(scan_ids)}, "$and": [query]},
                                   dict.fromkeys(HEAVY_FIELDS, 0))
    found = {document["scan_id"]: from_document(document) async for document in cursor}
    return [found[scan_id] for scan_id in scan_ids if scan_id in found]


async def touch(ctx: Context, scan_id: str, condition: Mapping[str, Any] | None = None,
                **fields: Any) -> Manifest | None:
    """Set fields of a manifest that meets the condition; what it is then, or None when it does not."""
    update = {"$set": {**fields, "last_updated": time.time()}, "$inc": {"revision": 1}}
    document = await ctx.db.manifests.find_one_and_update(
        {"scan_id": scan_id, **(condition or {})}, update, return_document=ReturnDocument.AFTER)
    return None if document is None else from_document(document)


async def mark_deleted(ctx: Context, scan_id: str) -> Manifest:
    """Mark as deleted; doing so again changes nothing. Raises NotFound."""
    marked = await touch(ctx, scan_id, {"is_deleted": False}, is_deleted=True)
    return marked or await read(ctx, scan_id)


async def assign_workflow(ctx: Context, scan_id: str, workflow_id: str, address: str) -> Manifest:
    """Say who works for the scan; only once, and not when it is deleted. Raises NotFound."""
    free = {"ewms_workflow_id": UNREQUESTED, "is_deleted": False}
    manifest = await touch(ctx, scan_id, free, ewms_workflow_id=workflow_id, ewms_address=address)
    if manifest is None:
        manifest = await read(ctx, scan_id)
        if manifest.is_deleted or manifest.ewms_workflow_id != workflow_id:
            raise NotFound("no manifest found that awaits an EWMS workflow id: the scan is deleted "
                           "or has another one")
    return manifest


async def patch(ctx: Context, scan_id: str, changes: Mapping[str, Any]) -> Manifest:
    """Store what the scanner reports, all or nothing: progress replaces the old, metadata are written once.

    Raises NotFound, and BadRequest for metadata that differ from those on record.
    """
    progress = changes.get("progress")
    reported = {} if progress is None else {"progress": _with_defaults(progress)}
    while True:
        manifest = await read(ctx, scan_id)
        fresh = _fresh_metadata(manifest, changes)
        if not fresh and not reported:
            return manifest
        written = await touch(ctx, scan_id, dict.fromkeys(fresh), **fresh, **reported)
        if written is not None:  # else somebody wrote metadata meanwhile
            return written


def _fresh_metadata(manifest: Manifest, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that a manifest does not have yet. Raises BadRequest for those that it has otherwise."""
    fresh = {}
    for name in _WRITTEN_ONCE:
        value, present = changes.get(name), getattr(manifest, name)
        if value is None or value == present:
            continue
        if present is not None:
            raise BadRequest(f"Cannot change an existing {name}")
        fresh[name] = value
    return fresh


def _with_defaults(progress: dict[str, Any]) -> dict[str, Any]:
    stats = {**_DEFAULT_STATS, **progress["processing_stats"]}
    return {"start": None, "end": None, **progress, "processing_stats": stats}


