"""Finished scans become localizations, and select candidates, whether or not somebody looked.

A stored final result is taken in once: the mark on it is conditional on its version, so a result that is
replaced meanwhile is taken in again, and a crash in between does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import PyMongoError

from iceprod.ids import now
from scanner.maps.level_sets import LEVEL_SETS, default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanResult
from scanner.maps.skymap import EmptyMapError, SkyMap
from server.common.errors import NotFound
from server.desk.judgement import selection
from server.desk.judgement.selection import Alert
from server.desk.maps import events, localizations
from server.desk.maps.localizations import NewLocalization
from server.desk.maps.tiles import Tiles
from server.rest.context import Context
from server.scans.results import maps, results
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "SERVICES", "take_in"]

log = logging.getLogger("server.desk")

PERIOD = 10.0  # seconds; for results that another server process stored

INDEXES = [Index("results", "localized", [("is_final", 1), ("localized", 1)])]


async def take_in_all(ctx: Context) -> None:
    """Take in every final result that was not yet."""
    async for scan_id, finished in results.unmarked(ctx, "localized"):
        await take_in(ctx, scan_id, finished)


async def take_in(ctx: Context, scan_id: str, finished: float | None) -> None:
    """Make one final result (by its time, seconds since 1970) the localization of its scan."""
    outcome = "stored"
    try:
        result, _ = await maps.latest(ctx, scan_id)
        skymap = await asyncio.to_thread(SkyMap.from_results, result.pixels)
        await _store(ctx, scan_id, result, skymap, finished or 0.0)
    except (NotFound, EmptyMapError) as error:  # it would be so at every other try
        outcome = str(error)
    except PyMongoError:
        raise  # it is tried again
    except Exception as error:  # one map of others that nobody thought of must not stop all later ones
        outcome = f"{type(error).__name__}: {error}"[:500]
        log.exception("a scan is not taken in", extra={"action": "localization", "scan_id": scan_id})
    await ctx.db.results.update_one({"scan_id": scan_id, "is_final": True, "finished": finished},
                                    {"$set": {"localized": now(), "localization": outcome}})
    log.info("scan taken in", extra={"action": "localization", "scan_id": scan_id, "outcome": outcome})


async def _store(ctx: Context, scan_id: str, result: ScanResult, skymap: SkyMap, finished: float) -> None:
    dateobs = moment_of(result, finished)
    metadata = result.metadata
    event = [f"run{metadata.run_id}.evt{metadata.event_id}"] if metadata.run_id else []
    await events.put(ctx, dateobs, [*event, scan_id], ["scan"])
    reco = result.method.reco
    levels = default_levels(reco)
    tiles = await asyncio.to_thread(Tiles.of_scan, skymap, levels)
    contours = await asyncio.to_thread(contours_of, skymap, reco)
    limits = {f"area_{100 * one['level']:g}": one["limits"] for one in contours
              if one["levels"] == levels.name and one["limits"]}
    new = NewLocalization(dateobs, scan_id, tiles, finished, scan_id, contours, levels.name, limits)
    row = await localizations.put(ctx, new)
    await selection.run(ctx, Alert(row, _moment(finished), metadata.run_id * 10**6 + metadata.event_id))


def moment_of(result: ScanResult, finished: float) -> datetime:
    """When the event was, to milliseconds; simulated ones without a time count from the end of their scan."""
    moment = result.metadata.time
    return _moment(finished) if moment is None else _to_milliseconds(moment)


def _moment(seconds: float) -> datetime:
    """A time since 1970 as the database keeps it."""
    return _to_milliseconds(datetime.fromtimestamp(seconds, UTC))


def _to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=None)


def contours_of(skymap: SkyMap, reco: str) -> list[dict[str, Any]]:
    """The thresholds on 2Δ ln L of all sets that fit a reconstruction, with their regions' areas (deg²)."""
    found = []
    for known in LEVEL_SETS.values():
        if known.fits(reco):
            posterior = Posterior.of(skymap, known)
            found += [{"levels": known.name, "level": level, "threshold": threshold,
                       "area_deg2": posterior.area(level), "limits": ", ".join(posterior.limits(level))}
                      for level, threshold in known.thresholds.items()]
    return found


SERVICES = [Service("localizations", lambda ctx: PERIOD, take_in_all, signal="results")]
