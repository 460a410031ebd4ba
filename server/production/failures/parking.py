"""Tasks that wait for a time or for a resource, where no claim sees them.

A parked task is "waiting", but in a class of its own that no offer fits: claims and grids look at classes, so
parked tasks cost neither a look nor a pilot. `parked` says why: {reason, since, until, resource}. One with a
`due` time comes back then; one that names a resource when its breaker closes; one with neither at the next
sweep, so whatever else changes a task's status cannot leave it parked for ever.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import now, timestamp
from server.common.errors import BadRequest, NotFound
from server.common.fresh import Fresh
from server.production.common.documents import Document
from server.production.failures import breakers, trusted
from server.production.failures.breakers import Breaker, Limits, Seen
from server.production.tasks import alarms, parked
from server.production.tasks.classes import PARKED
from server.production.tasks.task_store import soon
from server.rest.context import Context

__all__ = ["close", "failed", "is_away", "listed", "open_by_hand", "parked_for", "succeeded", "sweep",
           "until"]

KEPT_SECONDS = 2.0
CHANGED = "breakers"
RUNS_SECONDS = 120.0  # a probe that has run so long has its inputs
ATTEMPTS = 8


# -- what is written to a task


def until(seconds: float, reason: str) -> Document:
    """The fields of a task that waits for so many seconds."""
    moment = soon(seconds)
    return {"class_key": PARKED, "due": moment,
            "parked": {"reason": reason, "since": timestamp(), "until": moment, "resource": ""}}


def parked_for(breaker: Breaker) -> Document:
    """The fields of a task that waits for a resource; its `due` is to be unset."""
    return {"class_key": PARKED,
            "parked": {"reason": said(breaker), "since": timestamp(), "until": None, "resource": breaker.key}}


def said(breaker: Breaker) -> str:
    """Why tasks wait, in words."""
    since = _text(breaker.since)[:19]
    if breaker.by:
        return f"waiting for {breaker.key}, closed down by {breaker.by} at {since} UTC: {breaker.reason}"
    probe = _text(breaker.next_probe)[:19]
    return f"waiting for {breaker.key}, down since {since} UTC, next probe {probe} UTC: {breaker.reason}"


# -- breakers as stored


@dataclass
class _Known:
    """One process's copy of the breakers."""

    rows: dict[str, Breaker] = field(default_factory=dict)
    read: Fresh = field(default_factory=lambda: Fresh(CHANGED, KEPT_SECONDS))


_known: WeakKeyDictionary[AsyncDatabase, _Known] = WeakKeyDictionary()


def _limits(ctx: Context) -> Limits:
    failures = ctx.settings.failures
    return Limits(failures.breaker_failures, failures.probe_seconds)


async def _all(ctx: Context, *, fresh: bool = False) -> dict[str, Breaker]:
    known = _known.setdefault(ctx.db, _Known())
    if fresh or not known.read.holds(ctx.signals):
        with known.read.reading(ctx.signals):
            rows = await ctx.db.breakers.find({}).to_list()
        known.rows = {row["_id"]: msgspec.convert(row["breaker"], Breaker) for row in rows}
    return known.rows


async def _change(ctx: Context, key: str, change: Any) -> tuple[Breaker, Breaker]:
    """Apply a pure change to a stored breaker, however many servers do; it before and after."""
    for _ in range(ATTEMPTS):
        row = await ctx.db.breakers.find_one({"_id": key})
        before = msgspec.convert(row["breaker"], Breaker) if row else Breaker(key)
        after = change(before)
        if after == before:
            return before, after
        version = row["version"] if row else 0
        written = {"breaker": msgspec.to_builtins(after), "version": version + 1, "updated": timestamp()}
        same = {"_id": key, "version": version} if row else {"_id": key, "version": {"$exists": False}}
        result = await ctx.db.breakers.update_one(same, {"$set": written}, upsert=row is None)
        if result.matched_count or result.upserted_id:
            _known.setdefault(ctx.db, _Known()).rows[key] = after
            if after.is_open != before.is_open:
                ctx.signals.tell(CHANGED)
                alarms.ring(ctx, 0.0)
            return before, after
    raise BadRequest("the breaker changes too often just now; try again")


def _seconds(moment: datetime | None = None) -> float:
    return (moment or now()).replace(tzinfo=UTC).timestamp()


def _text(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None))


# -- what ends tell


async def failed(ctx: Context, task: Document, host: str, reason: str) -> Breaker | None:
    """Count a failure for the resource that its text names; its breaker when that is open now."""
    key = breakers.resources_of(reason)
    if not key:
        return None
    alone = not host or trusted.of(ctx).is_alone(host, time.monotonic())
    seen = Seen(_seconds(), task["task_id"], host, (task["dataset_id"], task["name"]), alone)
    limits, said = _limits(ctx), reason[:300]
    before, after = await _change(ctx, key, lambda one: breakers.failed(one, seen, said, limits))
    if after.is_open and not before.is_open:
        await _park_all(ctx, after)
    return after if after.is_open else None


async def is_away(ctx: Context, reason: str) -> bool:
    """Whether the breaker of the resource that a failure's text names is open."""
    breaker = (await _all(ctx)).get(breakers.resources_of(reason))
    return breaker is not None and breaker.is_open


async def succeeded(ctx: Context, task: Document, began: datetime) -> None:
    """A task ended well that began at that time: what it needs is there. Costs nothing while all is well."""
    need = task["dataset_id"], task["name"]
    for key, known in list((await _all(ctx)).items()):
        if need in known.needs and (known.is_open or known.seen):
            before, after = await _change(ctx, key, lambda one: breakers.succeeded(one, _seconds(began)))
            if before.is_open and not after.is_open:
                await parked.release_all(ctx, {"parked.resource": key})


# -- parking and releasing


async def _park_all(ctx: Context, breaker: Breaker) -> int:
    """Park the waiting tasks that need a resource, but for those that probe it."""
    changed = 0
    for dataset_id, name in breaker.needs:
        query = {"dataset_id": dataset_id, "name": name, "status": "waiting",
                 "parked.resource": {"$ne": breaker.key}, "task_id": {"$nin": breaker.probes}}
        update = {"$set": parked_for(breaker), "$unset": {"due": ""}}
        changed += (await ctx.db.tasks.update_many(query, update)).modified_count
    return changed


async def sweep(ctx: Context) -> int:
    """Release what is due, park what came back since, and let the next probes go; how many were released."""
    rows = await _all(ctx, fresh=True)
    away = {key: breaker for key, breaker in rows.items() if breaker.is_open}
    if away:
        alarms.ring(ctx, 0.0)  # their probes are looked at as often as may be
    released = await _release_due(ctx, set(away))
    for key, breaker in away.items():
        await _park_all(ctx, breaker)
        released += await _probe(ctx, key, breaker)
    return released


async def anything_parked(ctx: Context) -> bool:
    """Whether `sweep` would find a resource that is away, or a task to release."""
    if any(breaker.is_open for breaker in (await _all(ctx)).values()):
        return True
    for_nothing = {"status": "waiting", "class_key": PARKED, "due": {"$exists": False}}
    return await ctx.db.tasks.find_one(for_nothing, {"_id": 1}) is not None


async def _release_due(ctx: Context, away: set[str]) -> int:
    """Release parked tasks whose time has come, and those that wait for nothing any more."""
    late = {"due": {"$lt": timestamp()}}
    nothing = {"due": {"$exists": False}, "parked.resource": {"$nin": sorted(away)}}
    return await parked.release_all(ctx, late) + await parked.release_all(ctx, nothing)


async def _probe(ctx: Context, key: str, breaker: Breaker) -> int:
    moment = _seconds()
    if moment < breaker.next_probe or breaker.by:
        return 0
    running, waiting = await _state_of(ctx, breaker.probes)
    count = breakers.most_released(breaker, moment, running, waiting)
    query = {"status": "waiting", "class_key": PARKED, "parked.resource": key}
    if not count:
        return 0
    tasks = await ctx.db.tasks.find(query, parked.SHOWN, sort=[("priority", -1)], limit=count).to_list()
    if not tasks:
        return 0
    ids = [task["task_id"] for task in tasks]
    _, after = await _change(ctx, key, lambda one: breakers.probed(one, ids, moment, _limits(ctx)))
    if not after.is_open:
        return await parked.release_all(ctx, {"parked.resource": key})
    return await parked.release(ctx, tasks)


async def _state_of(ctx: Context, probes: Iterable[str]) -> tuple[int, int]:
    """How many probes have run for a while, and how many do not run yet."""
    query = {"task_id": {"$in": list(probes)}, "class_key": {"$ne": PARKED}}
    running = waiting = 0
    async for task in ctx.db.tasks.find(query, {"status": 1, "status_changed": 1}):
        runs = task["status"] == "processing" and task["status_changed"] < soon(-RUNS_SECONDS)
        running += runs
        waiting += not runs and task["status"] in ("waiting", "queued", "processing")
    return running, waiting


# -- by hand


async def listed(ctx: Context) -> list[Document]:
    """All breakers that are open or counting failures, with how many tasks wait for each."""
    rows = []
    for key, breaker in sorted((await _all(ctx, fresh=True)).items()):
        if breaker.is_open or breaker.seen:
            waits = {"status": "waiting", "class_key": PARKED, "parked.resource": key}
            rows.append({
                "resource": key, "state": "open" if breaker.is_open else "closed",
                "since": _text(breaker.since), "reason": breaker.reason, "username": breaker.by,
                "next_probe": _text(breaker.next_probe) if breaker.is_open and not breaker.by else None,
                "failures": len(breaker.seen), "hosts": sorted({one.host for one in breaker.seen})[:20],
                "parked_tasks": await ctx.db.tasks.count_documents(waits),
                "datasets": sorted({dataset for dataset, _ in breaker.needs})[:100]})
    return rows


async def open_by_hand(ctx: Context, key: str, body: dict[str, Any], username: str) -> None:
    """Park whatever needs a resource until a person closes its breaker. Raises BadRequest.

    Which tasks need it is known from failures; `datasets` names those of which nobody knows that yet.
    """
    reason, ids = body.get("reason"), body.get("datasets", [])
    if not re.fullmatch(r"[\w.:/@+~-]{1,300}", key):
        raise BadRequest("the resource must be an address such as https://storage.example.org")
    if not isinstance(reason, str) or not reason.strip():
        raise BadRequest("key reason should be a text that says why")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or len(ids) > 100:
        raise BadRequest("key datasets should be a list of at most 100 ids of datasets")
    names = {(one, str(name)) for one in ids for name in await _task_names(ctx, one)}

    def change(one: Breaker) -> Breaker:
        return msgspec.structs.replace(
            one, is_open=True, since=_seconds(), by=username, reason=reason[:300], probes=[],
            needs=sorted({*one.needs, *names}))

    _, after = await _change(ctx, key, change)
    await _park_all(ctx, after)


async def _task_names(ctx: Context, dataset_id: str) -> list[str]:
    names = await ctx.db.tasks.distinct("name", {"dataset_id": dataset_id})
    if not names:
        raise NotFound(f"the dataset {dataset_id[:50]} has no tasks")
    return list(names)


async def close(ctx: Context, key: str) -> int:
    """Close a breaker now and release what waits for it; how many tasks. Raises NotFound."""
    if key not in await _all(ctx, fresh=True):
        raise NotFound(f"there is no breaker for {key[:300]}")

    def change(one: Breaker) -> Breaker:
        return breakers.succeeded(msgspec.structs.replace(one, by=""), float("inf"))

    await _change(ctx, key, change)
    return await parked.release_all(ctx, {"parked.resource": key})


async def clean(ctx: Context) -> int:
    """Forget closed breakers that were not heard of for a day; how many."""
    old = {"breaker.is_open": False, "updated": {"$lt": soon(-86400)}}
    return (await ctx.db.breakers.delete_many(old)).deleted_count
