"""Credible regions of stored sky maps, by the names that clients give them."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from cachetools import LRUCache
from pymongo.asynchronous.database import AsyncDatabase

from server.common.errors import BadRequest
from server.desk.common.dates import parse_date
from server.desk.maps import localizations
from server.desk.maps.membership import Membership, restrict
from server.desk.maps.tiles import Tiles
from server.rest.context import Context

__all__ = ["CALIBRATED", "DEFAULT_CUMPROB", "Membership", "Ranges", "find_region", "read_cumprob", "restrict"]

Ranges = np.ndarray
"""Half-open ranges of NESTED pixels at order 29: int64, shape ``(n, 2)``, sorted, disjoint."""

CALIBRATED = ":calibrated"  # at the end of a scan's name: IceCube's published thresholds
DEFAULT_CUMPROB = 0.95
_KEPT = 64

_kept: WeakKeyDictionary[AsyncDatabase, LRUCache[tuple[str, bool, float], Ranges]] = WeakKeyDictionary()


async def find_region(ctx: Context, dateobs: str, name: str | None = None,
                      cumprob: float = DEFAULT_CUMPROB) -> Ranges:
    """The credible region of a stored map: that of the name, or the event's newest.

    A name that ends in ``:calibrated`` asks for the region by the calibrated thresholds on 2Δ ln L (22.2 for
    50 %, 64.2 for 90 %), which only maps of 2Δ ln L have, such as those of scans. Raises BadRequest.
    """
    moment = parse_date(dateobs, "localizationDateobs")
    plain = (name or "").removesuffix(CALIBRATED)
    row = await localizations.find(ctx, moment, plain or None)
    is_calibrated = (name or "").endswith(CALIBRATED)
    _check(row, is_calibrated, cumprob)
    kept = _kept.setdefault(ctx.db, LRUCache(_KEPT))
    key = row["blob"], is_calibrated, cumprob
    if key not in kept:
        tiles = await localizations.tiles_of(ctx, row)
        kept[key] = await asyncio.to_thread(_ranges, tiles, is_calibrated, cumprob)
    return kept[key]


def _check(row: dict[str, Any], is_calibrated: bool, cumprob: float) -> None:
    if not 0 <= cumprob <= 1:
        raise BadRequest(f"localizationCumprob: must be from 0 to 1, not {cumprob}")
    if is_calibrated and not (row.get("scan_id") or row.get("has_delta")):
        raise BadRequest("localizationName: only a map of 2Δ ln L, such as those of scans and alerts, "
                         f"can be {CALIBRATED[1:]}")


def _ranges(tiles: Tiles, is_calibrated: bool, cumprob: float) -> Ranges:
    return tiles.ranges(tiles.chosen_calibrated(cumprob) if is_calibrated else tiles.chosen(cumprob))


def read_cumprob(text: str | None) -> float:
    """A probability as queries spell it; 0.95 when there is none. Raises BadRequest."""
    if text is None:
        return DEFAULT_CUMPROB
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise BadRequest(f"localizationCumprob: must be a number from 0 to 1, not {text[:40]!r}")
    return value
