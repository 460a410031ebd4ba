"""Guesses that no round wanted: thrown away when their run is over, with their jobs and tasks."""

from __future__ import annotations

from server.production.datasets import totals
from server.rest.context import Context
from server.scans.pixels import batches
from server.scans.pixels.guessing import guess_id
from server.scans.pixels.runs import Run

__all__ = ["FIRST_JOB", "discard"]

FIRST_JOB = 1 << 30
"""Jobs of guesses are numbered from here, apart from those of rounds."""


async def discard(ctx: Context, run: Run) -> None:
    """Forget what is left of a run's guesses. May be repeated.

    It goes by the jobs, which are there before their tasks and after them.
    """
    made = {"dataset_id": run.dataset_id, "job_index": {"$gte": FIRST_JOB}}
    known = {batches.task_id_of(guess_id(run.scan_id), job["job_index"] - FIRST_JOB): job["job_index"]
             async for job in ctx.db.jobs.find(made, {"job_index": 1})}
    adopted = {known[task_id] for task_id in await batches.task_ids(ctx, run.scan_id, known)}
    left = {**made, "job_index": {"$gte": FIRST_JOB, "$nin": sorted(adopted)}}
    if set(known.values()) - adopted:
        async with totals.making(ctx, run.dataset_id) as batch:
            batch.doubt = True
            await ctx.db.tasks.delete_many(left)
            await ctx.db.jobs.delete_many(left)
    await ctx.db.pixel_batches.delete_many({"scan_id": guess_id(run.scan_id)})
