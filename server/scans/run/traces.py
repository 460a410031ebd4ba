"""The trace of a scan: spans kept with its run and its batches, and the account that is made of them.

A batch keeps four moments and what its pilot measured, a run the latest spans of what the server did for it;
when the scan is over, the account is kept with the run.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from server.common import metrics
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.pixels import batches
from server.scans.pixels.batches import Times
from server.scans.pixels.runs import Phase, Run
from server.scans.pixels.timing import Span, Timing, account, most_at_once

__all__ = ["keep", "timing_of"]


async def timing_of(ctx: Context, run: Run) -> Timing:
    """The account of a run as it is now; a kept one, when it is over."""
    if run.timing is not None:
        return msgspec.structs.replace(run.timing, drawn=run.drawn)
    asked = (await manifests.read(ctx, run.scan_id)).timestamp
    end = time.time() if run.phase is Phase.RUNNING else run.since
    times = await batches.times(ctx, run.scan_id)
    spans = [*run.trace, *(span for one in times for span in _spans(one))]
    return Timing(
        asked=asked, total=max(end - asked, 0.0), steps=account(spans, asked, end),
        kernel=sum(one.seconds for one in times), cpu=sum(one.cpu_seconds for one in times),
        at_once=most_at_once(spans, "kernel"), batches=len(times), rounds=run.round, drawn=run.drawn)


def _spans(one: Times) -> list[Span]:
    """What became of a batch. Only durations are taken from the pilot, whose clock may differ."""
    if one.leased is None:
        return [Span("lease", one.made, time.time())] if one.made else []
    begun = min(one.leased + one.before, one.received)
    done = min(begun + one.seconds, one.received)
    return [Span("lease", one.made or one.leased, begun), Span("kernel", begun, done),
            Span("report", done, one.received), Span("collect", one.received, one.finished)]


async def keep(ctx: Context, run: Run) -> dict[str, Any]:
    """The account of a run that is over, as a field to keep, and in the metrics; {} when it is kept."""
    if run.timing is not None or run.phase is not Phase.FINAL:
        return {}
    timing = await timing_of(ctx, run)
    for step, seconds in timing.steps.items():
        metrics.SCAN_SECONDS.labels(step).inc(seconds)
    return {"timing": timing}
