"""The progress of a scan in the terms of SkyDriver's manifest."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.pixels import batches, etas, runs
from server.scans.pixels.runs import Phase, Run
from server.scans.pixels.tallies import LevelTally, Tally, tally

__all__ = ["current", "document", "write"]

FIRST_RESULT = 3  # the version of a run that was planned and cut: the first result changes the scan's state
WRITE_SECONDS = 1.0  # a running scan's manifest is not written more often; a long one's less often still

_HEADLINES = {Phase.RUNNING: "The scan is running.", Phase.FINAL: "The scan is complete.",
              Phase.ABORTED: "The scan was aborted.", Phase.FAILED: "The scan was given up."}


async def current(ctx: Context, run: Run) -> Tally:
    """The counts of a run as they are now."""
    end = time.time() if run.phase is Phase.RUNNING else run.since
    return tally(run.progression, await batches.overview(ctx, run.scan_id), run.started, end)


async def write(ctx: Context, run: Run, *, force: bool = False) -> None:
    """Put the progress into the manifest, unless a newer one is there or the last is very young."""
    if force or await _is_time(ctx, run):
        older = {"progress_version": {"$not": {"$gte": run.version}}}
        counts = await current(ctx, run)
        await etas.record(ctx, run, counts)
        made = document(run, counts)
        await manifests.touch(ctx, run.scan_id, older, progress=made, progress_version=run.version)


async def _is_time(ctx: Context, run: Run) -> bool:
    if run.version <= FIRST_RESULT:
        return True
    pause = WRITE_SECONDS * (1 + run.version / 500)
    return time.time() - run.tallied > pause and await runs.claim_tally(ctx, run)


def document(run: Run, counts: Tally) -> dict[str, Any]:
    """SkyDriver's `progress`."""
    over = run.phase is not Phase.RUNNING
    return {
        "summary": f"{_HEADLINES[run.phase]} {counts.done} of {counts.total} pixels are done.",
        "epilogue": run.reason,
        "tallies": {"nsides": {str(lv.nside): _tallies(lv) for lv in counts.levels if lv.generated},
                    "overall": _overall(counts), "est. scan timeline": _timeline(counts)},
        "processing_stats": _stats(run, counts, over),
        "predictive_scanning_threshold": run.threshold,
        "last_updated": _date(time.time()),
        "start": int(run.started),
        "end": int(run.since) if over else None,
    }


def _tallies(level: LevelTally) -> dict[str, Any]:
    return {"recos": level.done, "pixels": _pixels(level.done, level.generated, level.estimate, level.total)}


def _overall(counts: Tally) -> dict[str, Any]:
    generated = sum(level.generated for level in counts.levels)
    estimate = sum(level.estimate for level in counts.levels)
    return {"recos": counts.done, "pixels": _pixels(counts.done, generated, estimate, counts.total)}


def _pixels(done: int, generated: int, estimate: int, total: int) -> dict[str, Any]:
    percent = round(100 * done / total, 2) if total else 0.0
    return {"done": done, "done est. percent": percent, "generated": generated,
            "initial approximation total": estimate}


def _timeline(counts: Tally) -> dict[str, str]:
    """When each level reaches its estimated end, if the rate stays as it is."""
    if not counts.rate:
        return {}
    left, times = 0.0, {}
    for level in counts.levels:
        left += (level.total - level.done) / counts.rate
        times[f"nside-{level.nside}"] = "done" if level.done >= level.total else f"in {_span(left)}"
    return times


def _stats(run: Run, counts: Tally, over: bool) -> dict[str, Any]:
    return {
        "start": {"scanner start": _date(run.started), "entire scan start": _date(run.started)},
        "runtime": {"elapsed": _span(counts.wall), "worker time": _span(counts.seconds),
                    "CPU time": _span(counts.cpu_seconds)},
        "rate": _rates(counts),
        "end": _date(run.since) if over else "",
        "finished": run.phase is Phase.FINAL,
        "predictions": _judged(run) if over else _predictions(counts),
    }


def _rates(counts: Tally) -> dict[str, Any]:
    if not counts.done:
        return {}
    rates = {"all recos": _rate(counts, counts.done - counts.reused, counts.wall)}
    for level in counts.levels:
        if level.done:
            rates[f"nside-{level.nside}"] = _rate(level, level.done - level.reused, counts.wall)
    return rates


def _rate(cost: LevelTally | Tally, done: int, wall: float) -> dict[str, str]:
    if not done:
        return {"worker time": "nothing: all results are an earlier scan's"}
    times = {"worker time": cost.seconds, "round-trip time": cost.round_trip, "wall time": wall}
    return {name: f"{_span(seconds / done)} per reco" for name, seconds in times.items()}


def _predictions(counts: Tally) -> dict[str, Any]:
    left = counts.left
    if left is None:
        return {}
    return {"time left": _span(left), "total runtime at finish": _span(counts.wall + left),
            "total # of reconstructions": counts.total, "end": _date(counts.ended + left),
            "technique": "pixels that are left at the mean rate of the scan so far"}


def _judged(run: Run) -> dict[str, Any]:
    """How right the predictions were, after the end."""
    return {f"at {100 * one.share:g} %": f"{_span(one.predicted_s)} ({one.error_percent:+.1f} %)"
            for one in etas.errors(run)}


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    return str(timedelta(seconds=round(seconds)))


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
