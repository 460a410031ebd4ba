"""Decoding events off the event loop, and remembering what they are."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scanner.common.errors import EventError
from scanner.common.loading import LOADING
from scanner.events.event import Event
from scanner.events.i3live import document_of, read_event
from scanner.maps.result import Method, ScanMetadata
from scanner.recos.auto import choose
from scanner.recos.recos import is_choice, method_of, why_not
from server.rest.context import Context
from server.scans.manifests.events import event_json
from server.scans.manifests.told import Told, told_by

__all__ = ["EventFacts", "address", "as_dict", "event", "event_metadata", "method", "picture",
           "read_metadata", "remember", "told"]

EVENTS_KEPT = 256

_NAME = "event_i3live_json"


@dataclass(frozen=True)
class EventFacts:
    """Which event it is, what was left out when it was read, and what it tells of itself."""

    metadata: ScanMetadata
    notes: tuple[str, ...] = ()
    told: Told = field(default_factory=Told)


_known: OrderedDict[tuple[str, bool], EventFacts] = OrderedDict()


async def event_metadata(ctx: Context, i3_event_id: str, is_real: bool) -> EventFacts:
    """Which event this is. Raises EventError when it is broken, ResultError when it cannot be a real one."""
    found = _known.get((i3_event_id, is_real))
    if found is None:
        found = await read_metadata(await event_json(ctx, i3_event_id), is_real)
        remember(i3_event_id, is_real, found)
    return found


async def read_metadata(text: bytes, is_real: bool, reco_algo: str = "") -> EventFacts:
    """Decode an event's JSON text as far as a scan needs it. Raises as `event_metadata`.

    With ``reco_algo`` also EventError when that reconstruction cannot use the event.
    """
    return await asyncio.to_thread(_read, text, is_real, reco_algo)


async def method(ctx: Context, i3_event_id: str, is_real: bool,
                 reco_algo: str) -> tuple[Method, dict[str, Any]]:
    """Which reconstruction computes what is asked for, and `auto`'s choice.

    Raises UnknownReco, EventError.
    """
    if not is_choice(reco_algo):
        return method_of(reco_algo), {}
    text = await event_json(ctx, i3_event_id)
    choice = await asyncio.to_thread(lambda: choose(_event(text, is_real)))
    return Method(reco_algo, choice.reco), asdict(choice)


async def told(ctx: Context, i3_event_id: str, is_real: bool) -> Told:
    """What an event tells of itself. Raises EventError, NotFound."""
    document = await asyncio.to_thread(document_of, await event_json(ctx, i3_event_id))
    return await asyncio.to_thread(lambda: told_by(document, _event(document, is_real)))


async def event(ctx: Context, i3_event_id: str, is_real: bool) -> Event:
    """The event as a reconstruction sees it. Raises EventError."""
    text = await event_json(ctx, i3_event_id)
    return await asyncio.to_thread(_event, text, is_real)


def _event(source: bytes | Mapping[str, Any], is_real: bool) -> Event:
    return read_event(source, name=_NAME, is_real_event=is_real)


def _read(text: bytes, is_real: bool, reco_algo: str) -> EventFacts:
    document = document_of(text)
    event = _event(document, is_real)
    reason = why_not(reco_algo, event) if reco_algo else None
    if reason:
        raise EventError(reason, source=_NAME)
    metadata = ScanMetadata(event.run_id, event.event_id, event.event_type, event.mjd, is_real)
    return EventFacts(metadata, event.notes, told_by(document, event))


async def picture(text: bytes) -> bytes:
    """A drawing of an event, PNG. Raises EventError."""
    return await asyncio.to_thread(_picture, text)


def _picture(text: bytes) -> bytes:
    with LOADING:
        from scanner.events.event_plot import plot_event  # matplotlib takes half a second to load

    file = io.BytesIO()
    plot_event(read_event(text, name=_NAME), file, file_format="png")
    return file.getvalue()


def remember(i3_event_id: str, is_real: bool, facts: EventFacts) -> None:
    """Spare the launch a second decoding."""
    _known[i3_event_id, is_real] = facts
    while len(_known) > EVENTS_KEPT:
        _known.popitem(last=False)


def as_dict(facts: EventFacts) -> dict[str, Any]:
    """`event_metadata` of a manifest; with `notes` when something of the event was left out."""
    return asdict(facts.metadata) | ({"notes": list(facts.notes)} if facts.notes else {})


def address(ctx: Context) -> str:
    """Where our own workers report."""
    server = ctx.settings.server
    return server.public_url or f"http://{server.host}:{server.port}"
