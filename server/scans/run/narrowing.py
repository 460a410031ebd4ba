"""A batch that fails for good is tried again in ever smaller pieces, until the pixels at fault are alone.

Those get a failed fit and a reason, and the scan goes on without them; when too many are lost, it ends.
All pieces are done by the batch's one task, which waits again after each of them. A piece that succeeds
makes the next one larger.

Pixels that take longer than they may are found by the pilot. They are set aside until the rest is done, then
done alone; what is too slow alone is done once more, elsewhere, and is lost when it is too slow there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scanner.maps.result import nan_rows
from server.production.leases import ends
from server.production.tasks.task_changes import patch
from server.rest.context import Context
from server.scans.pixels import batches
from server.scans.pixels.batches import Aside, Batch, Outcome
from server.scans.run.finish import give_up

__all__ = ["failed", "next_piece", "take_piece", "take_slow"]

SHRINK, GROW = 8, 4


async def failed(ctx: Context, batch: Batch, reason: str) -> bool:
    """What follows when the pixels that were tried last failed; whether the batch is over with that."""
    tried = batch.pixels[batch.todo]
    if len(tried) > 1:
        await batches.set_piece(ctx, batch.task_id, max(1, len(tried) // SHRINK))
        await patch(ctx, batch.task_id, {"status": "waiting"})
        return False
    is_last = int(batch.missing.sum()) == len(tried)
    if not await _enter(ctx, batch, Outcome(nan_rows(tried), "", 0.0, 0.0, ""), is_last):
        return False
    if await _lose(ctx, batch, reason) or is_last:
        return True
    await patch(ctx, batch.task_id, {"status": "waiting"})
    return False


async def take_slow(ctx: Context, batch: Batch, outcome: Outcome, slow: Sequence[int], limit: int) -> bool:
    """Enter what was done before a worker was too slow for some pixels; whether the batch has all its rows.

    `outcome` has the rows of those that were done; a pixel may take `limit` seconds. Raises NotFound for a
    stale lease.
    """
    stages = dict.fromkeys(slow, Aside.SUSPECT if len(slow) > 1 else Aside.SLOW)
    is_lost = len(slow) == 1 and batch.aside.get(slow[0]) is Aside.SLOW
    if is_lost:
        outcome = replace(outcome, table=np.concatenate([outcome.table, nan_rows(np.array(slow))]))
    is_last = int(batch.missing.sum()) == len(outcome.table)
    await batches.set_aside(ctx, batch, stages)
    if not await _enter(ctx, batch, outcome, is_last):
        return False
    where = f", the second time on {outcome.host}" if outcome.host else ""
    reason = f"pixel {slow[0]} twice took longer than max_pixel_reco_time, {limit} s{where}"
    if is_lost and await _lose(ctx, batch, reason):  # which ended the scan, and with it the task
        return False
    if not is_last:
        await next_piece(ctx, batch, outcome.instance_id, slow=True)
    return is_last


async def _enter(ctx: Context, batch: Batch, outcome: Outcome, is_last: bool) -> bool:
    """Enter some pixels of a batch, perhaps the last; whether nobody else did."""
    if is_last:
        whole = replace(outcome, table=batch.completed(outcome.table))
        return await batches.store(ctx, batch.task_id, whole)
    return await batches.enter_piece(ctx, batch, outcome, piece=batch.piece and 1)


async def _lose(ctx: Context, batch: Batch, reason: str) -> bool:
    """Count a pixel as lost; whether that was one too many, and ended the scan."""
    await batches.lose(ctx, batch.task_id, reason)
    return await _too_many(ctx, batch, reason)


async def _too_many(ctx: Context, batch: Batch, reason: str) -> bool:
    """End the scan when more pixels are lost than may be; whether it was."""
    lost = sum(pixels for _, pixels, _ in await batches.failures(ctx, batch.scan_id))
    asked = sum(group.count for group in await batches.overview(ctx, batch.scan_id))
    share = ctx.settings.scans.max_failed_share
    if lost <= share * asked:
        return False
    why = f"{lost} of {asked} pixels failed, more than {100 * share:g} %"
    await give_up(ctx, batch.scan_id, f"{why}; one of nside {batch.nside}: {reason}")
    return True


async def take_piece(ctx: Context, batch: Batch, outcome: Outcome) -> None:
    """Enter the rows of a piece and let the next one wait for a worker. Raises NotFound for a stale lease."""
    piece = batch.piece and GROW * len(outcome.table)
    await batches.enter_piece(ctx, batch, outcome, piece=piece)
    await next_piece(ctx, batch, outcome.instance_id)


async def next_piece(ctx: Context, batch: Batch, instance_id: str, *, slow: bool = False) -> None:
    """Let the task wait again, for another host if this one was too slow. May be repeated."""
    reason = "some pixels took too long" if slow else "the other pixels of its batch follow"
    await ends.evict(ctx, batch.task_id, ends.Report(instance_id, reason=reason), elsewhere=slow)
