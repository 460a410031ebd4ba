"""The scan of a revision: made once, followed to its end, and what its map says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np

from iceprod.submission import progression
from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanResult
from scanner.maps.skymap import EmptyMapError, SkyMap
from server.alerts.common import revisions
from server.alerts.common.alerts import Alert
from server.alerts.common.revisions import Fate, MapFacts, Revision
from server.common.errors import NotFound
from server.rest.context import Context
from server.scans.pixels import runs
from server.scans.pixels.runs import Phase
from server.scans.results import maps, results
from server.scans.run import clusters, endings
from server.scans.run.creation import create_scan

__all__ = ["Ended", "begin", "ended", "facts_of", "facts_of_map", "moments"]

USER = "alerts"
MARK = "alert"
"""The classifier by which a scan tells the revision that it is for."""
_LONGEST_PIXEL = 3600


class Ended(Exception):
    """There will be no map; the text says why."""


async def begin(ctx: Context, alert: Alert, revision: Revision) -> Revision | None:
    """Start a revision's scan, or find the one that a crash left behind. Raises ApiError."""
    mark = f"{alert.alert_id[:20]}.{revision.number}"
    scan_id = await _made(ctx, mark) if revision.begun else None
    begun = revision.begun or time.time()
    if scan_id is None:
        await revisions.change(ctx, revision, [Fate.WAITING], begun=begun)
        manifest = await create_scan(ctx, await _request(ctx, alert, revision, mark), USER)
        scan_id = manifest.scan_id
    return await revisions.change(ctx, revision, [Fate.WAITING], state=Fate.SCANNING, scan_id=scan_id)


async def _made(ctx: Context, mark: str) -> str | None:
    found = await ctx.db.manifests.find_one({f"classifiers.{MARK}": mark}, {"scan_id": 1})
    return None if found is None else str(found["scan_id"])


async def _request(ctx: Context, alert: Alert, revision: Revision, mark: str) -> dict[str, Any]:
    """The body of POST /scan."""
    step, known = revision.step, await clusters.known(ctx)
    place = "local" if "local" in known else next(iter(known), "local")
    return {"docker_tag": next(iter(ctx.settings.scans.image_tags), "latest"), "reco_algo": step.reco,
            "nsides": progression(step.nsides), "refine": step.refine, "priority": step.priority,
            "real_or_simulated_event": "real" if alert.is_real else "simulated",
            "max_pixel_reco_time": _LONGEST_PIXEL, "request_clusters": {place: 1},
            "i3_event_id": alert.i3_event_id, "classifiers": {MARK: mark}}


async def ended(ctx: Context, scan_id: str) -> float | None:
    """When a scan got its final map (seconds since 1970); None while it has none. Raises Ended."""
    finished = await results.is_final(ctx, scan_id)
    if finished is None and (reason := await endings.failure_of(ctx, scan_id)):
        raise Ended(reason)
    return finished


async def moments(ctx: Context, scan_id: str) -> dict[str, float]:
    """When a scan had its first pixel, and its first map of the whole sky, as far as it got."""
    run = await runs.find(ctx, scan_id)
    if run is None:
        return {}
    done = ctx.db.pixel_batches.find({"scan_id": scan_id, "done": True}, {"finished": 1, "nside": 1})
    batches = [(row["nside"], row["finished"]) async for row in done]
    found = {"first_pixel": min(moment for _, moment in batches)} if batches else {}
    coarsest = run.progression.levels[0].nside
    left = await ctx.db.pixel_batches.find_one(
        {"scan_id": scan_id, "done": False, "nside": coarsest}, {"_id": 1})
    first = [moment for nside, moment in batches if nside == coarsest]
    if first and left is None and (run.round > 1 or run.phase is Phase.FINAL):
        found["first_map"] = max(first)
    return found


async def facts_of(ctx: Context, scan_id: str) -> MapFacts:
    """What the gate needs of a scan's final map. Raises Ended when there is nothing in it."""
    try:
        result, _ = await maps.latest(ctx, scan_id)
        return await asyncio.to_thread(facts_of_map, result)
    except (NotFound, EmptyMapError) as error:
        raise Ended(str(error)) from None


def facts_of_map(result: ScanResult) -> MapFacts:
    """What the gate needs of a map. Raises EmptyMapError."""
    skymap = SkyMap.from_results(result.pixels)
    posterior = Posterior.of(skymap, default_levels(result.method.reco))
    finest = sorted(result.pixels)[-2:]
    llh = np.concatenate([result.pixels[nside]["llh"] for nside in finest])
    best = skymap.best_fit
    return MapFacts(
        ra_deg=best.ra_deg, dec_deg=best.dec_deg, nside=best.nside, finest=finest[-1],
        complete=result.complete,
        failed_share=float(np.mean(~np.isfinite(llh))), area_50_deg2=posterior.area(0.5),
        area_90_deg2=posterior.area(0.9), limits_90=", ".join(posterior.limits(0.9)), reco=result.method.reco)
