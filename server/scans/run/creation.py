"""Making scans: from a request's body, or from the request of an earlier scan.

The manifest is stored last. Whatever a crash leaves before it is no scan yet: the launcher ignores, and
later drops, backlog entries without a manifest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec
from pymongo.asynchronous.collection import AsyncCollection

from config.json_text import without_gaps
from iceprod.ids import new_scan_id
from iceprod.tracing import traces
from scanner.common.errors import EventError
from scanner.maps.levels import Progression, ProgressionError
from scanner.maps.result import ResultError
from server.common.errors import BadRequest, NotFound
from server.production.datasets.datasets import next_number
from server.rest.context import Context
from server.scans.manifests import decoding, engines, manifests
from server.scans.manifests.decoding import EventFacts
from server.scans.manifests.events import StoredEvent, event_json, find_event, parse_text, store_event
from server.scans.manifests.manifests import Manifest, new_manifest
from server.scans.manifests.requests import ScanRequest, read_request
from server.scans.run import backlog, clusters, quotas
from server.scans.run.backlog import Entry

__all__ = ["create_scan", "request_of", "rescan", "try_scan"]


@dataclass(frozen=True)
class Checked:
    """A request that a scan can be made of, with its event when that came with it."""

    request: ScanRequest
    event: dict[str, Any]
    facts: EventFacts | None  # of an event that was decoded


async def create_scan(ctx: Context, body: dict[str, Any], username: str = "", *,
                      scan_id: str = "") -> Manifest:
    """A new scan as POST /scan asks for. Raises BadRequest, and TooManyRequests when too many wait.

    Who must not make two of one wish chooses the id beforehand, and looks whether the manifest is there.
    """
    checked = await check_scan(ctx, body, scan_id)
    await quotas.check_waiting(ctx, username)
    request, event = checked.request, checked.event
    stored = await (store_event(ctx, event) if event else find_event(ctx, request.i3_event_id))
    request.i3_event_id = stored.i3_event_id
    if checked.facts:
        decoding.remember(stored.i3_event_id, request.is_real, checked.facts)
    await _requests(ctx).replace_one({"scan_id": request.scan_id}, msgspec.to_builtins(request), upsert=True)
    return await _enqueue(ctx, request, new_manifest(request, request.scan_id, stored.hash), username)


async def try_scan(ctx: Context, body: dict[str, Any], username: str = "") -> Manifest:
    """The manifest that `create_scan` would make; nothing is stored. Raises as that does."""
    await quotas.check_waiting(ctx, username)
    request = (await check_scan(ctx, body)).request
    return new_manifest(request, request.scan_id, None)


async def check_scan(ctx: Context, body: dict[str, Any], scan_id: str = "") -> Checked:
    """Everything that can be found wrong before a scan starts. Raises BadRequest."""
    settings = msgspec.structs.replace(ctx.settings.scans, clusters=await clusters.known(ctx))
    request = read_request(body, settings, scan_id or new_scan_id())
    event = _inline_event(body)
    if bool(event) == bool(request.i3_event_id):
        raise BadRequest("Must provide either 'event_i3live_json' or 'i3_event_id' (xor)")
    facts = None
    if engines.is_ours(request.reco_algo):
        _check_levels(request)
        text = msgspec.json.encode(event) if event else await _event_text(ctx, request)
        facts = await _check_event(text, request)
    elif request.i3_event_id:
        await find_event(ctx, request.i3_event_id)
    return Checked(request, event, facts)


async def request_of(ctx: Context, scan_id: str) -> ScanRequest:
    """The request that made a scan or, for a rescan, the first scan of the line. Raises NotFound."""
    document = await _requests(ctx).find_one({"scan_id": scan_id})
    document = document or await _requests(ctx).find_one({"rescan_ids": scan_id})
    if document is None:
        raise NotFound("Scan request not found")
    return msgspec.convert(document, ScanRequest)


async def rescan(ctx: Context, scan_id: str, username: str = "") -> Manifest:
    """A new scan with the request of an earlier one. Raises NotFound."""
    request = await request_of(ctx, scan_id)
    parent = await manifests.read(ctx, scan_id)
    new_id = new_scan_id()
    event = StoredEvent(request.i3_event_id, str(parent.event_i3live_json_dict__hash or ""))
    await _requests(ctx).update_one({"scan_id": request.scan_id}, {"$push": {"rescan_ids": new_id}})
    request.classifiers = {**request.classifiers, "rescan": True, "origin_scan_id": scan_id}
    return await _enqueue(ctx, request, new_manifest(request, new_id, event.hash or None), username)


async def _enqueue(ctx: Context, request: ScanRequest, manifest: Manifest, username: str) -> Manifest:
    trace = traces.current.get()
    await backlog.add(ctx, Entry(
        manifest.scan_id, time.time(), request.priority, username=username, reco=request.reco_algo,
        clusters=request.clusters, traced=trace.document() if trace else {}))
    number = await next_number(ctx, "scan")  # people's short name, no part of manifests as clients know them
    await ctx.db.manifests.insert_one(msgspec.to_builtins(manifest) | {"number": number})
    ctx.signals.notify("scans")
    return manifest


def _requests(ctx: Context) -> AsyncCollection:
    return ctx.db.scan_requests


def _inline_event(body: dict[str, Any]) -> dict[str, Any]:
    event = body.get("event_i3live_json", {})
    return parse_text(event) if isinstance(event, str) else without_gaps(event)


async def _event_text(ctx: Context, request: ScanRequest) -> bytes:
    try:
        return await event_json(ctx, request.i3_event_id)
    except NotFound as error:
        raise BadRequest(error.reason) from None


def _check_levels(request: ScanRequest) -> None:
    try:
        Progression.parse(request.nsides)
    except ProgressionError as error:
        raise BadRequest(f"'nsides': {str(error).removeprefix('nsides: ')}") from None


async def _check_event(text: bytes, request: ScanRequest) -> EventFacts:
    """Decode the event, so that a broken one is refused now and not by every pilot."""
    try:
        return await decoding.read_metadata(text, request.is_real, request.reco_algo)
    except EventError as error:
        raise BadRequest(f"'event_i3live_json': {error}") from None
    except ResultError as error:
        raise BadRequest(f"'real_or_simulated_event': {error}") from None
