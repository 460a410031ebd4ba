"""The list of scans: a row for each event, where the first of its scans stands in the order asked for.

Pages go on from a key, so the last one costs what the first one does. One page looks at a bounded number of
scans; where most are passed over, as many scans of one event or a filter that few pass, it ends early and the
next one goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.common.errors import BadRequest
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.manifests.manifests import Manifest
from server.web.scans.scan_lines import Line, kind_of, lines_of

__all__ = ["PER_PAGE", "SORTS", "EventRow", "Found", "Wanted", "found_rows"]

PER_PAGE = 30
MOST_LOOKED_AT = 1000  # scans, for one page
_AT_ONCE = 50
_SIBLINGS = 50  # scans of one event that are looked at
SORTS = {"newest": "latest request", "event": "event time", "area": "smallest 90 % area"}


@dataclass(frozen=True)
class Wanted:
    """Which scans, and in which order; an empty field means any."""

    sort: str = "newest"
    text: str = ""
    stream: str = ""
    reco: str = ""
    state: str = ""
    deleted: bool = False
    after: str = ""  # where the page before ended

    @property
    def is_one_event(self) -> bool:
        """Whether one event or one scan is asked for; then each scan has a row of its own."""
        return len(self.text.replace("/", " ").replace(":", " ").split()) == 2 or (
            bool(self.text) and not self.text.isdecimal())

    def query(self) -> dict[str, Any]:
        """What the database is asked. Raises BadRequest."""
        query: dict[str, Any] = {} if self.deleted else {"is_deleted": False}
        if self.stream:
            query["event_metadata.event_type"] = self.stream
        return query | _about(self.text)

    def passes(self, line: Line) -> bool:
        """What is not asked of the database."""
        return self.reco in ("", line.reco) and self.state in ("", kind_of(line.state))

    def place(self) -> tuple[float, str] | None:
        """Where the page begins. Raises BadRequest."""
        if not self.after:
            return None
        value, comma, scan_id = self.after.partition(",")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not comma or number != number or not scan_id or len(scan_id) > 100:
            raise BadRequest("after: must be the link of a page before")
        return number, scan_id


@dataclass(frozen=True)
class EventRow:
    """An event with its scans, the first in the order asked for before all; `more` when there are others."""

    lead: Line
    scans: list[Line] = field(default_factory=list)
    more: bool = False


@dataclass(frozen=True)
class Found:
    """A page; `next` is where the next one begins, empty at the end."""

    rows: list[EventRow]
    next: str


def _about(text: str) -> dict[str, Any]:
    """The query for the id of a scan, or a run, or run and event: ``136766 7637140``. Raises BadRequest."""
    if not text:
        return {}
    words = text.replace("/", " ").replace(":", " ").split()
    if all(word.isdecimal() and len(word) < 16 for word in words) and len(words) <= 2:
        names = ("event_metadata.run_id", "event_metadata.event_id")
        return {name: int(word) for name, word in zip(names, words, strict=False)}
    if len(words) == 1:
        return {"scan_id": words[0]}
    raise BadRequest("text: give the id of a scan, the number of a run, or those of a run and an event")


async def found_rows(ctx: Context, wanted: Wanted) -> Found:
    """A page of events. Raises BadRequest."""
    rows: list[EventRow] = []
    shown: set[object] = set()
    key, looked_at = "", 0
    async for chunk in _walk(ctx, wanted):
        for line, row in await _rows_of(ctx, wanted, chunk):
            if len(rows) == PER_PAGE:
                return Found(rows, key)
            key = _key(wanted, line)
            event = _event_of(wanted, line.manifest)
            if row is not None and event not in shown:
                shown.add(event)
                rows.append(row)
        looked_at += len(chunk)
        if looked_at >= MOST_LOOKED_AT:
            return Found(rows, key)
    return Found(rows, "")


# -- walking


async def _walk(ctx: Context, wanted: Wanted) -> AsyncIterator[list[Line]]:
    """All scans that the database finds, in the order asked for, some at once."""
    place, query = wanted.place(), wanted.query()
    while True:
        if wanted.sort == "newest":
            found = await manifests.newest(ctx, query, place, _AT_ONCE)
            ended = len(found) < _AT_ONCE
            place = (found[-1].timestamp, found[-1].scan_id) if found else place
        else:
            ids, place = await _sketched(ctx, wanted.sort, place)
            ended = len(ids) < _AT_ONCE
            found = await manifests.among(ctx, query, ids)
        if found:
            yield await lines_of(ctx, found)
        if ended:
            return


async def _sketched(ctx: Context, sort: str, place: tuple[float, str] | None
                    ) -> tuple[list[str], tuple[float, str] | None]:
    """Ids of scans with a final map by event time or area, and where to go on."""
    name, way, beyond = ("mjd", -1, "$lt") if sort == "event" else ("area", 1, "$gt")  # as the indexes are
    query: dict[str, Any] = {}
    if place is not None:
        value, scan_id = place
        query = {name: {f"{beyond}e": value},
                 "$or": [{name: {beyond: value}}, {"scan_id": {"$lt": scan_id}}]}
    cursor = ctx.db.scan_sketches.find(query, {"_id": 0, "scan_id": 1, name: 1})
    found = await cursor.sort([(name, way), ("scan_id", -1)]).limit(_AT_ONCE).to_list()
    last = (float(found[-1][name]), str(found[-1]["scan_id"])) if found else place
    return [str(one["scan_id"]) for one in found], last


def _value(wanted: Wanted, line: Line) -> float:
    """What scans are ordered by."""
    if wanted.sort == "newest":
        return line.manifest.timestamp
    return line.mjd if wanted.sort == "event" else line.area or 0.0


def _key(wanted: Wanted, line: Line) -> str:
    return f"{_value(wanted, line)!r},{line.scan_id}"


# -- events


async def _rows_of(ctx: Context, wanted: Wanted, chunk: list[Line]) -> list[tuple[Line, EventRow | None]]:
    """Scans with the rows of their events; None for those that a row further up has, or that do not pass."""
    passing = [line for line in chunk if wanted.passes(line)]
    rows: dict[str, EventRow] = {}
    if wanted.is_one_event:
        rows = {line.scan_id: EventRow(line) for line in passing}
    else:
        others = await _siblings(ctx, wanted, passing)
        for line in passing:
            row = _row(wanted, line, others.get(_event_of(wanted, line.manifest), []))
            if row is not None:
                rows[line.scan_id] = row
    return [(line, rows.get(line.scan_id)) for line in chunk]


def _row(wanted: Wanted, line: Line, siblings: list[Line]) -> EventRow | None:
    """The row of an event, if this scan is the first of it."""
    passing = [one for one in siblings if wanted.passes(one) and (wanted.sort == "newest" or one.sketched)]
    falling = wanted.sort != "area"
    first = min(passing, default=line, key=lambda one: (
        -_value(wanted, one) if falling else _value(wanted, one), _reversed(one.scan_id)))
    is_known = any(one.scan_id == line.scan_id for one in passing)
    if is_known and first.scan_id != line.scan_id:
        return None
    rest = [one for one in siblings if one.scan_id != line.scan_id]
    return EventRow(line, rest, len(siblings) == _SIBLINGS)


def _reversed(text: str) -> tuple[int, ...]:
    """Orders texts the other way round."""
    return tuple(-ord(letter) for letter in text)


def _event_of(wanted: Wanted, manifest: Manifest) -> object:
    """Which event a scan is of; a scan alone where nobody decoded it, or each is shown."""
    event: Mapping[str, Any] = manifest.event_metadata or {}
    if not event or wanted.is_one_event:
        return manifest.scan_id
    return event.get("run_id"), event.get("event_id"), bool(event.get("is_real_event"))


async def _siblings(ctx: Context, wanted: Wanted, lines: list[Line]) -> dict[object, list[Line]]:
    """The latest scans of the events of these scans, by event."""
    events = {_event_of(wanted, line.manifest): line.manifest
              for line in lines if line.manifest.event_metadata}
    found = await asyncio.gather(*(_scans_of(ctx, wanted, manifest) for manifest in events.values()))
    all_lines = await lines_of(ctx, [manifest for some in found for manifest in some])
    groups: dict[object, list[Line]] = {}
    for line in all_lines:
        groups.setdefault(_event_of(wanted, line.manifest), []).append(line)
    return groups


async def _scans_of(ctx: Context, wanted: Wanted, manifest: Manifest) -> list[Manifest]:
    event = manifest.event_metadata or {}
    query = {**wanted.query(), "event_metadata.run_id": event.get("run_id"),
             "event_metadata.event_id": event.get("event_id"),
             "event_metadata.is_real_event": event.get("is_real_event")}
    return await manifests.newest(ctx, query, None, _SIBLINGS)
