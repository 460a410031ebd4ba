"""Sketches: what pages show of a final map without reading it: its summary, and a very small picture.

A service makes them, one at a time and each once, when a final result is stored, whoever scanned. The mark on
the result is conditional on its version, so one that is replaced meanwhile is sketched again, and a crash in
between does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from bson.binary import Binary
from pymongo.errors import PyMongoError

from scanner.common.errors import EventError
from scanner.common.loading import LOADING
from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ResultError, ScanResult
from scanner.maps.skymap import EmptyMapError, SkyMap
from server.common.errors import NotFound
from server.rest.context import Context
from server.scans.manifests import decoding, manifests
from server.scans.manifests.told import Told
from server.scans.pixels import runs
from server.scans.results import maps, results
from server.scans.results.summaries import summary_of_map
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "SERVICES", "Sketch", "find", "find_many", "sketch", "told_of"]

log = logging.getLogger("server.scans")

PERIOD = 10.0  # seconds; for results that another server process stored

INDEXES = [
    Index("results", "sketched", [("is_final", 1), ("sketched", 1)]),
    Index("scan_sketches", "scan_id", [("scan_id", 1)], unique=True),
    Index("scan_sketches", "mjd", [("mjd", -1), ("scan_id", -1)]),
    Index("scan_sketches", "area", [("area", 1), ("scan_id", -1)]),
]


class Sketch(msgspec.Struct, kw_only=True):
    """The sketch of a final map. `picture` is its small picture (PNG), read only when asked for."""

    scan_id: str
    finished: float  # of the result that it shows; seconds since 1970
    requested: str = ""  # the reconstruction that was asked for
    reco: str = ""  # the one that computed
    mjd: float = 0.0  # of the event; 0: unknown
    area: float = 0.0  # of the 90 % region, square degrees
    told: Told | None = None
    summary: dict[str, Any] = {}
    picture: bytes = b""


async def find(ctx: Context, scan_id: str) -> Sketch | None:
    """The sketch of a scan, with its picture; None while it has none."""
    document = await ctx.db.scan_sketches.find_one({"scan_id": scan_id})
    return None if document is None else _of(document)


async def find_many(ctx: Context, scan_ids: Sequence[str]) -> dict[str, Sketch]:
    """Sketches by scan, without their pictures."""
    cursor = ctx.db.scan_sketches.find({"scan_id": {"$in": list(scan_ids)}}, {"picture": 0})
    return {document["scan_id"]: _of(document) async for document in cursor}


async def told_of(ctx: Context, scan_id: str) -> Told | None:
    """What the event of a scan tells of itself, as far as somebody looked."""
    run = await runs.find(ctx, scan_id)
    if run is not None and run.told is not None:
        return run.told
    known = await ctx.db.scan_sketches.find_one({"scan_id": scan_id}, {"picture": 0})
    return None if known is None else _of(known).told


def _of(document: Mapping[str, Any]) -> Sketch:
    return msgspec.convert(document, Sketch)


# -- how they come


async def sketch_all(ctx: Context) -> None:
    """Sketch every final result that was not yet."""
    async for scan_id, finished in results.unmarked(ctx, "sketched"):
        await sketch(ctx, scan_id, finished)


async def sketch(ctx: Context, scan_id: str, finished: float | None) -> None:
    """Sketch one final result, by its time (seconds since 1970)."""
    try:
        result, _ = await maps.latest(ctx, scan_id)
        told = await _told(ctx, scan_id)
        made = await asyncio.to_thread(_made, scan_id, finished or 0.0, result, told)
        await ctx.db.scan_sketches.replace_one({"scan_id": scan_id}, _document(made), upsert=True)
    except (NotFound, EmptyMapError) as error:  # it would be so at every other try
        log.info("no sketch", extra={"action": "sketch", "scan_id": scan_id, "reason": str(error)})
    except PyMongoError:
        raise  # it is tried again
    except Exception:  # one map of others that cannot be drawn must not stop all later ones
        log.exception("a sketch fails", extra={"action": "sketch", "scan_id": scan_id})
    await ctx.db.results.update_one({"scan_id": scan_id, "is_final": True, "finished": finished},
                                    {"$set": {"sketched": time.time()}})


def _made(scan_id: str, finished: float, result: ScanResult, told: Told | None) -> Sketch:
    with LOADING:
        from scanner.maps.thumbnail import thumbnail  # matplotlib takes a second to load

    skymap = SkyMap.from_results(result.pixels)
    posterior = Posterior.of(skymap, default_levels(result.method.reco))
    summary = summary_of_map(skymap, posterior, told)
    summary["energy"] = result.energy.document() if result.energy else None
    mjd = result.metadata.mjd if result.metadata.time else 0.0
    return Sketch(scan_id=scan_id, finished=finished, requested=result.method.requested,
                  reco=result.method.reco, mjd=mjd, area=summary["area_90_deg2"], told=told, summary=summary,
                  picture=thumbnail(skymap))


def _document(made: Sketch) -> dict[str, Any]:
    return {**msgspec.to_builtins(made, builtin_types=(bytes,)), "picture": Binary(made.picture)}


async def _told(ctx: Context, scan_id: str) -> Told | None:
    """What the event tells; None where it cannot be read, as of scanners outside."""
    run = await runs.find(ctx, scan_id)
    if run is not None and run.told is not None:
        return run.told
    try:
        manifest = await manifests.read(ctx, scan_id)
        if not manifest.i3_event_id:
            return None
        return await decoding.told(ctx, manifest.i3_event_id, run.event.is_real_event if run else False)
    except (NotFound, EventError, ResultError):
        return None


SERVICES = [Service("sketches", lambda ctx: PERIOD, sketch_all, signal="results")]
