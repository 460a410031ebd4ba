"""What will not go on by itself: what a person should look at, the most urgent first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from iceprod.ids import now, timestamp
from iceprod.tokens import Caller
from server.alerts.common import alerts
from server.alerts.common.alerts import Search
from server.alerts.outgoing import outbox
from server.production.failures import parking, quarantine
from server.production.sites import unserved
from server.production.sites.unserved import Unserved
from server.rest.context import Context
from server.scans.run import backlog
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.outcomes import Status
from server.sensor.schedule import entries
from server.sensor.schedule.entries import Entry
from server.web.common import counters, listing, show

__all__ = ["MOST", "Need", "Reader", "needs"]

MOST = 8  # of each kind
REMEMBERED = timedelta(days=3)  # what is older needs nobody any more


@dataclass(frozen=True)
class Need:
    """Something that a person should look at."""

    what: str
    why: str
    path: str


@dataclass(frozen=True)
class Reader:
    """For whom the list is: administrators hear of everybody's, others of their own."""

    caller: Caller
    manages_alerts: bool = False

    @property
    def is_admin(self) -> bool:
        return "admin" in self.caller.roles

    def owns(self, username: object) -> bool:
        """Whether something of that user is for this reader."""
        return self.is_admin or username == self.caller.username


async def needs(ctx: Context, reader: Reader) -> list[Need]:
    """All there is, the most urgent first."""
    kinds = (_alerts, _dead_letters, _unserved, _places, _datasets, _schedule, _requests, _suspended)
    return [need for found in await asyncio.gather(*(kind(ctx, reader) for kind in kinds)) for need in found]


async def _alerts(ctx: Context, reader: Reader) -> list[Need]:
    """Alerts that wait for a person, and what no target took."""
    if not reader.manages_alerts:
        return []
    held = await alerts.listed(ctx, Search("held", replay=""), 0, MOST)
    rows = [Need(f"The alert {one.event_name or one.title or one.alert_id} is held", one.reason,
                 f"/web/alerts/{one.alert_id}") for one in held]
    dead = await outbox.listed(ctx, "dead", limit=MOST)
    return rows + [Need(f"A notice could not be sent to {row.get('target')}", str(row.get("outcome") or ""),
                        "/web/alerts") for row in dead]


async def _dead_letters(ctx: Context, reader: Reader) -> list[Need]:
    return [Need("Scan that could not be started", str(entry["reason"]), f"/web/scans/{entry['scan_id']}")
            for entry in await backlog.dead_letters(ctx) if reader.owns(entry.get("username"))][:MOST]


async def _unserved(ctx: Context, reader: Reader) -> list[Need]:
    """Tasks that no pilot fits and no site can send one for."""
    found = await counters.kept(ctx, "unserved", lambda: unserved.unserved(ctx))
    if not found:
        return []
    names = await _names(ctx, reader, sorted({name for one in found for name in one.datasets}))
    rows = [(one, [name for name in one.datasets if name in names]) for one in found]
    return [_nobody_offers(one, names[mine[0]], mine[0]) for one, mine in rows if mine][:MOST]


async def _names(ctx: Context, reader: Reader, dataset_ids: list[str]) -> dict[str, int]:
    """The numbers of those datasets that are for this reader."""
    query: dict[str, Any] = {"dataset_id": {"$in": dataset_ids[:1000]}}
    if not reader.is_admin:
        query["username"] = reader.caller.username
    cursor = ctx.db.datasets.find(query, {"_id": 0, "dataset_id": 1, "dataset": 1})
    return {row["dataset_id"]: row["dataset"] async for row in cursor}


def _nobody_offers(one: Unserved, number: int, dataset_id: str) -> Need:
    asked = [f"{name} {show.amount(name, value)}" for name, value in one.requirements.items()]
    tasks = f"{show.count(one.waiting)} tasks" if one.waiting != 1 else "1 task"
    return Need(f"Nobody offers this: {', '.join(asked) or 'anything'}",
                f"{tasks}, such as those of dataset {number}: {one.why}", f"/web/datasets/{dataset_id}")


async def _places(ctx: Context, reader: Reader) -> list[Need]:
    """Hosts, sites, resources and grids that are in trouble."""
    if not reader.is_admin:
        return []
    rows = [Need(f"The {row['kind']} {row['name']} is quarantined", row["reason"], "/web/sites")
            for row in await quarantine.listed(ctx) if row["state"] == "quarantined"][:MOST]
    rows += [Need(f"{row['resource']} is away, {row['parked_tasks']} tasks wait for it", row["reason"],
                  "/web/sites") for row in await parking.listed(ctx) if row["state"] == "open"][:MOST]
    shown = {"_id": 0, "site": 1, "host": 1, "last_update": 1, "alive": 1, "trouble": 1}
    lately = {"last_update": {"$gt": _ago(REMEMBERED)},
              "$or": [{"alive": False}, {"trouble": {"$nin": ["", None]}}]}
    async for grid in ctx.db.grids.find(lately, shown, limit=MOST):
        name, is_silent = grid.get("site") or grid.get("host"), not grid.get("alive")
        rows.append(Need(f"The grid of {name} is {'silent' if is_silent else 'in trouble'}",
                         f"last heard of at {grid['last_update'][:19]} UTC" if is_silent
                         else str(grid["trouble"]), "/web/sites"))
    return rows


async def _datasets(ctx: Context, reader: Reader) -> list[Need]:
    """Datasets that ended in errors, or have failed tasks."""
    users = () if reader.is_admin else (reader.caller.username,)
    stopped = listing.Wanted(statuses=("errors",), users=users)
    rows = [Need(f"Dataset {row['dataset']} ended in errors", row["description"],
                 f"/web/datasets/{row['dataset_id']}")
            for row in (await listing.datasets(ctx, reader.caller, stopped, MOST)).rows]
    running = listing.Wanted(statuses=("processing",), users=users)
    for row in (await listing.datasets(ctx, reader.caller, running, MOST)).rows:
        failed = (await counters.task_counts(ctx, row["dataset_id"])).get("failed", 0)
        path = f"/web/datasets/{row['dataset_id']}"
        if failed:
            tasks = f"{show.count(failed)} failed task{'s' if failed > 1 else ''}"
            rows.append(Need(f"Dataset {row['dataset']}: {tasks}", row["description"], path))
        if row.get("materialisation_error"):
            rows.append(Need(f"Dataset {row['dataset']}: jobs cannot be made", row["materialisation_error"],
                             path))
    return rows


async def _suspended(ctx: Context, reader: Reader) -> list[Need]:
    users = () if reader.is_admin else (reader.caller.username,)
    wanted = listing.Wanted(statuses=("suspended",), users=users)
    return [Need(f"Dataset {row['dataset']} is suspended", row["description"],
                 f"/web/datasets/{row['dataset_id']}")
            for row in (await listing.datasets(ctx, reader.caller, wanted, MOST)).rows]


async def _schedule(ctx: Context, reader: Reader) -> list[Need]:
    """Entries whose last run failed."""
    failed = await counters.kept(ctx, "failed runs", lambda: _failed_runs(ctx))
    return [Need(f"The last run of {entry.name} failed", str(run["detail"]), f"/web/schedule/{entry.name}")
            for entry, run in failed if reader.owns(entry.owner)][:MOST]


async def _failed_runs(ctx: Context) -> list[tuple[Entry, dict[str, Any]]]:
    found = []
    for entry in await entries.all_entries(ctx):
        ended = [run for run in await acquisitions.latest(ctx, entry.name, 2)
                 if run["status"] != Status.IN_PROGRESS]
        if ended and ended[-1]["status"] == Status.FAILURE and ended[-1]["started"] > _ago(REMEMBERED):
            found.append((entry, ended[-1]))
    return found


async def _requests(ctx: Context, reader: Reader) -> list[Need]:
    query = {"status": "error", "username": reader.caller.username, "created": {"$gt": _ago(REMEMBERED)}}
    cursor = ctx.db.requests.find(query, {"_id": 0, "action": 1, "error_message": 1, "dataset_id": 1},
                                  sort=[("created", -1)], limit=MOST)
    return [Need(f"Your request “{row['action'].replace('_', ' ')}” failed", row["error_message"],
                 f"/web/datasets/{row['dataset_id']}" if row["dataset_id"] else "/web/datasets")
            async for row in cursor]


def _ago(span: timedelta) -> str:
    return timestamp(now() - span)
