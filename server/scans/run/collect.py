"""Taking in the results of batches, under the lease that they come from."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from server.common import metrics
from server.common.errors import BadRequest, NotFound
from server.production.leases import ends
from server.production.tasks.task_changes import patch
from server.production.tasks.task_store import LEASED
from server.rest.context import Context
from server.scans.pixels import batches, runs
from server.scans.pixels.batches import Batch, Outcome
from server.scans.pixels.guessing import is_guess, owner
from server.scans.pixels.tables import seeds_json, table_from_rows
from server.scans.pixels.timing import Span
from server.scans.run import guesses, narrowing, progress, rounds

__all__ = ["BatchResult", "ended", "payloads", "read_result", "take_in"]


START_SECONDS = 300  # for an event that a worker has not seen yet; it may have to compile a kernel first


class BatchResult(msgspec.Struct, forbid_unknown_fields=True):
    """What a pilot sends: rows [index, llh, E_in, E_tot, X, Y, Z, T], null for NaN; times in seconds.

    `slow` names pixels that took longer than they may; then rows of others may be missing too.
    """

    instance_id: str
    rows: list[list[Any]]
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    host: str = ""
    site: str | None = None
    slow: list[int] = []
    before: float = 0.0  # from the lease's answer until the worker began


def read_result(body: dict[str, Any]) -> BatchResult:
    """The body of PUT /pixel_batches/{task_id}. Raises BadRequest."""
    try:
        result = msgspec.convert(body, BatchResult)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    if not all(0 <= seconds < 1e9 for seconds in (result.seconds, result.cpu_seconds, result.before)):
        raise BadRequest("'seconds', 'cpu_seconds' and 'before': must be from 0 to 10⁹")
    return result


async def take_in(ctx: Context, task_id: str, result: BatchResult) -> None:
    """Store a batch's result, end its task, and let the scan go on. The same result again changes nothing.

    Raises NotFound for an unknown batch or a stale instance_id, BadRequest for rows that are not the batch's.
    """
    batch = await batches.find(ctx, task_id)
    if batch is None:
        raise NotFound("Task not found")
    if batch.piece_instance == result.instance_id:  # the same piece again
        await narrowing.next_piece(ctx, batch, result.instance_id)
        return
    known = batch.done and batch.instance_id == result.instance_id
    if not known and not await _enter(ctx, batch, result):
        return
    collecting = time.time()
    await ends.complete(ctx, task_id, result.instance_id, time_used=result.seconds, site=result.site)
    if is_guess(batch.scan_id) and not await _is_settled(ctx, task_id):
        await patch(ctx, task_id, {"status": "waiting"})
    await _go_on(ctx, owner(batch.scan_id), collecting)


async def _is_settled(ctx: Context, task_id: str) -> bool:
    """Whether what was a guess is one still, or has its result: a round may have adopted it just now."""
    batch = await batches.find(ctx, task_id)
    return batch is None or batch.done or is_guess(batch.scan_id)


async def _enter(ctx: Context, batch: Batch, result: BatchResult) -> bool:
    """Store what came; whether the batch is over with that."""
    received = time.time()
    rows = table_from_rows(result.rows, _done(batch, result))
    leased = await _leased(ctx, batch, result.instance_id)
    outcome = Outcome(rows, result.instance_id, result.seconds, result.cpu_seconds, result.host,
                      max(0.0, received - leased.timestamp()), result.before, received)
    if is_guess(batch.scan_id) and (result.slow or len(rows) < len(batch.pixels)):
        return True  # without a result: if a round wants it, it is done again, and looked into then
    if result.slow:
        run = await runs.find(ctx, batch.scan_id)
        limit = run.max_pixel_reco_time if run else 0
        return await narrowing.take_slow(ctx, batch, outcome, result.slow, limit)
    if batch.missing.sum() > len(rows):
        await narrowing.take_piece(ctx, batch, outcome)
        return False
    if await batches.store(ctx, batch.task_id, replace(outcome, table=batch.completed(rows))):
        metrics.PIXELS.inc(len(rows))
    return True


def _done(batch: Batch, result: BatchResult) -> np.ndarray:
    """The pixels that the result must have rows of. Raises BadRequest."""
    asked = batch.pixels[batch.todo]
    if not result.slow:
        return asked
    if len(set(result.slow)) < len(result.slow) or not set(result.slow) <= set(asked.tolist()):
        raise BadRequest("'slow': must name pixels of this batch, each once")
    named = {row[0] for row in result.rows if isinstance(row, list) and row and isinstance(row[0], int)}
    return asked[np.isin(asked, list(named - set(result.slow)))]


async def _leased(ctx: Context, batch: Batch, instance_id: str) -> datetime:
    """When the lease began that a result comes from. Raises NotFound.

    Nothing is stored yet; a lease that ends in between does no harm, as every pilot finds the same.
    """
    mine = {"task_id": batch.task_id, "instance_id": instance_id, "status": {"$in": list(LEASED)}}
    task = await ctx.db.tasks.find_one(mine, {"status_changed": 1})
    if task is None:
        raise NotFound("Task not found: the instance_id is not that of its lease")
    return datetime.fromisoformat(task["status_changed"])


async def _go_on(ctx: Context, scan_id: str, since: float = 0.0) -> None:
    """Plan what follows from a result; `since` then it was taken in."""
    run = await runs.change(ctx, scan_id, {"phase": runs.Phase.RUNNING.value})  # a newer version
    if run is None:
        return
    await progress.write(ctx, run)
    if not run.is_cut or await rounds.is_due(ctx, run):
        await rounds.advance(ctx, scan_id, [Span("collect", since, time.time())] if since else [])
    else:
        await guesses.make(ctx, run)


async def payloads(ctx: Context, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """What pilots run, by task id."""
    asked = await batches.by_tasks(ctx, [task["task_id"] for task in tasks])
    known = {scan_id: await runs.find(ctx, scan_id) for scan_id in {owner(batch.scan_id) for batch in asked}}
    return {batch.task_id: _payload(batch, run) for batch in asked if (run := known[owner(batch.scan_id)])}


def _payload(batch: Batch, run: runs.Run) -> dict[str, Any]:
    todo = batch.todo
    return {"scan_id": run.scan_id, "i3_event_id": run.i3_event_id, "reco_algo": run.reco,
            "nside": batch.nside, "pixels": batch.pixels[todo].tolist(),
            "seeds": None if batch.seeds is None else seeds_json(batch.seeds[todo]),
            "limit_s": START_SECONDS + int(todo.sum()) * run.max_pixel_reco_time,
            "pixel_limit_s": run.max_pixel_reco_time, "timed": True,
            "alone": int(todo.sum()) if batch.stage else 0, **run.traced}


async def ended(ctx: Context, task: dict[str, Any], outcome: str, reason: str) -> None:
    """A batch failed for good: its pixels are tried in ever smaller pieces, see `narrowing`.

    One that was called complete without its result is done again.
    """
    batch = await batches.find(ctx, task["task_id"])
    if batch is None or batch.done or is_guess(batch.scan_id):
        return
    if outcome == "failed":
        if await narrowing.failed(ctx, batch, reason[:1000] or "no reason given"):
            await _go_on(ctx, batch.scan_id)
    elif outcome == "complete":
        await patch(ctx, batch.task_id, {"status": "waiting"})
