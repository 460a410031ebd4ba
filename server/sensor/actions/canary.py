"""The canary: a simulated event whose direction is known is scanned, and the map must point there."""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from scanner.maps.skymap import SkyMap
from server.rest.context import Context
from server.scans.manifests.events import store_event
from server.scans.pixels import runs
from server.scans.results import maps
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome, failure
from server.sensor.actions import scan_runs
from server.sensor.actions.actions import Action, register
from server.sensor.common import grid_priority

__all__ = ["TOLERANCE_DEG", "known_event", "scan_request", "separation_deg"]

SEED = 7
TOLERANCE_DEG = 3.0
_NSIDES = {"8": 0, "64": 12}
_EVENT = "canary event"
_SIMULATE_SECONDS = 240.0


async def known_event(ctx: Context) -> dict[str, Any]:
    """Where the event is stored, and its true direction; it is simulated when it is first needed."""
    known = await ctx.db.schedule_notes.find_one({"_id": _EVENT})
    if known is not None:
        return known
    event = await _simulate()
    stored = await store_event(ctx, event)
    fields = {"i3_event_id": stored.i3_event_id, "ra_deg": event["truth"]["ra_deg"],
              "dec_deg": event["truth"]["dec_deg"]}
    await ctx.db.schedule_notes.update_one({"_id": _EVENT}, {"$set": fields}, upsert=True)
    return fields


async def _simulate() -> dict[str, Any]:
    """Simulate in a process of its own, which may compile for a while. Raises RuntimeError."""
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        path = Path(folder) / "event.json"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "iceprod", "simulate", "--seed", str(SEED), "--out", str(path),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        try:
            _, told = await asyncio.wait_for(process.communicate(), _SIMULATE_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise RuntimeError(f"the event could not be simulated: {told.decode(errors='replace')[-300:]}")
        return dict(msgspec.json.decode(path.read_bytes()))


async def start(ctx: Context, run: Acquisition) -> Outcome | None:
    """Scan the event, with workers of every cluster."""
    await scan_runs.make_scans(ctx, run, [await scan_request(ctx, run, "track_mpe", _NSIDES)])
    return None


async def scan_request(ctx: Context, run: Acquisition, reco: str, nsides: dict[str, int]) -> dict[str, Any]:
    """The body that asks for a scan of the known event, with workers of every cluster."""
    event = await known_event(ctx)
    return {"docker_tag": "latest", "reco_algo": reco, "nsides": nsides,
            "real_or_simulated_event": "simulated", "max_pixel_reco_time": 600,
            "request_clusters": dict.fromkeys(ctx.settings.scans.clusters, 1),
            "i3_event_id": event["i3_event_id"], "priority": grid_priority.of_scan(run.priority)}


async def follow(ctx: Context, run: Acquisition) -> Outcome | None:
    """None while the scan is at work; then whether its map is right, and who worked for it."""
    ended = await scan_runs.ended(ctx, run)
    if ended is None:
        return None
    if ended.failed:
        return failure(next(iter(ended.failed.values())))
    scan_id, = ended.complete
    result, _ = await maps.latest(ctx, scan_id)
    best = SkyMap.from_results(result.pixels).best_fit
    event = await known_event(ctx)
    off = separation_deg(best.ra_deg, best.dec_deg, event["ra_deg"], event["dec_deg"])
    sites = await _sites(ctx, scan_id)
    detail = f"{off:.2f}° from the truth; batches by site: " + ", ".join(
        f"{site or 'unknown'} {count}" for site, count in sorted(sites.items()))
    if off > TOLERANCE_DEG:
        return failure(f"{detail}; more than {TOLERANCE_DEG:g}° are wrong")
    return await scan_runs.map_outcome(
        ctx, [scan_id], detail, separation_deg=round(off, 4), sites=dict(sites))


async def _sites(ctx: Context, scan_id: str) -> Counter[str]:
    """How many batches each site did."""
    run = await runs.find(ctx, scan_id)
    query = {"dataset_id": run.dataset_id if run else "", "status": "complete"}
    return Counter([task.get("site", "") async for task in ctx.db.tasks.find(query, {"site": 1})])


def separation_deg(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """The angle between two directions, degrees (Vincenty's formula, exact at all distances)."""
    a, b, lon = math.radians(dec1), math.radians(dec2), math.radians(ra2 - ra1)
    x = math.cos(a) * math.sin(b) - math.sin(a) * math.cos(b) * math.cos(lon)
    y = math.cos(b) * math.sin(lon)
    z = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(lon)
    return math.degrees(math.atan2(math.hypot(x, y), z))


register(Action("canary_scan", f"""\
Scan a simulated event whose direction is known.

The run fails when the map's best fit is more than {TOLERANCE_DEG:g}° from the truth, or when there is no map.
It tells which sites did how much. The map is the run's data.""",
                start=start, follow=follow, abort=scan_runs.abort))
