"""A scan's progress as one document, and waiting until there is something new in it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cachetools import LRUCache

from server.production.tasks.task_store import LEASED
from server.rest.context import Context
from server.scans.api.status import state_of
from server.scans.manifests import engines, manifests
from server.scans.manifests.manifests import Manifest
from server.scans.pixels import batches, etas, runs
from server.scans.pixels.runs import Phase, Run
from server.scans.pixels.tallies import Tally
from server.scans.results import maps, sketches
from server.scans.results.summaries import summary_of
from server.scans.run import backlog, deletion, progress, quotas
from server.scans.run.creation import request_of

__all__ = ["view", "wait_for_news"]

LOOK_SECONDS = 1.0  # other servers' signals are not heard, so look this often
_NO_MAP: dict[str, Any] = {"best_fit": None, "level_set": None, "area_50_deg2": None, "area_90_deg2": None,
                           "area_50_limits": "", "area_90_limits": "", "errors_50": None, "errors_90": None,
                           "compared": [], "energy": None}
GATHER_SECONDS = 0.25  # news of a scan that goes on come together: to tell of each costs more than its pixels
QUIET_SECONDS = 5.0  # without a result and a lease for so long, a scan has no pilot

_summaries: LRUCache[tuple[str, str, int], dict[str, Any]] = LRUCache(64)


async def wait_for_news(ctx: Context, scan_id: str, since: int, seconds: float) -> None:
    """Return when the scan's version is above `since`, or the time is up; of its end at once."""
    end, has_news = time.monotonic() + seconds, False
    while (left := end - time.monotonic()) > 0:
        run = await runs.find(ctx, scan_id)
        if not has_news and await _version(ctx, scan_id, run) > since:
            end, has_news = min(end, time.monotonic() + GATHER_SECONDS), True
        if has_news and (run is None or run.phase is not Phase.RUNNING):
            return
        await ctx.signals.wait(f"scan:{scan_id}", min(left, LOOK_SECONDS))


async def view(ctx: Context, scan_id: str) -> dict[str, Any]:
    """Where a scan stands. Raises NotFound.

    `levels`, counts and times are of scans by our own workers; for others they are empty or null.
    """
    run = await runs.find(ctx, scan_id)
    version = await _version(ctx, scan_id, run)  # before what it speaks of, so that nothing new is missed
    manifest = await manifests.read(ctx, scan_id)
    counts = await progress.current(ctx, run) if run else None
    state, _, is_stored = await state_of(ctx, manifest)
    final = is_stored and not (run and run.phase is Phase.RUNNING)  # its summary comes after the map
    numbers = await manifests.numbers(ctx, [scan_id])
    result = {"scan_id": scan_id, "number": numbers.get(scan_id), "version": version, "state": state,
              "state_reason": await _reason(ctx, manifest, run, counts), "since": _since(manifest, run),
              "is_final": final, "is_deleted": manifest.is_deleted, "event": manifest.event_metadata,
              "reconstruction": run.computes if run else None, "choice": run.choice or None if run else None}
    result |= await _counts(ctx, run, counts) if run and counts else _nothing()
    if final and result["errors_90"] is None:  # of a scanner outside, or of old
        sketch = (await sketches.find_many(ctx, [scan_id])).get(scan_id)
        result |= sketch.summary if sketch else {}
    return result


async def _version(ctx: Context, scan_id: str, run: Run | None) -> int:
    """A number that grows with everything that happens to a scan."""
    return await manifests.revision(ctx, scan_id) + (run.version if run else 0)


def _since(manifest: Manifest, run: Run | None) -> float:
    return run.since if run else manifest.timestamp


async def _counts(ctx: Context, run: Run, counts: Tally) -> dict[str, Any]:
    summary = run.summary or await _summary(ctx, run)
    levels = [{"nside": level.nside, "done": level.done, "total": level.total} for level in counts.levels]
    return {
        "levels": levels,
        "pixels_done": counts.done, "pixels_total": counts.total, "rate": counts.rate,
        "eta_s": counts.left if run.phase is Phase.RUNNING else None,
        "wall_s": counts.wall, "cpu_s": counts.cpu_seconds, "pixels_reused": counts.reused,
        "failed": [{"nside": nside, "pixels": pixels, "reason": reason}
                   for nside, pixels, reason in await batches.failures(ctx, run.scan_id)],
        "eta_errors": etas.errors(run),
        **_NO_MAP, **summary}


def _nothing() -> dict[str, Any]:
    return {"levels": [], "pixels_done": 0, "pixels_total": 0, "rate": 0.0, "eta_s": None, "wall_s": 0.0,
            "cpu_s": 0.0, "pixels_reused": 0, "failed": [], "eta_errors": [], **_NO_MAP}


async def _summary(ctx: Context, run: Run) -> dict[str, Any]:
    """The summary of a map that still grows; the same map is looked at once for all who ask."""
    tables = await maps.tables_of(ctx, run.scan_id)
    if not tables:
        return {}
    key = ctx.db.name, run.scan_id, sum(map(len, tables.values()))
    if key not in _summaries:
        _summaries[key] = await asyncio.to_thread(summary_of, tables, run.computes, run.told)
    return _summaries[key]


async def _reason(ctx: Context, manifest: Manifest, run: Run | None, counts: Tally | None) -> str:
    """Why the scan is in its state, in words."""
    if run is not None and run.reason:
        return run.reason
    if manifest.is_deleted:  # said before its run is given up, which takes a moment
        return deletion.REASON
    if run is not None and counts is not None:
        return await _what_runs(ctx, run, counts)
    return await _why_it_waits(ctx, manifest)


async def _what_runs(ctx: Context, run: Run, counts: Tally) -> str:
    leased = {"dataset_id": run.dataset_id, "status": {"$in": list(LEASED)}}
    news, left = max(counts.latest, run.started), counts.open_batches
    if time.time() - news > QUIET_SECONDS and not await ctx.db.tasks.find_one(leased, {"_id": 1}):
        return f"round {run.round}: {left} batches wait for a pilot that has room for them"
    return f"round {run.round}: {left} batches are left"


async def _why_it_waits(ctx: Context, manifest: Manifest) -> str:
    scan_id = manifest.scan_id
    buried = await ctx.db.scan_backlog.find_one({"scan_id": scan_id, "reason": {"$ne": None}})
    if buried:
        return f"given up: {buried['reason']}"
    entry = await backlog.find(ctx, scan_id)
    if entry is None:
        return "an outside scanner works for it"
    reco = entry.reco or (await request_of(ctx, scan_id)).reco_algo
    if not engines.is_ours(reco):
        return f"waits for an outside scanner: {reco!r} is no reconstruction of ours"
    if manifest.priority < 0:
        return "waits until nothing else is to do, since its priority is negative"
    place = f"number {await backlog.place(ctx, entry)} in the backlog"
    why = quotas.full(ctx.settings.scans, await quotas.load(ctx), entry)
    return f"{place}: {why}" if why else place
