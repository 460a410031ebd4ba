"""Work that outlasts its request: imports and searches, each a row that says how far it is.

A job is claimed by a lease, does its work in steps that may be repeated, and notes after each how far it is;
so it goes on after a crash, on whichever server is there. Each kind has a service of its own, so that long
files stand in nobody's way.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pymongo import ReturnDocument

from iceprod.ids import now
from server.common.errors import ApiError
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_id
from server.desk.common.keeping import keeping
from server.rest.context import Context
from server.services.leader import Service
from server.store.database import Index

__all__ = ["IMPORTS", "INDEXES", "Job", "add", "advance", "listed", "note", "service", "share", "shown",
           "work"]

log = logging.getLogger("server.desk")

INDEXES = [
    Index("desk_jobs", "waiting", [("kind", 1), ("is_done", 1), ("lease", 1)]),
    Index("desk_jobs", "user", [("user_id", 1), ("_id", -1)]),
    Index("desk_jobs", "groups", [("group_ids", 1), ("_id", -1)]),
]

LEASE = 60.0  # seconds
MOST_TRIES = 5
IMPORTS = ["galaxies", "glade", "swift", "gaia_alerts"]
"""The kinds that import catalogues."""
PENDING, RUNNING = "pending submission", "running"


@dataclass(frozen=True)
class Job:
    """A job as its worker sees it."""

    number: int
    kind: str
    user_id: int
    group_ids: list[int]
    payload: Mapping[str, Any]
    progress: Mapping[str, Any] = field(default_factory=dict)


Worker = Callable[[Context, Job], Awaitable[str]]
"""Does a job and says how it ended. Raises ApiError when it cannot be done at all."""


async def add(ctx: Context, who: Visitor, kind: str, payload: Mapping[str, Any],
              group_ids: list[int] | None = None) -> int:
    """A new job; its id. Somebody begins with it at once."""
    number, moment = await next_id(ctx, "jobs"), now()
    await ctx.db.desk_jobs.insert_one({
        "_id": number, "kind": kind, "user_id": who.user_id, "group_ids": group_ids or [],
        "payload": dict(payload), "progress": {}, "status": PENDING, "is_done": False, "lease": moment,
        "tries": 0, "created_at": moment, "modified": moment})
    ctx.signals.notify(_signal(kind))
    return number


async def note(ctx: Context, job: Job, **progress: Any) -> None:
    """Say how far a job is."""
    await ctx.db.desk_jobs.update_one({"_id": job.number}, {"$set": _noted(progress)})


async def advance(ctx: Context, job: Job, **progress: Any) -> None:
    """Say how far a job is that goes on from there: it is not given up however often its server ends."""
    await ctx.db.desk_jobs.update_one({"_id": job.number}, {"$set": {**_noted(progress), "tries": 1}})


def _noted(progress: Mapping[str, Any]) -> Document:
    return {**{f"progress.{name}": value for name, value in progress.items()}, "modified": now()}


async def listed(ctx: Context, who: Visitor, kinds: list[str], limit: int) -> list[Document]:
    """Jobs of the visitor and the visitor's groups, the newest first."""
    mine = {"$or": [{"user_id": who.user_id}, visible("catalog_query", who)]}
    query = {"$and": [{"kind": {"$in": kinds}}, {} if who.system else mine]}
    cursor = ctx.db.desk_jobs.find(query).sort([("_id", -1)]).limit(limit)
    return [document async for document in cursor]


def shown(row: Mapping[str, Any]) -> Document:
    """A job as the API shows it."""
    names = ("kind", "status", "progress", "created_at", "modified")
    payload = {name: value for name, value in row["payload"].items() if name not in ("blob", "allocation_id")}
    return {"id": row["_id"], "requester_id": row["user_id"], "target_group_ids": row["group_ids"],
            "allocation_id": row["payload"].get("allocation_id"), "payload": payload,
            **{name: row[name] for name in names}}


def share(row: Mapping[str, Any]) -> float | None:
    """Which part of a job is done; None where nobody knows how much there is."""
    if row["is_done"]:
        return 1.0
    progress = row["progress"]
    for done, whole in (("rows", "of"), ("offset", "bytes")):
        if progress.get(whole):
            return min(float(progress.get(done, 0) / progress[whole]), 1.0)
    return None


def service(kind: str, worker: Worker) -> Service:
    """The service that does the jobs of a kind."""
    return Service(f"desk {kind}", lambda ctx: 5.0, functools.partial(work, kind=kind, worker=worker),
                   signal=_signal(kind))


def _signal(kind: str) -> str:
    return f"desk_{kind}"


async def work(ctx: Context, kind: str, worker: Worker) -> None:
    """Do the jobs of a kind that wait, or that somebody left."""
    while (job := await _claim(ctx, kind)) is not None:
        async with keeping(lambda: _extend(ctx, job), LEASE / 3):
            try:
                outcome = await worker(ctx, job)
            except ApiError as error:
                outcome = f"failed: {error.reason}"
        await _end(ctx, job, outcome)


async def _claim(ctx: Context, kind: str) -> Job | None:
    free = {"kind": kind, "is_done": False, "lease": {"$lte": now()}}
    change = {"$set": {"status": RUNNING, "lease": now() + timedelta(seconds=LEASE)}, "$inc": {"tries": 1}}
    row = await ctx.db.desk_jobs.find_one_and_update(
        free, change, sort=[("lease", 1)], return_document=ReturnDocument.AFTER)
    if row is None:
        return None
    job = Job(row["_id"], kind, row["user_id"], row["group_ids"], row["payload"], row["progress"])
    if row["tries"] > MOST_TRIES:
        await _end(ctx, job, f"failed: it did not end in {MOST_TRIES} tries")
        return await _claim(ctx, kind)
    return job


async def _extend(ctx: Context, job: Job) -> None:
    await ctx.db.desk_jobs.update_one(
        {"_id": job.number}, {"$set": {"lease": now() + timedelta(seconds=LEASE)}})


async def _end(ctx: Context, job: Job, outcome: str) -> None:
    await ctx.db.desk_jobs.update_one(
        {"_id": job.number}, {"$set": {"status": outcome, "is_done": True, "modified": now()}})
    log.info("job ended", extra={
        "action": "desk job", "kind": job.kind, "job": job.number, "status": outcome})
