"""The system's own periodic work as entries: visible, with recorded runs, pausable but for what must go on.

What runs on the clock alone leaves the plain services: the schedule runs it, as often as its entry says. What
also follows signals keeps its service for these, which does nothing while its entry is paused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from server.common import metrics
from server.rest.context import Context
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome
from server.sensor.actions import actions
from server.sensor.actions.actions import Action, Needed
from server.sensor.schedule.entries import SYSTEM, Entry, all_entries, utc
from server.services.leader import Service

__all__ = ["JOBS", "Job", "divide", "ensure_entries"]

PREFIX = "housekeeping/"
KEPT_RUNS = 100
SIGNALLED_SECONDS = 3600.0  # what follows signals looks at everything so often; its entry does in between


@dataclass(frozen=True)
class Job:
    """One piece of housekeeping: the service that does it, and what people are told about it."""

    service: str
    word: str
    description: str
    priority: int = 0
    is_vital: bool = False

    @property
    def action(self) -> str:
        return PREFIX + self.word

    @property
    def entry(self) -> str:
        return self.action.replace("/", "-").replace("_", "-")


JOBS = [
    Job("repair tasks", "repair_tasks", """\
Repair what a crash cut short between a task's end and what follows.

Releases dependents, settles resets, completes jobs. Without it tasks can wait for ever.""",
        priority=-10, is_vital=True),
    Job("settle datasets", "complete_datasets", """\
Complete datasets whose jobs have all ended.

Usually the end of the last task does that at once; this finds those whose request was cut short.""",
        priority=-10, is_vital=True),
    Job("expire silent pilots", "dead_pilots", """\
Take out pilots and grids that fell silent.

Their tasks go back to waiting.""", priority=-10, is_vital=True),
    Job("tend datasets", "buffer_jobs", """\
Make the next jobs of datasets that run out of work.

While it is paused no new jobs are made; those that exist go on."""),
    Job("update priorities", "update_priorities", """\
Compute the priorities of waiting tasks anew.

They depend on the age of datasets and on how much of an owner's work is there."""),
    Job("tend tallies", "tend_tallies", """\
Judge places where tasks fail, and forget old statistics.

While it is paused it quarantines no host or site."""),
    Job("prune classes", "prune_classes", "Forget requirement classes that no task is in any more.",
        priority=20),
    Job("clean logs", "clean_logs", "Delete old logs, and pilots that ended long ago.", priority=20),
]
_BY_SERVICE = {job.service: job for job in JOBS}


def divide(services: list[Service]) -> list[Service]:
    """Register housekeeping as actions; the services that are left to run by themselves."""
    left: list[Service] = []
    for service in services:
        job = _BY_SERVICE.get(service.name)
        if job is None:
            left.append(service)
            continue
        actions.register(_action(job, service))
        if service.signal:
            left.append(_gated(job, service))
    return left


def _action(job: Job, service: Service) -> Action:
    async def run(ctx: Context, _: Acquisition) -> Outcome:
        started = time.perf_counter()
        done = await service.run(ctx)
        metrics.SERVICE_AGE.labels(service.name).set_to_current_time()
        told = {"seconds": round(time.perf_counter() - started, 4),
                "done": done if isinstance(done, int) else 0}
        return Outcome(detail=f"{told['done']} done", data=json.dumps(told).encode())

    return Action(job.action, job.description, run=run, admin_only=True, may_pause=not job.is_vital,
                  retention=KEPT_RUNS, keeps_runs=False, needed=_needed(service))


def _needed(service: Service) -> Needed | None:
    """Whether a run would do anything; one that need not be done counts as done."""
    asked = service.needed
    if asked is None:
        return None

    async def needed(ctx: Context) -> bool:
        is_needed = await asked(ctx)
        if not is_needed:
            metrics.SERVICE_AGE.labels(service.name).set_to_current_time()
        return is_needed

    return needed


def _gated(job: Job, service: Service) -> Service:
    """A service that follows its signal alone, and rests while its entry is paused."""
    run: Callable[[Context], Awaitable[object]] = service.run

    async def unless_paused(ctx: Context) -> object:
        if await ctx.db.schedule.find_one({"_id": job.entry, "is_active": False}, {"_id": 1}):
            return None
        return await run(ctx)

    unless_paused.__doc__ = run.__doc__
    return replace(service, run=unless_paused, period=lambda ctx: SIGNALLED_SECONDS)


async def ensure_entries(ctx: Context, services: list[Service]) -> None:
    """Make the system's entries that are missing, and let the others follow changed settings.

    An interval that somebody changed by hand stays.
    """
    present = {entry.name: entry for entry in await all_entries(ctx, {"default_interval": {"$ne": None}})}
    for service in services:
        if (job := _BY_SERVICE.get(service.name)) is not None:
            interval = max(1, round(service.period(ctx)))
            await _ensure(ctx, job, interval, present.get(job.entry))


async def _ensure(ctx: Context, job: Job, interval: int, present: Entry | None) -> None:
    if present is None:
        await _insert(ctx, job, interval)
    elif present.default_interval != interval:
        fields: dict[str, Any] = {"default_interval": interval}
        if present.interval == present.default_interval:
            fields["interval"] = interval
        await ctx.db.schedule.update_one({"_id": job.entry}, {"$set": fields, "$inc": {"changed": 1}})


async def _insert(ctx: Context, job: Job, interval: int) -> None:
    start, moment = int(time.time()) + 1, utc()
    entry = Entry(name=job.entry, action=job.action, owner=SYSTEM, start=start, next_time=start,
                  look_at=start, created=moment, modified=moment, priority=job.priority,
                  interval=interval, is_vital=job.is_vital, default_interval=interval)
    document = msgspec.to_builtins(entry)
    document = {name: value for name, value in document.items() if name not in ("asked", "pending")}
    try:
        await ctx.db.schedule.insert_one(document)
    except DuplicateKeyError:  # another server was quicker
        return
