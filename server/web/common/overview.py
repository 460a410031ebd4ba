"""What the start page tells of work: the scans and datasets that run."""

from __future__ import annotations

from dataclasses import dataclass

from iceprod.tokens import Caller
from server.production.common.documents import Document
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.manifests.manifests import Manifest
from server.scans.pixels import runs
from server.scans.run import progress
from server.web.common import counters, listing

__all__ = ["MOST", "RunningScan", "datasets_that_run", "event_name", "running_scans"]

MOST = 8  # of each kind, on one page


@dataclass(frozen=True)
class RunningScan:
    """A scan at work."""

    scan_id: str
    event: str
    done: int
    total: int
    left: float | None  # seconds


def event_name(manifest: Manifest) -> str:
    """The event in words, as far as it is known."""
    known = manifest.event_metadata
    if not known:
        return "event not decoded yet" if manifest.progress is None else "event"
    return f"Run {known.get('run_id')} · Event {known.get('event_id')} · {known.get('event_type')}"


async def running_scans(ctx: Context) -> tuple[list[RunningScan], int]:
    """The scans that run, the newest first, and how many there are."""
    running = sorted(await runs.running(ctx), key=lambda run: -run.started)
    rows = []
    for run in running[:MOST]:
        tally = await progress.current(ctx, run)
        manifest = await manifests.read(ctx, run.scan_id)
        rows.append(RunningScan(run.scan_id, event_name(manifest), tally.done, tally.total, tally.left))
    return rows, len(running)


async def datasets_that_run(ctx: Context, caller: Caller) -> list[tuple[Document, dict[str, int]]]:
    """The newest datasets that are processing, with the counts of their tasks."""
    found = await listing.datasets(ctx, caller, listing.Wanted(statuses=("processing",), scans=False), MOST)
    return [(row, await counters.task_counts(ctx, row["dataset_id"])) for row in found.rows]
