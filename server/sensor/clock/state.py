"""The state of the sensor: its scheduler, what comes next, and the grid behind it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from iceprod.ids import now, timestamp
from scanner.recos.recos import ALIASES, RECOS
from server.production.common import heard
from server.rest.context import Context
from server.sensor.acquisitions import disk
from server.sensor.actions import actions
from server.sensor.common import sigmf
from server.sensor.schedule.entries import SYSTEM, Entry, all_entries
from server.sensor.schedule.times import upcoming

__all__ = ["LEASE", "QUEUE_LENGTH", "capabilities", "horizon", "queue", "scheduler_state", "status"]

SERVICE = "schedule"
LEASE = f"service:{SERVICE}"
DEAD_SECONDS = 5.0  # after the end of the leader's lease, which is 10 s after its last renewal
QUEUE_LENGTH = 50
HORIZON_INTERVALS = 10
_LONE_INTERVAL = 60  # seconds; counts when no entry has an interval
NSIDES = (8, 64, 512)  # of a usual scan
FULL = 0.95  # of the disk

_STARTED = time.time()


def horizon(entries: Iterable[Entry], now_: int) -> int:
    """Until when the queue looks ahead: ten times the shortest interval, those of people's entries first."""
    active = [entry for entry in entries if entry.is_active and entry.interval]
    mine = [entry for entry in active if entry.owner != SYSTEM]
    shortest = min((entry.interval or 0 for entry in mine or active), default=_LONE_INTERVAL)
    return now_ + HORIZON_INTERVALS * shortest


def queue(entries: Iterable[Entry], now_: int) -> list[tuple[int, int, Entry]]:
    """The next (time, priority, entry), by time and priority. The system's own entries show one time each."""
    entries = [entry for entry in entries if entry.is_active]
    end = horizon(entries, now_)
    rows = [(at, entry.priority, entry) for entry in entries
            for at in upcoming(entry.times, now_, end, 1 if entry.owner == SYSTEM else QUEUE_LENGTH)]
    rows.sort(key=lambda row: (row[0], row[1], row[2].name))
    return rows[:QUEUE_LENGTH]


async def scheduler_state(ctx: Context, has_active: bool) -> str:
    """``running`` or ``idle`` by whether there are active entries; ``dead`` when nobody holds the lease."""
    lease = await ctx.db.leases.find_one({"_id": LEASE})
    late = now() - timedelta(seconds=DEAD_SECONDS)
    if lease is None or not isinstance(lease["until"], datetime) or lease["until"] < late:
        return "dead"
    return "running" if has_active else "idle"


async def status(ctx: Context) -> tuple[dict[str, Any], list[tuple[int, int, Entry]]]:
    """What /status tells, but for the queue's rows, which come second."""
    entries = await all_entries(ctx, {"is_active": True})
    moment = time.time()
    state = await scheduler_state(ctx, bool(entries))
    used = disk.share_used(ctx)
    return {
        "scheduler": state, "healthy": state != "dead" and used < FULL,
        "system_time": timestamp() + "Z", "start_time": _iso(_STARTED),
        "days_up": round((moment - _STARTED) / 86400, 4), "disk_usage": round(100 * used, 1),
        "software": {"version": sigmf.recorder()}, "grid": await _grid(ctx),
    }, queue(entries, int(moment))


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


async def _grid(ctx: Context) -> dict[str, int]:
    return {"pilots": await ctx.db.pilots.count_documents(heard.heard_of()),
            **{state: await ctx.db.tasks.count_documents({"status": state})
               for state in ("queued", "processing")}}


async def capabilities(ctx: Context) -> dict[str, Any]:
    """What can be scheduled, and on what it runs."""
    known = await actions.all_actions(ctx)
    return {"actions": [action.public() for action in known], "mobility": False, "sensor": await _sensor(ctx)}


async def _sensor(ctx: Context) -> dict[str, Any]:
    sites: set[str] = set()
    queues: set[str] = set()
    gpus: dict[str, int] = {}
    async for grid in ctx.db.grids.find({"alive": True}, {"queues": 1, "host": 1}):
        queues |= set(grid.get("queues") or {})
    async for pilot in heard.pilots(ctx, "site", "resources_available.gpu"):
        site = pilot.get("site") or "local"
        sites.add(site)
        number = (pilot.get("resources_available") or {}).get("gpu")
        if isinstance(number, int) and number > 0:
            gpus[site] = gpus.get(site, 0) + number
    return {"id": ctx.settings.pilots.site, "sites": sorted(sites), "queues": sorted(queues),
            "accelerators": [{"site": site, "gpus": gpus[site]} for site in sorted(gpus)],
            "nsides": list(NSIDES), "reco_algos": sorted([*RECOS, *ALIASES])}
