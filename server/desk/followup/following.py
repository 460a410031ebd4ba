"""Following the scans that requests began: their status, the hours they take, and in the end their result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from iceprod.ids import now
from server.desk.followup import gridscan, rows, spending
from server.desk.followup.states import Phase
from server.rest.context import Context
from server.scans.pixels import runs
from server.services.leader import Service

__all__ = ["SERVICES", "follow"]

PERIOD = 5.0  # seconds
_COUNTED_EVERY = timedelta(minutes=1)
_STILL_OPEN = {"phase": Phase.OPEN.value}


async def follow(ctx: Context) -> None:
    """Bring every request with a scan up to date; safe to stop and to repeat."""
    open_ones = {"phase": Phase.OPEN.value, "grid.scan_id": {"$exists": True}}
    async for row in ctx.db.desk_followup_requests.find(open_ones):
        await _follow(ctx, row)
    uncounted = {"is_counted": False, "phase": {"$nin": [Phase.PENDING.value, Phase.OPEN.value]}}
    async for row in ctx.db.desk_followup_requests.find(uncounted):
        await _count_last(ctx, row)


async def _follow(ctx: Context, row: Mapping[str, Any]) -> None:
    await gridscan.keep_priority(ctx, row)
    outcome = await gridscan.state_of(ctx, row["grid"]["scan_id"])
    if outcome.phase is not Phase.OPEN or _is_due(row):
        hours = await _count(ctx, row)
        await rows.move(ctx, row["_id"], outcome, _STILL_OPEN, hours_spent=hours, counted_at=now())
    elif outcome.status != row["status"]:
        await rows.move(ctx, row["_id"], outcome, _STILL_OPEN)


def _is_due(row: Mapping[str, Any]) -> bool:
    """Whether hours were not counted for a while: it reads every task of the scan."""
    counted = row.get("counted_at")
    return counted is None or now() - counted > _COUNTED_EVERY


async def _count_last(ctx: Context, row: Mapping[str, Any]) -> None:
    """Tasks that ran when a scan ended report a little later."""
    run = await runs.find(ctx, row["grid"]["scan_id"])
    busy = run is not None and await ctx.db.tasks.find_one(
        {"dataset_id": run.dataset_id, "status": {"$in": ["queued", "processing"]}}, {"_id": 1})
    await ctx.db.desk_followup_requests.update_one(
        {"_id": row["_id"]}, {"$set": {"hours_spent": await _count(ctx, row), "is_counted": not busy}})


async def _count(ctx: Context, row: Mapping[str, Any]) -> float:
    """Core hours that all scans of a request took so far."""
    run = await runs.find(ctx, row["grid"]["scan_id"])
    before = float(row["grid"].get("hours_before", 0.0))
    return before + (0.0 if run is None else await spending.of_dataset(ctx, run.dataset_id))


SERVICES = [Service("follow-up scans", lambda ctx: PERIOD, follow, signal="results")]
