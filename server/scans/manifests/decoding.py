"""Decoding events off the event loop, and remembering what they are."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import asdict
from typing import Any

from scanner.events.event import Event
from scanner.events.i3live import read_event
from scanner.maps.result import Method, ScanMetadata
from scanner.recos.recos import is_choice, method_of
from server.rest.context import Context
from server.scans.manifests.events import event_json

__all__ = ["address", "as_dict", "event_metadata", "method", "read_metadata", "remember"]

EVENTS_KEPT = 256

_known: OrderedDict[tuple[str, bool], ScanMetadata] = OrderedDict()


async def event_metadata(ctx: Context, i3_event_id: str, is_real: bool) -> ScanMetadata:
    """Which event this is. Raises EventError when it is broken, ResultError when it cannot be a real one."""
    found = _known.get((i3_event_id, is_real))
    if found is None:
        found = await read_metadata(await event_json(ctx, i3_event_id), is_real)
        remember(i3_event_id, is_real, found)
    return found


async def read_metadata(text: bytes, is_real: bool) -> ScanMetadata:
    """Decode an event's JSON text as far as a scan needs it. Raises as `event_metadata`."""
    return await asyncio.to_thread(_read, text, is_real)


async def method(ctx: Context, i3_event_id: str, is_real: bool, reco_algo: str) -> Method:
    """Which reconstruction computes what is asked for. Raises UnknownReco, EventError."""
    if not is_choice(reco_algo):
        return method_of(reco_algo)
    text = await event_json(ctx, i3_event_id)
    return await asyncio.to_thread(lambda: method_of(reco_algo, _event(text, is_real)))


def _event(text: bytes, is_real: bool) -> Event:
    return read_event(text, name="event_i3live_json", is_real_event=is_real)


def _read(text: bytes, is_real: bool) -> ScanMetadata:
    event = _event(text, is_real)
    return ScanMetadata(event.run_id, event.event_id, event.event_type, event.mjd, is_real)


def remember(i3_event_id: str, is_real: bool, metadata: ScanMetadata) -> None:
    """Spare the launch a second decoding."""
    _known[i3_event_id, is_real] = metadata
    while len(_known) > EVENTS_KEPT:
        _known.popitem(last=False)


def as_dict(metadata: ScanMetadata) -> dict[str, Any]:
    """`event_metadata` of a manifest."""
    return asdict(metadata)


def address(ctx: Context) -> str:
    """Where our own workers report."""
    server = ctx.settings.server
    return server.public_url or f"http://{server.host}:{server.port}"
