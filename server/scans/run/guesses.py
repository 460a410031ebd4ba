"""Making guesses while cores would idle, and making those that come true batches of their round.

What a plan adopts is written down with it, so that a server that stops anywhere leaves something that any
other goes on with. A guess that failed is not looked into: if its round wants it, its task waits again.
"""

from __future__ import annotations

import asyncio

import numpy as np

from server.production.leases import waits
from server.production.tasks.task_changes import patch
from server.production.tasks.task_store import NewTask, create_tasks
from server.rest.context import Context
from server.scans.pixels import batches, runs
from server.scans.pixels.batches import Batch
from server.scans.pixels.cutting import Cut, cost_at
from server.scans.pixels.guessing import fitting, guess_id, guessed
from server.scans.pixels.runs import Phase, Run
from server.scans.results import maps
from server.scans.run import finish
from server.scans.run.leftovers import FIRST_JOB
from server.scans.run.needs import KIND, requirements_of

__all__ = ["adopt", "make", "wanted_of"]

LAST = -1.0  # priority: whatever else waits comes first
GUESS_SECONDS = 0.1  # that a guess takes: it is the longest that a core may be at a wrong one
_ALIVE = ("idle", "waiting", "queued", "processing")


async def make(ctx: Context, run: Run) -> None:
    """Have cores that wait begin the next level, unless batches of this one wait for them."""
    if not _may(ctx, run) or await ctx.db.tasks.find_one(_waiting(run), {"_id": 1}) is not None:
        return
    cuts = await _cuts(ctx, run, waits.cores_waiting(ctx) + 1)  # who reports just now will wait, too
    if not cuts:
        return
    await batches.insert_new(ctx, guess_id(run.scan_id), cuts)
    await create_tasks(ctx, run.dataset_id, [_task(run, cut.seq, cut.nside, len(cut.pixels)) for cut in cuts])
    present = await runs.find(ctx, run.scan_id)
    if present is not None and present.phase is not Phase.RUNNING:
        await finish.close(ctx, present)  # it ended meanwhile


def _may(ctx: Context, run: Run) -> bool:
    return ctx.settings.scans.ahead and run.threshold >= 1.0 and not run.origin_scan_id


def _waiting(run: Run) -> dict[str, str]:
    return {"dataset_id": run.dataset_id, "status": "waiting"}


def _task(run: Run, seq: int, nside: int, pixels: int, priority: float = LAST) -> NewTask:
    return NewTask(job_index=FIRST_JOB + seq, name=f"nside-{nside} ahead", kind=KIND, priority=priority,
                   requirements=requirements_of(run, pixels), task_id=_task_id(run, seq))


def _task_id(run: Run, seq: int) -> str:
    return batches.task_id_of(guess_id(run.scan_id), seq)


async def _cuts(ctx: Context, run: Run, number: int) -> list[Cut]:
    before = await batches.cuts(ctx, guess_id(run.scan_id))
    results = await maps.tables_of(ctx, run.scan_id)
    known = await batches.known_pixels(ctx, run.scan_id, await batches.next_seq(ctx, run.scan_id))
    for cut in before:
        known[cut.nside] = np.concatenate([known.get(cut.nside, cut.pixels[:0]), cut.pixels])
    costs = await finish.costs_of(ctx, run)
    sizes = {nside: _size(ctx, cost_at(costs, nside)) for nside in run.progression.nsides}
    first = await _first_free(ctx, run)
    return await asyncio.to_thread(guessed, run.progression, results, known, number, sizes, first)


async def _first_free(ctx: Context, run: Run) -> int:
    """The number of the next guess: jobs stay, also of guesses that a round adopted."""
    made = {"dataset_id": run.dataset_id, "job_index": {"$gte": FIRST_JOB}}
    last = await ctx.db.jobs.find_one(made, {"job_index": 1}, sort=[("job_index", -1)])
    return 0 if last is None else int(last["job_index"]) - FIRST_JOB + 1


def _size(ctx: Context, cost: float | None) -> int:
    settings = ctx.settings.scans
    return max(1, min(int(GUESS_SECONDS / max(cost or GUESS_SECONDS, 1e-9)), settings.max_batch_pixels))


async def wanted_of(ctx: Context, run: Run, wanted: dict[int, np.ndarray],
                    results: dict[int, np.ndarray]) -> list[Cut]:
    """The guesses that a round may adopt."""
    made = await batches.cuts(ctx, guess_id(run.scan_id)) if _may(ctx, run) else []
    return await asyncio.to_thread(fitting, run.progression, made, wanted, results) if made else []


async def adopt(ctx: Context, run: Run) -> list[Cut]:
    """Make the guesses that the run's plan adopts the first batches of its round. May be repeated."""
    assert run.plan is not None
    found: list[Cut] = []
    for place, seq in enumerate(run.plan.adopted):
        task_id, name = _task_id(run, seq), run.plan.first + place
        await batches.adopt(ctx, task_id, guess_id(run.scan_id), run.scan_id, name)
        await ctx.db.tasks.update_one({"task_id": task_id}, {"$set": {"priority": run.priority}})
        batch = await batches.find(ctx, task_id)
        if batch is not None:
            await _revive(ctx, run, seq, batch)
            found.append(Cut(name, batch.nside, batch.pixels, batch.seeds))
    return found


async def _revive(ctx: Context, run: Run, seq: int, batch: Batch) -> None:
    """Have a task for an adopted batch, and let one wait again that ended without a result."""
    task = await ctx.db.tasks.find_one({"task_id": batch.task_id}, {"status": 1})
    if task is None:  # whoever made the guess died, or is about to make it
        made = _task(run, seq, batch.nside, len(batch.pixels), run.priority)
        await create_tasks(ctx, run.dataset_id, [made])
    elif task["status"] not in _ALIVE and not (await _is_done(ctx, batch.task_id)):
        await patch(ctx, batch.task_id, {"status": "waiting"})


async def _is_done(ctx: Context, task_id: str) -> bool:
    """Whether there is a result now, which is stored before its task ends."""
    batch = await batches.find(ctx, task_id)
    return batch is not None and batch.done
