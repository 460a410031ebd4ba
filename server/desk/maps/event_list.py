"""Lists of events with their sky maps: read by an index from a key on, and never counted through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.common.errors import BadRequest
from server.desk.common.dates import parse_date
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "ORIGINS", "SORTS", "Found", "Row", "Wanted", "listed", "maps_of"]

INDEXES = [
    Index("desk_gcn_events", "aliases", [("aliases", 1)]),
    Index("desk_localizations", "area_90", [("area_90", 1), ("_id", 1)]),
]

SORTS = {"newest": "newest first", "oldest": "oldest first", "added": "last added", "area": "smallest 90 %"}
ORIGINS = {"": "all", "scans": "of our scans", "others": "of others"}
AT_ONCE = 200
MOST_EFFORT = 20_000  # events that one page reads past, looking for those that are wanted
_MAPS_COST = 4  # so many events are read in the time in which the maps of one are
_HEAVY = {"cells": 0, "contours": 0}


@dataclass(frozen=True)
class Wanted:
    """Which events, in which order; an empty field means any."""

    text: str = ""  # in a name or a tag, whatever the case
    aliases: tuple[str, ...] = ()  # names of events that the text stands for besides
    origin: str = ""
    most_area: float | None = None  # of the 90 % region, deg²
    since: datetime | None = None
    until: datetime | None = None
    sort: str = "newest"
    after: str = ""  # the key of the row that a page goes on after


@dataclass(frozen=True)
class Row:
    """An event and its sky maps, the newest map first."""

    event: Mapping[str, Any]
    maps: Sequence[Mapping[str, Any]]

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The map that stands for the event: its newest."""
        return self.maps[0] if self.maps else None


@dataclass(frozen=True)
class Found:
    """Rows of a page; `next` is the key to go on after, empty at the end."""

    rows: list[Row]
    next: str


async def listed(ctx: Context, wanted: Wanted, most: int) -> Found:
    """A page of events. Raises BadRequest for a key that is none."""
    rows: list[Row] = []
    effort, last = 0, ""
    async for chunk in _chunks(ctx, wanted):
        found = await _rows(ctx, chunk, wanted)
        for key, row in found:
            if len(rows) == most:
                return Found(rows, last)
            last = key
            if row is not None and _is_small(row, wanted):
                rows.append(row)
        effort += len(chunk) + _MAPS_COST * sum(row is not None for _, row in found)
        if effort >= MOST_EFFORT:
            return Found(rows, last)
    return Found(rows, "")


async def maps_of(ctx: Context, moments: Sequence[datetime]) -> dict[datetime, list[dict[str, Any]]]:
    """The sky maps of some events by their moments, the newest first, without what only regions need."""
    found: defaultdict[datetime, list[dict[str, Any]]] = defaultdict(list)
    cursor = ctx.db.desk_localizations.find({"dateobs": {"$in": list(moments)}}, _HEAVY)
    for row in sorted(await cursor.to_list(), key=lambda row: (row["created_at"], row["_id"]), reverse=True):
        found[row["dateobs"]].append(row)
    return dict(found)


# -- the walk: rows of the collection that is in the order that is asked for


async def _chunks(ctx: Context, wanted: Wanted) -> AsyncIterator[list[dict[str, Any]]]:
    field, way = _ORDER[wanted.sort]
    collection = ctx.db.desk_localizations if wanted.sort == "area" else ctx.db.desk_gcn_events
    cursor = collection.find(await _query(ctx, wanted), _HEAVY, sort=[(field, way), *_TIES.get(field, [])],
                             batch_size=AT_ONCE)
    chunk: list[dict[str, Any]] = []
    async for row in cursor:
        if not _is_before(row, wanted):
            chunk.append(row)
        if len(chunk) == AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


_ORDER = {"newest": ("dateobs", -1), "oldest": ("dateobs", 1), "added": ("_id", -1), "area": ("area_90", 1)}
_TIES = {"area_90": [("_id", 1)]}


async def _query(ctx: Context, wanted: Wanted) -> dict[str, Any]:
    query: dict[str, Any] = {}
    moments = {name: value for name, value in (("$gte", wanted.since), ("$lte", wanted.until)) if value}
    if moments:
        query["dateobs"] = moments
    if wanted.sort != "area" and (named := await _named(ctx, wanted)):
        query["aliases"] = {"$in": named}
    if wanted.sort == "area" and wanted.most_area is not None:
        query["area_90"] = {"$lte": wanted.most_area}
    return _from_key(query, wanted)


async def _named(ctx: Context, wanted: Wanted) -> list[str]:
    """The names that are asked for, if they are whole names of events: no need to look through all."""
    names = [*wanted.aliases, *filter(None, [wanted.text])]
    if not names:
        return []
    known = await ctx.db.desk_gcn_events.find_one({"aliases": {"$in": names}}, {"_id": 1})
    return names if known else []


def _from_key(query: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    if not wanted.after:
        return query
    field, way = _ORDER[wanted.sort]
    bound, ties = ("$gt" if way > 0 else "$lt"), _TIES.get(field)
    value = _key(wanted)[0]
    return {**query, field: {**query.get(field, {}), (f"{bound}e" if ties else bound): value}}


def _key(wanted: Wanted) -> tuple[Any, int]:
    """What a key says: the value that is sorted by, and the row's number. Raises BadRequest."""
    text, number = wanted.after[:60], 0
    try:
        if wanted.sort == "added":
            return _number(text), 0
        if wanted.sort != "area":
            return parse_date(text, "after"), 0
        area, _, tail = text.partition(":")
        value, number = float(area), _number(tail)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise BadRequest(f"after: {text!r} is no place in this list; begin at its first page")
    return value, number


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(f"after: {text!r} is no place in this list; begin at its first page")
    return int(text)


def _is_before(row: Mapping[str, Any], wanted: Wanted) -> bool:
    """Whether a row of equal value was on an earlier page."""
    if wanted.sort != "area" or not wanted.after:
        return False
    return (row["area_90"], row["_id"]) <= _key(wanted)


async def _rows(ctx: Context, chunk: Sequence[dict[str, Any]],
                wanted: Wanted) -> list[tuple[str, Row | None]]:
    """The rows of a chunk with their keys; None for what is not wanted, or does not stand for its event."""
    events = {row["dateobs"]: row for row in chunk}
    if wanted.sort == "area":
        cursor = ctx.db.desk_gcn_events.find({"dateobs": {"$in": list(events)}})
        events = {event["dateobs"]: event for event in await cursor.to_list()}
    chosen = {moment: event for moment, event in events.items() if _is_wanted(event, wanted)}
    maps = await maps_of(ctx, list(chosen)) if chosen else {}
    return [(_key_of(row, wanted), _row_of(row, chosen, maps, wanted)) for row in chunk]


def _row_of(row: Mapping[str, Any], chosen: Mapping[datetime, Mapping[str, Any]],
            maps: Mapping[datetime, Sequence[Mapping[str, Any]]], wanted: Wanted) -> Row | None:
    moment = row["dateobs"]
    if moment not in chosen:
        return None
    found = Row(chosen[moment], maps.get(moment, []))
    is_other_map = wanted.sort == "area" and (found.best is None or found.best["_id"] != row["_id"])
    return None if is_other_map else found


def _key_of(row: Mapping[str, Any], wanted: Wanted) -> str:
    if wanted.sort == "area":
        return f"{row['area_90']!r}:{row['_id']}"
    return str(row["_id"]) if wanted.sort == "added" else row["dateobs"].isoformat()


def _is_small(row: Row, wanted: Wanted) -> bool:
    if wanted.most_area is None:
        return True
    return row.best is not None and row.best["area_90"] <= wanted.most_area


def _is_wanted(event: Mapping[str, Any], wanted: Wanted) -> bool:
    if wanted.origin and ("scan" in event["tags"]) != (wanted.origin == "scans"):
        return False
    words = [*event["aliases"], *event["tags"]]
    if not wanted.text or set(wanted.aliases) & set(words):
        return True
    return any(wanted.text.casefold() in word.casefold() for word in words)
