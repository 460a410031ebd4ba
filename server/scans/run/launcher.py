"""Starting scans from the backlog, and going on with those that a crash left behind."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from iceprod.tracing import spans, traces
from scanner.common.errors import EventError
from scanner.maps.levels import ProgressionError
from scanner.maps.result import ResultError
from server.common.errors import ApiError
from server.production.datasets.datasets import NewDataset, create_dataset
from server.rest.context import Context
from server.scans.manifests import decoding, engines, manifests
from server.scans.manifests.manifests import Manifest
from server.scans.manifests.requests import ScanRequest
from server.scans.pixels import runs
from server.scans.pixels.runs import Phase, Run
from server.scans.pixels.timing import Span
from server.scans.run import backlog, finish, progress, quotas, reuse, rounds
from server.scans.run.backlog import Entry
from server.scans.run.creation import request_of
from server.scans.run.deletion import unwanted
from server.scans.run.priorities import task_priority
from server.scans.run.quotas import Load

__all__ = ["keep_going", "launch"]

ORPHAN_SECONDS = 600.0  # a backlog entry without a manifest is no scan: its request was cut short
LOWEST_THRESHOLD = 0.1  # fewer results than a tenth say nothing about where to look closer
WORKER_MEMORY_GB, WORKER_DISK_GB = 1.0, 0.5  # what our own worker needs; requests speak of the outside one's
_NAMESPACE = uuid.UUID("9e0d5d52-3d0c-5c4e-8f43-3f2f0a4a8a55")


async def keep_going(ctx: Context) -> None:
    """Start what is due, continue every run, close what is over. Any server may do this at any time."""
    errors = [
        *await _start_due(ctx),
        *await _each(ctx, await runs.running(ctx), _go_on),
        *await _each(ctx, await runs.unclosed(ctx), finish.close)]
    if errors:
        raise ExceptionGroup("some scans cannot go on", errors)


async def _each(ctx: Context, items: Iterable[Any],
                act: Callable[[Context, Any], Awaitable[None]]) -> list[Exception]:
    """Act on every item: one that fails stands in no other's way. What went wrong."""
    errors: list[Exception] = []
    for item in items:
        outcome, = await asyncio.gather(act(ctx, item), return_exceptions=True)
        if isinstance(outcome, Exception):
            errors.append(outcome)
        elif outcome is not None:  # no error of the scan's, but the end of this process
            raise outcome
    return errors


async def _start_due(ctx: Context) -> list[Exception]:
    """Start what is due of the backlog, which may be long: what it takes to know is read once for all."""
    entries = await backlog.entries(ctx)
    if not entries:
        return []
    known = await manifests.waiting(ctx, [entry.scan_id for entry in entries])
    return await _each(ctx, entries, partial(_start_if_due, known=known, load=await quotas.load(ctx)))


async def _start_if_due(ctx: Context, entry: Entry, known: Mapping[str, Manifest], load: Load) -> None:
    """Start an entry's scan if it is due and ours; an entry that stands for nothing is dropped."""
    manifest = known.get(entry.scan_id)
    if manifest is None or manifest.is_deleted:
        if manifest is not None or time.time() - entry.timestamp > ORPHAN_SECONDS:
            await backlog.remove(ctx, entry.scan_id)
    elif engines.is_ours(entry.reco or (await request_of(ctx, entry.scan_id)).reco_algo):
        if unwanted(manifest):
            await backlog.remove(ctx, entry.scan_id)
        elif await _is_due(ctx, entry, load):
            await _try_launch(ctx, entry, manifest, load)


async def _go_on(ctx: Context, run: Run) -> None:
    if reason := unwanted(await manifests.read(ctx, run.scan_id)):
        await finish.give_up(ctx, run.scan_id, reason, Phase.ABORTED)
    else:
        await rounds.advance(ctx, run.scan_id)


async def _is_due(ctx: Context, entry: Entry, load: Load) -> bool:
    """Scans of negative priority start when nothing else was to do for a while, all others at once.

    A user or a cluster that has many running waits until one ends; urgent scans do not.
    """
    if quotas.full(ctx.settings.scans, load, entry):
        return False
    if entry.priority >= 0:
        return True
    quiet = time.time() - ctx.settings.scans.background_seconds
    if entry.timestamp > quiet or load.scans:
        return False
    return not await runs.any_since(ctx, quiet)


async def _try_launch(ctx: Context, entry: Entry, manifest: Manifest, load: Load) -> None:
    scan_id = entry.scan_id
    taken = await backlog.take(ctx, scan_id)
    if taken is None:
        return
    if taken.next_attempt > ctx.settings.scans.max_attempts:
        await backlog.bury(ctx, scan_id, f"{taken.next_attempt - 1} attempts to start it failed")
        return
    try:
        request = await request_of(ctx, scan_id)
        with traces.within(traces.of_document(taken.traced)), \
                spans.span("launch scan", attributes={"iceprod.scan_id": scan_id}):
            await launch(ctx, manifest, request, taken.username)
    except (EventError, ProgressionError, ResultError, ApiError) as error:
        await backlog.bury(ctx, scan_id, str(error))
        return
    await backlog.remove(ctx, scan_id)
    load.add(taken.username, request.clusters)


async def launch(ctx: Context, manifest: Manifest, request: ScanRequest, username: str = "") -> None:
    """Begin to work for a scan; every step may have been done before.

    Raises EventError, ResultError, ProgressionError when the scan can never run.
    """
    scan_id, began = manifest.scan_id, time.time()
    facts = await decoding.event_metadata(ctx, request.i3_event_id, request.is_real)
    method, choice = await decoding.method(ctx, request.i3_event_id, request.is_real, request.reco_algo)
    decoded = time.time()
    dataset_id = uuid.uuid5(_NAMESPACE, scan_id).hex
    await create_dataset(ctx, NewDataset(
        description=f"scan {scan_id} of {facts.metadata}", group="users", jobs_submitted=0, tasks_submitted=0,
        tasks_per_job=1, always_active=True, username="scans"), dataset_id)
    moment, trace = time.time(), traces.current.get()
    run = await runs.create(ctx, Run(
        scan_id=scan_id, dataset_id=dataset_id, i3_event_id=request.i3_event_id, event=facts.metadata,
        told=facts.told,
        reco=method.requested, computes=method.reco, choice=choice, nsides=request.levels,
        threshold=max(float(request.predictive_scanning_threshold), LOWEST_THRESHOLD),
        max_pixel_reco_time=request.max_pixel_reco_time, memory_gb=WORKER_MEMORY_GB, disk_gb=WORKER_DISK_GB,
        priority=task_priority(manifest.priority), started=moment, since=moment, username=username,
        clusters=request.clusters, costs=await runs.measured_before(ctx, request.reco_algo),
        trace=[Span("queue", manifest.timestamp, began), Span("decode", began, decoded),
               Span("plan", decoded, moment)],
        origin_scan_id=await reuse.origin_of(ctx, scan_id), traced=trace.document() if trace else {}))
    await _announce(ctx, run, facts)
    await rounds.advance(ctx, scan_id, [Span("plan", moment, time.time())])


async def _announce(ctx: Context, run: Run, facts: decoding.EventFacts) -> None:
    """Say in the manifest who works for the scan and what it scans."""
    await manifests.assign_workflow(ctx, run.scan_id, f"WF-{run.dataset_id}", decoding.address(ctx))
    scan = {"scan_id": run.scan_id, "nside_progression": run.progression.as_dict(), "position_variations": 1,
            "predictive_scanning_threshold": run.threshold, "reco_algo": run.reco,
            "reconstruction": run.computes, **({"refine": True} if run.progression.grows else {}),
            **({"choice": run.choice} if run.choice else {})}
    metadata = {"event_metadata": decoding.as_dict(facts), "scan_metadata": scan}
    await manifests.patch(ctx, run.scan_id, metadata)
    await progress.write(ctx, run, force=True)
