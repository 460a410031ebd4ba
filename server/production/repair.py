"""Services that make true after a crash what requests normally see to at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from weakref import WeakSet

from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import now, timestamp
from server.production.common.documents import Document
from server.production.datasets import datasets, priorities, totals
from server.production.failures import parking
from server.production.leases import ends, leases, load, outages
from server.production.leases.ends import Report
from server.production.records import logs
from server.production.sites import monitor
from server.production.submission import materialisation
from server.production.tasks import alarms, bulk, classes, completion, drawn, follow_ups, requests
from server.production.tasks.task_store import LEASED
from server.rest.context import Context
from server.services.leader import Service

__all__ = ["SERVICES", "sweep_leases", "sweep_tasks"]

AT_ONCE = 500
LOG_DAYS = 31
PILOT_DAYS = 14


async def sweep_leases(ctx: Context) -> int:
    """Take back tasks whose leases have ended, once pilots had the time to be heard after an outage."""
    heard = (await outages.heard_for(ctx)).total_seconds()
    longest = leases.LONGER * load.attended_seconds(await load.count(ctx), ctx.settings.leases.seconds)
    return await leases.expire(ctx) if heard > longest else 0


async def sweep_tasks(ctx: Context) -> int:
    """Look at the tasks whose time has come: parked ones, unfinished follow-ups, idle ones, resets."""
    await drawn.flush(ctx)
    _look_again_soon(ctx)
    seen = await follow_ups.sweep(ctx) + await parking.sweep(ctx)
    while tasks := await _due(ctx):
        seen += len(tasks)
        await _promote_idle(ctx, [task for task in tasks if task["status"] == "idle"])
        for task in tasks:
            if task["status"] in completion.OVER:
                await completion.follow(ctx, task)
            elif task["status"] == "reset":
                await ends.settle_reset(ctx, task, Report())
        await _nothing_due(ctx, [task for task in tasks if task["status"] == "waiting"])
        if len(tasks) < AT_ONCE:
            break
    return seen


def _look_again_soon(ctx: Context) -> None:
    """After the first look of a process: marks that one left which died just now are not old enough then."""
    if ctx.db not in _looked:
        _looked.add(ctx.db)
        alarms.ring(ctx, ends.FOLLOW_UP_SECONDS)


_looked: WeakSet[AsyncDatabase] = WeakSet()


async def anything_due(ctx: Context) -> bool:
    """Whether `sweep_tasks` would find anything."""
    late = {"due": {"$lt": timestamp()}}
    return (await ctx.db.tasks.find_one({**late, "status": {"$nin": list(LEASED)}}, {"_id": 1}) is not None
            or await ctx.db.follow_ups.find_one(late, {"_id": 1}) is not None
            or await parking.anything_parked(ctx))


async def _due(ctx: Context) -> list[Document]:
    late = {"due": {"$lt": timestamp()}, "status": {"$nin": list(LEASED)}}
    return await ctx.db.tasks.find(late, {"_id": 0}, sort=[("due", 1)], limit=AT_ONCE).to_list()


async def _promote_idle(ctx: Context, tasks: list[Document]) -> None:
    """Promote those that are ready; the completion of what they depend on will promote the others."""
    if tasks:
        await completion.promote(ctx, tasks)
        await _nothing_due(ctx, tasks)


async def _nothing_due(ctx: Context, tasks: list[Document]) -> None:
    if tasks:
        seen = {"task_id": {"$in": [task["task_id"] for task in tasks]}, "status": tasks[0]["status"],
                "due": {"$lt": timestamp()}}
        await ctx.db.tasks.update_many(seen, {"$unset": {"due": ""}})


async def tend(ctx: Context) -> int:
    """Make the next jobs of datasets, stop what stopped: of those that changed just now, else of all."""
    changed = datasets.announced(ctx)
    return await bulk.suspend_stopped(ctx) + await materialisation.buffer(ctx, changed)


async def settle(ctx: Context) -> int:
    """End datasets whose jobs have all ended."""
    seen = 0
    async for dataset in ctx.db.datasets.find({"status": "processing"}, {"_id": 0}):
        await completion.settle_dataset(ctx, dataset)
        seen += 1
    return seen


async def _any_processing(ctx: Context) -> bool:
    return await ctx.db.datasets.find_one({"status": "processing"}, {"_id": 1}) is not None


async def _any_to_tend(ctx: Context) -> bool:
    """Asked one after the other: not every database takes an index for either side of an "or"."""
    return await _any_processing(ctx) or \
        await ctx.db.datasets.find_one({"stopped": True}, {"_id": 1}) is not None


async def clean_logs(ctx: Context) -> int:
    """Delete old stdlogs, and pilots that were not heard of for long."""
    old = timestamp(now() - timedelta(days=LOG_DAYS))
    await ctx.db.pilots.delete_many({"last_update": {"$lt": timestamp(now() - timedelta(days=PILOT_DAYS))}})
    return await logs.remove(ctx, {"name": "stdlog", "timestamp": {"$lt": old}})


def _sweep_seconds(ctx: Context) -> float:
    return ctx.settings.leases.sweep_seconds


def _repair_seconds(ctx: Context) -> float:
    return ctx.settings.services.repair_seconds


def _hours(hours: float) -> Callable[[Context], float]:
    return lambda ctx: hours * 3600


SERVICES = [
    Service("expire leases", _sweep_seconds, sweep_leases),
    Service("repair tasks", _repair_seconds, sweep_tasks, signal=alarms.SIGNAL, needed=anything_due),
    Service("settle datasets", _repair_seconds, settle, needed=_any_processing),
    Service("do requests", _sweep_seconds, requests.work, signal="requests"),
    Service("prune classes", _hours(0.25), classes.prune),
    Service("tend datasets", _repair_seconds, tend, signal="datasets", needed=_any_to_tend),
    Service("prove totals", _repair_seconds, totals.prove),
    # by every server: each is asked for its own gauges, and none must show old ones
    Service("measure", _repair_seconds, monitor.measure, signal="measure"),
    Service("update priorities", _hours(1), priorities.update_all),
    Service("clean logs", _hours(12), clean_logs),
]
