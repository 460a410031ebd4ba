"""The end of a run: the final map is stored, or the run is given up; then everything around it is closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np
from pymongo.errors import DocumentTooLarge

from scanner.common.errors import EventError
from scanner.events.event import Event
from scanner.maps.energy import EventEnergy
from scanner.maps.result import ScanResult
from scanner.maps.skymap import BestFit, SkyMap
from scanner.recos.energy import event_energy
from server.common.errors import BadRequest, NotFound
from server.production.datasets import datasets
from server.production.tasks import completion
from server.production.tasks.task_changes import moved
from server.rest.context import Context
from server.scans.manifests import decoding
from server.scans.pixels import batches, runs
from server.scans.pixels.runs import Phase, Run
from server.scans.pixels.timing import Span
from server.scans.results import maps, results
from server.scans.results.summaries import summary_of
from server.scans.run import backlog, leftovers, progress, traces

__all__ = ["close", "costs_of", "finish", "give_up", "rest"]

UNFINISHED = ("idle", "waiting", "queued", "processing", "reset")


async def finish(ctx: Context, run: Run, tables: dict[int, np.ndarray], before: Sequence[Span] = ()) -> None:
    """Store the final map. The same map again changes nothing, so a crash in between does no harm."""
    began = time.time()
    summary = await asyncio.to_thread(summary_of, tables, run.computes, run.told)
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
    verdict, costs = await _verdict(ctx, run), sorted((await costs_of(ctx, run)).items())
    over = time.time()
    ended = await runs.change(
        ctx, run.scan_id, {"phase": Phase.RUNNING.value}, [*before, Span("finish", began, over)],
        phase=Phase.FINAL, reason=verdict, since=over, summary=summary, costs=costs, unlogged=True)
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


async def rest(ctx: Context, scan_id: str) -> None:
    """Work no more for a scan whose final result came from elsewhere: it would replace that one."""
    await backlog.remove(ctx, scan_id)
    await give_up(ctx, scan_id, "the final result came from elsewhere", Phase.ABORTED)


async def close(ctx: Context, run: Run) -> None:
    """Stop the workers of a run that is over, end its dataset, write the last progress. May be repeated."""
    unfinished = {"dataset_id": run.dataset_id, "status": {"$in": list(UNFINISHED)}}
    await ctx.db.tasks.update_many(unfinished, moved(ctx, "suspended"))
    await leftovers.discard(ctx, run)
    await progress.write(ctx, run, force=True)
    made = await batches.with_tasks(ctx, run.scan_id)
    changes = {"always_active": False, "truncated": True, "jobs_submitted": made, "tasks_submitted": made}
    if not made:  # an end of the last job would end it
        changes |= datasets.moved("complete" if run.phase is Phase.FINAL else "suspended")
    await datasets.change(ctx, run.dataset_id, changes)
    await completion.settle_dataset(ctx, await datasets.get(ctx, run.dataset_id))
    await runs.change(ctx, run.scan_id, {"is_closed": False}, is_closed=True, **await traces.keep(ctx, run))
    ctx.signals.notify("scans")


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


async def costs_of(ctx: Context, run: Run) -> dict[int, float]:
    """Worker time per pixel by nside: what this run has measured, else what the one before it had.

    CPU time, where workers tell it: wall time grows when a machine is shared, and batches would shrink.
    """
    costs = dict(run.costs)
    for group in await batches.overview(ctx, run.scan_id):
        if group.done and (pixels := group.count - group.reused):
            costs[group.nside] = (group.cpu_seconds or group.seconds) / pixels
    return costs
