"""Alerts: one record per message, by stream and content, which says how far it is on its way.

Every change names the state that it expects, so whatever is done twice, or by two servers, is done once.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from config.alerts import AlertGate, AlertStep
from server.common.errors import NotFound
from server.desk.common import blobs
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "MESSAGES", "OPEN", "Alert", "Arrival", "LinkedMap", "MapState", "Origin", "Search",
           "State", "arrive", "change", "find", "id_of", "listed", "message_of", "undecided"]

INDEXES = [
    Index("alerts", "open", [("state", 1), ("received", 1)]),
    Index("alerts", "newest", [("received", -1)]),
    Index("alerts", "replay", [("replay", 1), ("received", 1)]),
    Index("alerts", "event_key", [("event_key", 1), ("received", 1)]),
    Index("alerts", "dateobs", [("dateobs", 1), ("received", 1)]),
    Index("alerts", "linked", [("linked.state", 1), ("linked.due", 1)], options={"sparse": True}),
    Index("alerts", "key", [("key", 1)], unique=True, options={"sparse": True}),
]

MOST_ORIGINS = 50  # of one message, that are kept
MESSAGES = "message-"  # how the keys of messages' bytes begin


class State(StrEnum):
    """Where an alert stands."""

    RECEIVED = "received"  # stored, not read yet
    REFUSED = "refused"  # it cannot be read; the reason says why
    DUPLICATE = "duplicate"  # another message says the same
    TOLD = "told"  # a notice of others, now an event on the desk
    IGNORED = "ignored"  # no rule wants it
    WORKING = "working"  # being scanned, judged or published
    HELD = "held"  # a map waits for a person
    DONE = "done"
    DISMISSED = "dismissed"  # a person decided not to publish
    RETRACTED = "retracted"


OPEN = (State.RECEIVED, State.WORKING)
"""What is gone on with by itself."""


class MapState(StrEnum):
    """Where the map stands that a notice links to."""

    WAITING = "waiting"  # it is asked for, perhaps again
    KEPT = "kept"  # it is the event's map on the desk
    FAILED = "failed"  # it is not asked for any more; the reason says why
    SUPERSEDED = "superseded"  # a later notice of the event came first
    OFF = "off"  # links are not followed here


class LinkedMap(msgspec.Struct, frozen=True):
    """A map that a notice only links to."""

    url: str
    state: MapState
    reason: str = ""
    due: float = 0.0  # when it is asked for next, seconds since 1970
    tries: int = 0


class Origin(msgspec.Struct, frozen=True):
    """One delivery of a message; seconds since 1970."""

    source: str
    received: float
    place: str = ""  # such as topic, partition and offset


class Arrival(msgspec.Struct, frozen=True):
    """A message as a source hands it over."""

    stream: str
    data: bytes
    origin: Origin
    replay: str = ""  # the rehearsal that it belongs to


class Alert(msgspec.Struct, kw_only=True):
    """What is known of an alert. Times in seconds since 1970, directions in degrees (ICRS)."""

    alert_id: str
    stream: str
    blob: str  # where the message's bytes are; its own, so that they can be removed
    size: int  # bytes
    origins: list[Origin]
    received: float
    stored: float
    state: State = State.RECEIVED
    reason: str = ""
    kind: str = ""  # event, notice or map
    title: str = ""  # which event, for people
    key: str = ""  # what it says, by a digest, whatever its bytes
    duplicate_of: str = ""
    event_key: str = ""  # which event of the detector, such as 138632_31747601
    is_test: bool = False
    replay: str = ""
    i3_event_id: str = ""
    is_real: bool = False
    event_type: str = ""
    mjd: float = 0.0
    online: dict[str, Any] | None = None  # name, ra_deg, dec_deg of the reconstruction that came with it
    truth: dict[str, Any] | None = None  # ra_deg, dec_deg of a simulated event
    extras: dict[str, float] = {}  # signalness and false alarm rate, where the message tells them
    dateobs: str = ""  # of the event on the desk
    localization: str = ""
    linked: LinkedMap | None = None
    rule: str = ""
    steps: list[AlertStep] = []
    gate: AlertGate = AlertGate()
    targets: list[str] = []
    times: dict[str, float] = {}  # first_pixel, first_map, final_map, published
    event_name: str = ""
    pruned: float = 0.0  # when the bytes of a refused message were removed
    acts: list[dict[str, Any]] = []  # what people did: who, what, when, why


class Search(msgspec.Struct, frozen=True):
    """Which alerts are asked for."""

    state: str = ""
    stream: str = ""
    text: str = ""  # part of title, name or reason
    since: float | None = None
    until: float | None = None
    replay: str | None = None  # of a rehearsal; "": of none; None: whatever
    before: float | None = None  # received earlier than that, for pages

    def query(self) -> dict[str, Any]:
        """As the database takes it."""
        found: dict[str, Any] = {} if self.replay is None else {"replay": self.replay}
        found |= {name: value for name in ("state", "stream") if (value := getattr(self, name))}
        bounds = {"$gte": self.since, "$lte": self.until, "$lt": self.before}
        bounds = {name: value for name, value in bounds.items() if value is not None}
        if bounds:
            found["received"] = bounds
        if self.text:
            like = {"$regex": re.escape(self.text), "$options": "i"}
            found["$or"] = [{name: like} for name in ("title", "event_name", "event_key", "reason", "stream")]
        return found


def id_of(arrival: Arrival) -> str:
    """The alert of a message: the same for the same content on the same stream."""
    head = f"{arrival.replay}\0{arrival.stream}\0".encode()
    return hashlib.sha256(head + arrival.data).hexdigest()[:24]


async def arrive(ctx: Context, arrival: Arrival) -> Alert:
    """Store a message, or note that it came once more."""
    alert_id = id_of(arrival)
    known = await _once_more(ctx, alert_id, arrival.origin)
    if known is not None:
        return known
    blob = await blobs.put(ctx, arrival.data, f"{MESSAGES}{alert_id}")
    fresh = Alert(alert_id=alert_id, stream=arrival.stream, blob=blob, size=len(arrival.data),
                  origins=[arrival.origin], received=arrival.origin.received, stored=time.time(),
                  replay=arrival.replay)
    try:
        await ctx.db.alerts.insert_one(_document(fresh))
    except DuplicateKeyError:  # it came twice at once
        known = await _once_more(ctx, alert_id, arrival.origin)
        return known or fresh
    return fresh


async def _once_more(ctx: Context, alert_id: str, origin: Origin) -> Alert | None:
    more = {"$push": {"origins": {"$each": [msgspec.to_builtins(origin)], "$slice": MOST_ORIGINS}}}
    return _of(await ctx.db.alerts.find_one_and_update(
        {"_id": alert_id}, more, return_document=ReturnDocument.AFTER))


async def find(ctx: Context, alert_id: str) -> Alert:
    """An alert. Raises NotFound."""
    found = _of(await ctx.db.alerts.find_one({"_id": alert_id}))
    if found is None:
        raise NotFound("there is no such alert")
    return found


async def message_of(ctx: Context, alert: Alert) -> bytes:
    """The bytes of an alert's message. Raises NotFound."""
    if alert.pruned:
        raise NotFound("the bytes of this refused message were removed when their time was over (setting "
                       "alerts.keep_refused_days)")
    return await blobs.get(ctx, alert.blob)


async def change(ctx: Context, alert_id: str, states: Sequence[State], **fields: Any) -> Alert | None:
    """Set fields of an alert that is in one of the states; the alert then, or None.

    Raises DuplicateKeyError when another one has the same `key`.
    """
    condition = {"_id": alert_id, "state": {"$in": [state.value for state in states]}}
    return _of(await ctx.db.alerts.find_one_and_update(
        condition, {"$set": msgspec.to_builtins(fields)}, return_document=ReturnDocument.AFTER))


async def undecided(ctx: Context) -> list[str]:
    """Ids of all alerts that are to be gone on with: those that nobody has read yet first, then the oldest.

    All of them, so that however many wait for long scans, or cannot be gone on with, a new one is read.
    """
    found: list[str] = []
    for state in OPEN:
        cursor = ctx.db.alerts.find({"state": state.value}, {"_id": 1}).sort([("received", 1)])
        found += [row["_id"] async for row in cursor]
    return found


async def listed(ctx: Context, search: Search, skip: int, limit: int) -> list[Alert]:
    """Alerts, the latest first."""
    cursor = ctx.db.alerts.find(search.query()).sort([("received", -1)]).skip(skip).limit(limit)
    return [one async for document in cursor if (one := _of(document))]


def _document(alert: Alert) -> dict[str, Any]:
    document = msgspec.to_builtins(alert)
    document["_id"] = document.pop("alert_id")
    if not document["key"]:
        del document["key"]  # the index of keys leaves those without one out
    if alert.linked is None:
        del document["linked"]  # likewise
    return document


def _of(document: Mapping[str, Any] | None) -> Alert | None:
    if document is None:
        return None
    return msgspec.convert({**document, "alert_id": document["_id"]}, Alert)
