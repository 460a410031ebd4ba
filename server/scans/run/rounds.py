"""Rounds: which pixels come next is decided when those before are in, written down, then made into tasks.

Every step is one conditional write or can be done twice: a server that stops anywhere leaves something
that any server goes on with, and two servers that go on at once come to the same batches.

    plan    the run's `round` grows by one and its `plan` says how the round will be cut   (is_cut = False)
    cut     batches, then tasks are stored under keys that follow from the plan            (is_cut = True)
            (pixels that the origin of a rescan has done are entered in between)
    ...     results come in
    plan    the next round; or no pixels are left, and the run is finished
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np

from iceprod.tracing import spans, traces
from server.production.leases import waits
from server.production.tasks.task_store import NewTask, create_tasks
from server.rest.context import Context
from server.scans.pixels import batches, runs
from server.scans.pixels.cutting import (
    Cut,
    Plan,
    cost_at,
    cut_round,
    first_plan,
    later_plan,
    round_pixels,
    without,
)
from server.scans.pixels.runs import Phase, Run
from server.scans.pixels.timing import Span
from server.scans.results import maps
from server.scans.run import finish, guesses, progress, reuse
from server.scans.run.needs import KIND, requirements_of

__all__ = ["advance", "is_due"]

_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True)
class _Known:
    """What is known before a batch: results by nside, and the pixels that were ever asked for."""

    results: dict[int, np.ndarray]
    pixels: dict[int, np.ndarray]


async def advance(ctx: Context, scan_id: str, before: Sequence[Span] = ()) -> None:
    """Take a run as far as the results that are in allow. May be called at any time, by anybody.

    What led to the call, `before`, is traced if something comes of it.
    """
    lock = _locks.setdefault(scan_id, asyncio.Lock())  # spares this process double work, no more
    async with lock:
        while await _step(ctx, scan_id, before):
            before = ()


async def _step(ctx: Context, scan_id: str, before: Sequence[Span]) -> bool:
    """One step; whether another may follow."""
    began = time.time()
    run = await runs.find(ctx, scan_id)
    if run is None or run.phase is not Phase.RUNNING:
        return False
    with traces.within(traces.of_document(run.traced)):
        if not run.is_cut:
            with _span("cut round", run):
                await _cut(ctx, run, began)
            return True
        if not await is_due(ctx, run):
            return False
        with _span("plan round", run):
            return await _plan_next(ctx, run, before, began)


def _span(name: str, run: Run) -> AbstractContextManager[object]:
    return spans.span(name, attributes={"iceprod.scan_id": run.scan_id, "iceprod.round": run.round})


async def is_due(ctx: Context, run: Run) -> bool:
    """Whether enough is in to choose the next pixels: the threshold's share of the latest round, or all."""
    if run.plan is None or not await batches.any_open(ctx, run.scan_id):
        return True
    return run.threshold < 1.0 and await batches.share_done(ctx, run.scan_id, run.plan.first) >= run.threshold


async def _plan_next(ctx: Context, run: Run, before: Sequence[Span], began: float) -> bool:
    """Write down the next round; finish the run when there are no more pixels and none is missing."""
    missing = await batches.open_batches(ctx, run.scan_id)
    first = await batches.next_seq(ctx, run.scan_id)
    known = await _known(ctx, run.scan_id, first, missing)
    pixels = await asyncio.to_thread(round_pixels, run.progression, run.computes, known.results, known.pixels,
                                     is_settled=not missing)
    if not pixels:
        if not missing and await _is_current(ctx, run):
            await finish.finish(ctx, run, known.results, [*before, Span("plan", began, time.time())])
        return False
    adopted = await guesses.wanted_of(ctx, run, pixels, known.results) if first else []
    plan = await _new_plan(ctx, run, first, missing, pixels, adopted)
    unchanged = {"phase": Phase.RUNNING.value, "round": run.round, "is_cut": True}
    spans = [*before, Span("plan", began, time.time())]
    planned = await runs.change(
        ctx, run.scan_id, unchanged, spans, round=run.round + 1, plan=plan, is_cut=False)
    return planned is not None or not await _is_current(ctx, run)


async def _is_current(ctx: Context, run: Run) -> bool:
    """Whether no other server planned a round meanwhile: then all that was read belongs together."""
    present = await runs.find(ctx, run.scan_id)
    return present is not None and present.round == run.round


async def _new_plan(ctx: Context, run: Run, first: int, missing: list[int], wanted: dict[int, np.ndarray],
                    adopted: list[Cut]) -> Plan:
    settings, cores = ctx.settings.scans, waits.cores_waiting(ctx)
    pixels = {nside: len(some) for nside, some in without(wanted, adopted).items()}
    if first == 0:
        (nside, number), = pixels.items()
        return first_plan(settings, number, cost_at(dict(run.costs), nside), cores)
    cores = max(cores + 1, run.plan.cores if run.plan else 0)  # who reports just now will ask again
    costs = await finish.costs_of(ctx, run)
    return later_plan(settings, first, pixels, costs, missing, cores, [guess.seq for guess in adopted])


async def _cut(ctx: Context, run: Run, began: float) -> None:
    """Make the planned round's batches, then their tasks."""
    assert run.plan is not None
    known = await _known(ctx, run.scan_id, run.plan.first, run.plan.missing)
    adopted = await guesses.adopt(ctx, run)
    cuts = await asyncio.to_thread(cut_round, run.progression, run.computes, run.plan, known.results,
                                   known.pixels, adopted)
    await batches.insert_new(ctx, run.scan_id, cuts)
    whole = await reuse.fill(ctx, run, cuts)
    await create_tasks(ctx, run.dataset_id, [_task(run, cut) for cut in cuts if cut.seq not in whole])
    spans = [Span("plan", began, time.time())]
    await runs.change(ctx, run.scan_id, {"round": run.round, "is_cut": False}, spans, is_cut=True)
    present = await runs.find(ctx, run.scan_id)
    if present is not None and whole:
        await progress.write(ctx, present, force=True)
    if present is not None and present.phase is not Phase.RUNNING:
        await finish.close(ctx, present)  # it was stopped while its tasks were made


async def _known(ctx: Context, scan_id: str, before: int, missing: list[int]) -> _Known:
    seqs = sorted(set(range(before)) - set(missing))
    return _Known(await maps.tables_of(ctx, scan_id, seqs), await batches.known_pixels(ctx, scan_id, before))


def _task(run: Run, cut: Cut) -> NewTask:
    return NewTask(job_index=cut.seq, name=f"nside-{cut.nside}", kind=KIND, priority=run.priority,
                   requirements=requirements_of(run, len(cut.pixels)),
                   task_id=batches.task_id_of(run.scan_id, cut.seq))

