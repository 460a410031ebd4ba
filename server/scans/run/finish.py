"""The end of a run: the final map is stored, or the run is given up; then everything around it is closed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
from pymongo.errors import DocumentTooLarge

from scanner.common.errors import EventError
from scanner.events.event import Event
from scanner.maps.energy import EventEnergy
from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanResult
from scanner.maps.skymap import BestFit, EmptyMapError, SkyMap
from scanner.recos.energy import event_energy
from server.common.errors import BadRequest, NotFound
from server.production.datasets import datasets
from server.production.tasks import completion
from server.production.tasks.task_changes import moved
from server.rest.context import Context
from server.scans.manifests import decoding
from server.scans.pixels import batches, runs
from server.scans.pixels.runs import Phase, Run
from server.scans.results import maps, results
from server.scans.run import progress

__all__ = ["close", "finish", "give_up", "seconds_per_pixel", "summary_of"]

UNFINISHED = ("idle", "waiting", "queued", "processing", "reset")


async def finish(ctx: Context, run: Run, tables: dict[int, np.ndarray]) -> None:
    """Store the final map. The same map again changes nothing, so a crash in between does no harm."""
    summary = await asyncio.to_thread(summary_of, tables, run.computes)
    if not summary:
        await give_up(ctx, run.scan_id, "no pixel could be fitted: there is no map")
        return
    energy = await _energy(ctx, run, tables)
    result = ScanResult(tables, run.event, True, run.method, energy)
    try:
        await results.put(ctx, run.scan_id, await asyncio.to_thread(maps.result_text, result), True)
    except (BadRequest, DocumentTooLarge) as error:  # it would be so at every other try
        await give_up(ctx, run.scan_id, f"the final map cannot be stored: {error}")
        return
    summary["energy"] = energy.document() if energy else None
    ended = await runs.change(
        ctx, run.scan_id, {"phase": Phase.RUNNING.value}, phase=Phase.FINAL, reason=await _verdict(ctx, run),
        since=time.time(), summary=summary, seconds_per_pixel=await seconds_per_pixel(ctx, run),
        unlogged=True)
    if ended is not None:
        await close(ctx, ended)


async def _verdict(ctx: Context, run: Run) -> str:
    lost = await batches.failures(ctx, run.scan_id)
    if not lost:
        return "the map is complete"
    pixels = sum(number for _, number, _ in lost)
    return f"the map is complete, but for {pixels} pixels that failed; the last: {lost[-1][2]}"


async def give_up(ctx: Context, scan_id: str, reason: str, phase: Phase = Phase.FAILED) -> None:
    """End a run without a final map; what was found stays readable."""
    ended = await runs.stop(ctx, scan_id, phase, reason)
    if ended is not None:
        await close(ctx, ended)


async def close(ctx: Context, run: Run) -> None:
    """Stop the workers of a run that is over, end its dataset, write the last progress. May be repeated."""
    unfinished = {"dataset_id": run.dataset_id, "status": {"$in": list(UNFINISHED)}}
    await ctx.db.tasks.update_many(unfinished, moved(ctx, "suspended"))
    await progress.write(ctx, run, force=True)
    made = await batches.with_tasks(ctx, run.scan_id)
    changes = {"always_active": False, "truncated": True, "jobs_submitted": made, "tasks_submitted": made}
    if not made:  # an end of the last job would end it
        changes |= datasets.moved("complete" if run.phase is Phase.FINAL else "suspended")
    await datasets.change(ctx, run.dataset_id, changes)
    await completion.settle_dataset(ctx, await datasets.get(ctx, run.dataset_id))
    await runs.change(ctx, run.scan_id, {"is_closed": False}, is_closed=True)
    ctx.signals.notify("scans")


def summary_of(tables: dict[int, np.ndarray], reco: str) -> dict[str, Any]:
    """Best fit and areas (square degrees) of a reconstruction's map; {} while no pixel could be fitted."""
    try:
        skymap = SkyMap.from_results(tables)
    except EmptyMapError:
        return {}
    best, posterior = skymap.best_fit, Posterior.of(skymap, default_levels(reco))
    return {"best_fit": {"ra_deg": best.ra_deg, "dec_deg": best.dec_deg, "llh": best.llh, "nside": best.nside,
                         "pixel": best.pixel},
            "level_set": posterior.levels.name,
            "area_50_deg2": posterior.area(0.5), "area_90_deg2": posterior.area(0.9),
            "area_50_limits": ", ".join(posterior.limits(0.5)),
            "area_90_limits": ", ".join(posterior.limits(0.9))}


async def _energy(ctx: Context, run: Run, tables: dict[int, np.ndarray]) -> EventEnergy | None:
    """The event's energy at the best fit; None where it is not known or the event is gone."""
    try:
        event = await decoding.event(ctx, run.i3_event_id, run.event.is_real_event)
    except (EventError, NotFound):
        return None
    return await asyncio.to_thread(_energy_of, event, run, SkyMap.from_results(tables).best_fit, tables)


def _energy_of(event: Event, run: Run, best: BestFit, tables: dict[int, np.ndarray]) -> EventEnergy | None:
    table = tables[best.nside]
    row = table[table["index"] == best.pixel][0]
    return event_energy(event, run.method.reco, best.ra_deg, best.dec_deg, row)


async def seconds_per_pixel(ctx: Context, run: Run) -> float | None:
    """Worker time per pixel so far; None before the first result.

    CPU time, where workers tell it: wall time grows when a machine is shared, and batches would shrink.
    """
    finished = [group for group in await batches.overview(ctx, run.scan_id) if group.done]
    pixels = sum(group.count - group.reused for group in finished)
    return sum(group.cpu_seconds or group.seconds for group in finished) / pixels if pixels else None
