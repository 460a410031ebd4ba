"""A batch that fails for good is tried again in ever smaller pieces, until the pixels at fault are alone.

Those get a failed fit and a reason, and the scan goes on without them; when too many are lost, it ends.
All pieces are done by the batch's one task, which waits again after each of them. A piece that succeeds
makes the next one larger.
"""

from __future__ import annotations

import numpy as np

from scanner.result import nan_rows
from server.context import Context
from server.production import ends
from server.production.task_changes import patch
from server.scans import batches
from server.scans.batches import Batch, Outcome
from server.scans.finish import give_up

__all__ = ["failed", "next_piece", "take_piece"]

SHRINK, GROW = 8, 4


async def failed(ctx: Context, batch: Batch, reason: str) -> bool:
    """What follows when the pixels that were tried last failed; whether the batch is over with that."""
    tried = batch.pixels[batch.todo]
    if len(tried) > 1:
        await batches.set_piece(ctx, batch.task_id, max(1, len(tried) // SHRINK))
        await patch(ctx, batch.task_id, {"status": "waiting"})
        return False
    rows, is_last = nan_rows(tried), int(batch.missing.sum()) == len(tried)
    if not await _enter(ctx, batch, rows, is_last):
        return False
    await batches.lose(ctx, batch.task_id, reason)
    if await _too_many(ctx, batch, reason) or is_last:
        return True
    await patch(ctx, batch.task_id, {"status": "waiting"})
    return False


async def _enter(ctx: Context, batch: Batch, rows: np.ndarray, is_last: bool) -> bool:
    """Enter a failed fit; whether nobody else did."""
    if is_last:
        return await batches.store(ctx, batch.task_id, Outcome(batch.completed(rows), "", 0.0, 0.0, ""))
    return await batches.enter_piece(ctx, batch, rows, 1)


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


async def take_piece(ctx: Context, batch: Batch, rows: np.ndarray, instance_id: str) -> None:
    """Enter the rows of a piece and let the next one wait for a worker. Raises NotFound for a stale lease."""
    await batches.enter_piece(ctx, batch, rows, GROW * len(rows), piece_instance=instance_id)
    await next_piece(ctx, batch, instance_id)


async def next_piece(ctx: Context, batch: Batch, instance_id: str) -> None:
    """Let the task wait again. May be repeated."""
    report = ends.Report(instance_id, reason="the other pixels of its batch follow")
    await ends.evict(ctx, batch.task_id, report)
