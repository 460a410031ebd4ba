"""What the start page tells a person: what runs, what waits, and what needs somebody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from iceprod.ids import now, timestamp
from iceprod.tokens import Caller
from server.production.common.documents import Document
from server.production.failures import parking, quarantine
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.manifests.manifests import Manifest
from server.scans.pixels import runs
from server.scans.run import backlog, progress
from server.web.common import counters, listing

__all__ = ["MOST", "Need", "RunningScan", "datasets_that_run", "event_name", "needs", "running_scans"]

MOST = 8  # of each kind, on one page
REMEMBERED = timedelta(days=3)  # what is older needs nobody any more


@dataclass(frozen=True)
class Need:
    """Something that a person should look at."""

    what: str
    why: str
    path: str


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


async def needs(ctx: Context, caller: Caller) -> list[Need]:
    """What waits for a person: of everybody for administrators, else the caller's own."""
    is_admin = "admin" in caller.roles
    found = [*await _datasets(ctx, caller, is_admin), *await _requests(ctx, caller)]
    found += [Need("Scan that could not be started", str(entry["reason"]), f"/web/scans/{entry['scan_id']}")
              for entry in await backlog.dead_letters(ctx)
              if is_admin or entry.get("username") == caller.username][:MOST]
    if is_admin:
        found += await _places(ctx)
    return found


async def _datasets(ctx: Context, caller: Caller, is_admin: bool) -> list[Need]:
    users = () if is_admin else (caller.username,)
    stopped = listing.Wanted(statuses=("errors",), users=users)
    found = (await listing.datasets(ctx, caller, stopped, MOST)).rows
    rows = [Need(f"Dataset {row['dataset']} ended in errors", row["description"],
                 f"/web/datasets/{row['dataset_id']}") for row in found]
    running = listing.Wanted(statuses=("processing",), users=users)
    for row in (await listing.datasets(ctx, caller, running, MOST)).rows:
        failed = (await counters.task_counts(ctx, row["dataset_id"])).get("failed", 0)
        if failed:
            rows.append(Need(f"Dataset {row['dataset']}: {failed} failed tasks", row["description"],
                             f"/web/datasets/{row['dataset_id']}"))
    return rows


async def _requests(ctx: Context, caller: Caller) -> list[Need]:
    query = {"status": "error", "username": caller.username, "created": {"$gt": _ago(REMEMBERED)}}
    cursor = ctx.db.requests.find(query, {"_id": 0, "action": 1, "error_message": 1, "dataset_id": 1},
                                  sort=[("created", -1)], limit=MOST)
    return [Need(f"Your request “{row['action'].replace('_', ' ')}” failed", row["error_message"],
                 f"/web/datasets/{row['dataset_id']}" if row["dataset_id"] else "/web/datasets")
            async for row in cursor]


async def _places(ctx: Context) -> list[Need]:
    rows = [Need(f"The {row['kind']} {row['name']} is quarantined", row["reason"], "/web/sites")
            for row in await quarantine.listed(ctx) if row["state"] == "quarantined"]
    rows += [Need(f"{row['resource']} is away, {row['parked_tasks']} tasks wait for it", row["reason"],
                  "/web/sites")
             for row in await parking.listed(ctx) if row["state"] == "open"]
    shown = {"_id": 0, "site": 1, "host": 1, "last_update": 1}
    lately: dict[str, Any] = {"alive": False, "last_update": {"$gt": _ago(REMEMBERED)}}
    async for grid in ctx.db.grids.find(lately, shown, limit=MOST):
        name = grid.get("site") or grid.get("host")
        rows.append(Need(f"The grid of {name} is silent", f"last heard of at {grid['last_update'][:19]} UTC",
                         "/web/sites"))
    return rows[:2 * MOST]


def _ago(span: timedelta) -> str:
    return timestamp(now() - span)
