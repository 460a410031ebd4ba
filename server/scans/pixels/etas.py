"""How right the predictions of a scan's end were: some are kept while it runs and compared afterwards."""

from __future__ import annotations

import msgspec

from server.rest.context import Context
from server.scans.pixels import runs
from server.scans.pixels.runs import Phase, Prediction, Run
from server.scans.pixels.tallies import Tally

__all__ = ["SHARES", "EtaError", "errors", "reached", "record"]

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)


class EtaError(msgspec.Struct, frozen=True):
    """A prediction and what became of it; seconds since the start of the run."""

    share: float  # of the pixels, as counted then
    at_s: float
    predicted_s: float  # whole time from start to end
    actual_s: float
    error_percent: float  # positive: it was expected to take longer than it did


def reached(counts: Tally) -> float | None:
    """The largest of the shares that is done; None before the first."""
    done = counts.done / counts.total if counts.total else 0.0
    return max((share for share in SHARES if done >= share), default=None)


async def record(ctx: Context, run: Run, counts: Tally) -> None:
    """Keep what is predicted now, once for each share that is reached."""
    share, left = reached(counts), counts.left
    if run.phase is not Phase.RUNNING or share is None or left is None:
        return
    if all(kept.share < share for kept in run.predictions):
        await runs.predict(ctx, run, Prediction(share, counts.wall, counts.wall + left))


def errors(run: Run) -> list[EtaError]:
    """Every kept prediction with its error; none before the map is final."""
    actual = run.since - run.started
    if run.phase is not Phase.FINAL or actual <= 0:
        return []
    return [EtaError(kept.share, kept.at, kept.total, actual, 100 * (kept.total / actual - 1))
            for kept in run.predictions]
