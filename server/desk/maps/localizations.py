"""Localizations: the sky maps of events, from our own scans and from outside.

A localization's row says what it is; its tiles are bytes beside it, named by their content. A scan has one
localization, which follows its final result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from cachetools import LRUCache
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from scanner.maps import healpix
from server.common.errors import BadRequest
from server.desk.common import blobs, ids
from server.desk.maps.tiles import Tiles
from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind
from server.store.database import Index

__all__ = ["INDEXES", "KIND", "NameTaken", "NewLocalization", "find", "levels_at", "of_event", "of_scan",
           "put", "tiles_of"]

INDEXES = [
    Index("desk_localizations", "dateobs_name", [("dateobs", 1), ("name", 1)], unique=True),
    Index("desk_localizations", "scan_id", [("scan_id", 1)], unique=True, options={"sparse": True}),
    Index("desk_localizations", "newest", [("dateobs", 1), ("created_at", -1)]),
    Index("desk_localizations", "cells", [("cells", 1), ("created_at", -1)]),
    events.unlogged("desk_localizations"),
]

FULL_LEVEL = 0.99  # positions further out are not said to be in a map
MOST_MAPS = 50  # that one position is looked up in
_CELL_ORDER = 4
_KEPT = 6  # maps whose tiles stay in memory


class NameTaken(BadRequest):
    """Another map of this event has the name."""


@dataclass(frozen=True)
class NewLocalization:
    """A sky map that is to be stored."""

    dateobs: datetime  # UTC, milliseconds
    name: str
    tiles: Tiles
    version: float  # of two maps of one scan the one with the greater number counts
    scan_id: str | None = None
    contours: Sequence[Mapping[str, Any]] = ()
    levels: str = ""  # the level set of the regions of a map of likelihoods
    limits: Mapping[str, str] = field(default_factory=dict)  # what its areas are limited by, as area_90


_kept: WeakKeyDictionary[AsyncDatabase, LRUCache[str, Tiles]] = WeakKeyDictionary()


async def put(ctx: Context, new: NewLocalization) -> dict[str, Any]:
    """Store a map, and say what is on record then. Repeating it, or an older one of a scan, changes nothing.

    Raises NameTaken when a map from outside has the name of another.
    """
    data, facts = await asyncio.to_thread(lambda: (new.tiles.pack(), _facts(new.tiles)))
    fields = {**facts, "blob": await blobs.put(ctx, data), "version": new.version, "dateobs": new.dateobs,
              "name": new.name, "contours": list(new.contours), "levels": new.levels,
              "limits": dict(new.limits), "ranked": None, "modified": now(), "unlogged": True}
    key: dict[str, Any] = {"scan_id": new.scan_id} if new.scan_id else {
        "dateobs": new.dateobs, "name": new.name}
    present = await ctx.db.desk_localizations.find_one_and_update(
        {**key, "version": {"$lt": new.version}}, {"$set": fields})
    ctx.signals.notify("localizations")
    if present is not None:
        await _forget(ctx, present["blob"], fields["blob"])
        await events.log_row(ctx, KIND, {**present, **fields})
        return {**present, **fields}
    if await ctx.db.desk_localizations.find_one(key, {"_id": 1}) is None:
        await _insert(ctx, {**key, **fields})
    row = await _one(ctx, key)
    if new.scan_id is None and row["blob"] != fields["blob"]:
        raise NameTaken(f"this event has another localization named {new.name!r} already")
    return row


async def _insert(ctx: Context, fields: dict[str, Any]) -> None:
    row = {"_id": await ids.next_id(ctx, "localization"), "created_at": now(), **fields}
    try:
        await ctx.db.desk_localizations.insert_one(row)
    except DuplicateKeyError:  # another server stored it just now
        return
    await events.log_row(ctx, KIND, row)


async def _forget(ctx: Context, old: str, new: str) -> None:
    """Remove tiles that no row names any more."""
    if old != new and await ctx.db.desk_localizations.find_one({"blob": old}, {"_id": 1}) is None:
        await blobs.remove(ctx, old)


async def _one(ctx: Context, key: dict[str, Any]) -> dict[str, Any]:
    document = await ctx.db.desk_localizations.find_one(key)
    assert document is not None, "localizations are not removed"
    return dict(document)


def _facts(tiles: Tiles) -> dict[str, Any]:
    """What a row says of its tiles."""
    ra, dec = tiles.best
    full = tiles.chosen(FULL_LEVEL)
    order, nested = healpix.from_uniq(tiles.uniq[full])
    return {"tiles": len(tiles), "order": tiles.order, "best": {"ra": ra, "dec": dec},
            "area_50": float(tiles.area[tiles.chosen(0.5)].sum()),
            "area_90": float(tiles.area[tiles.chosen(0.9)].sum()),
            "has_distance": tiles.has_distance, "has_delta": tiles.has_delta, "cells": _cells(order, nested)}


def _cells(order: np.ndarray, nested: np.ndarray) -> list[int]:
    """The coarse pixels that touch these; sorted."""
    fine = order >= _CELL_ORDER
    shift = 2 * np.abs(order - _CELL_ORDER)
    coarse = [np.arange(pixel << size, (pixel + 1) << size)
              for pixel, size in zip(nested[~fine], shift[~fine], strict=True)]
    return sorted(set(np.concatenate([nested[fine] >> shift[fine], *coarse]).tolist()))


async def find(ctx: Context, dateobs: datetime, name: str | None) -> dict[str, Any]:
    """The row of a map; without a name, of the event's newest. Raises BadRequest."""
    query: dict[str, Any] = {"dateobs": dateobs, **({"name": name} if name else {})}
    document = await ctx.db.desk_localizations.find_one(query, sort=[("created_at", -1)])
    if document is None:
        what = f"named {name!r} " if name else ""
        raise BadRequest(f"there is no localization {what}of an event at {dateobs.isoformat()}")
    return dict(document)


async def of_scan(ctx: Context, scan_id: str) -> dict[str, Any] | None:
    """The localization of a scan; None until its final result was taken in."""
    document = await ctx.db.desk_localizations.find_one({"scan_id": scan_id})
    return None if document is None else dict(document)


async def of_event(ctx: Context, dateobs: datetime) -> list[dict[str, Any]]:
    """An event's localizations, the newest first."""
    cursor = ctx.db.desk_localizations.find({"dateobs": dateobs}).sort([("created_at", -1)])
    return [document async for document in cursor]


async def tiles_of(ctx: Context, row: Mapping[str, Any]) -> Tiles:
    """The tiles of a localization's row; those last asked for stay in memory."""
    kept = _kept.setdefault(ctx.db, LRUCache(_KEPT))
    key = row["blob"]
    if key not in kept:
        data = await blobs.get(ctx, key)
        kept[key] = await asyncio.to_thread(Tiles.unpack, data)
    return kept[key]


async def levels_at(ctx: Context, hpix29: int) -> list[dict[str, Any]]:
    """In which maps a position is, and in how small a credible region of each; the newest map first."""
    cell = hpix29 >> 2 * (healpix.MAX_ORDER - _CELL_ORDER)
    cursor = ctx.db.desk_localizations.find({"cells": cell}).sort([("created_at", -1)]).limit(MOST_MAPS)
    found = []
    async for row in cursor:
        tiles = await tiles_of(ctx, row)
        level = float(tiles.level_at(hpix29))
        if level <= FULL_LEVEL:
            found.append({"id": row["_id"], "dateobs": row["dateobs"].isoformat(), "name": row["name"],
                          "scan_id": row.get("scan_id"), "credible_level": level})
    return found


# -- what rules hear of


async def _event(ctx: Context, row: Mapping[str, Any]) -> Event:
    """A sky map as an event, with the tags of its event in the sky."""
    known = await ctx.db.desk_gcn_events.find_one({"dateobs": row["dateobs"]}, {"tags": 1, "aliases": 1})
    facts = {"dateobs": row["dateobs"].isoformat(), "name": row["name"], "scan_id": row.get("scan_id"),
             "is_scan": bool(row.get("scan_id")), "tags": sorted(known["tags"]) if known else [],
             "localization_tags": _tags(row),
             "aliases": sorted(known["aliases"]) if known else [], "area_50": row["area_50"],
             "area_90": row["area_90"], "has_distance": row["has_distance"]}
    return events.made(KIND.name, row["_id"], row["modified"], facts)


def _tags(row: Mapping[str, Any]) -> list[str]:
    """What can be said of a map itself, with SkyPortal's words for its size."""
    sizes = [f"< {size} sq. deg." for size in (1, 10, 100, 150, 500, 1000) if row["area_90"] < size]
    return sizes + ["scan"] * bool(row.get("scan_id")) + ["3D"] * bool(row["has_distance"])


KIND = register_kind(Kind("localization", {
    "dateobs": "the event's time", "name": "the map's name", "scan_id": "the scan that made it",
    "is_scan": "whether a scan made it", "tags": "the event's tags",
    "localization_tags": "of the map: its size, scan, 3D", "aliases": "the event's names",
    "area_50": "of the 50 % region, deg²", "area_90": "of the 90 % region, deg²",
    "has_distance": "whether it has distances"}, Source("desk_localizations", _event)))
