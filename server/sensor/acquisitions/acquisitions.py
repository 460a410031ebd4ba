"""Acquisitions: one for each run of an entry, from its beginning to its end, and the data it left."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from bson.binary import Binary
from pymongo.errors import DuplicateKeyError

from server.common.errors import BadRequest, NotFound
from server.rest.context import Context
from server.sensor.acquisitions.outcomes import MAX_DETAIL, Outcome, Status
from server.sensor.common import sigmf
from server.sensor.schedule.entries import Entry, Pending, utc
from server.store.database import Index

__all__ = ["CALLBACKS", "INDEXES", "MAX_DATA", "Acquisition", "Callback", "all_in_progress", "begin",
           "counts", "data_of", "finish", "from_document", "get", "hold", "in_progress", "latest", "listed",
           "note_grid", "remove", "remove_one", "trim"]

INDEXES = [
    Index("acquisitions", "entry_task", [("entry", 1), ("task_id", 1)], unique=True),
    Index("acquisitions", "entry_status", [("entry", 1), ("status", 1)]),
    Index("acquisitions", "status_kind", [("status", 1), ("kind", 1), ("until", 1)]),
    Index("acquisitions", "callback_due", [("callback.due", 1)], options={"sparse": True}),
    Index("acquisition_data", "entry_task", [("entry", 1), ("task_id", 1), ("part", 1)], unique=True),
]

CALLBACKS = "callbacks"
"""The signal that a run has ended, of which somebody may have to be told."""
MAX_DATA = 64 << 20  # bytes of one acquisition
_PART = 8 << 20
_UNKNOWN = "Not found."


class Callback(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Whom to tell the end of a run, and how far that is."""

    url: str
    origin: str  # how the entry's owner reaches us
    status: str = "waiting"  # for the run's end; then due, delivered, or given up
    due: float | None = None  # when it is tried next, seconds since 1970
    tries: int = 0
    detail: str = ""  # what went wrong at the last try
    at: str | None = None  # of the last try


class Acquisition(msgspec.Struct, kw_only=True):
    """One run; `created`, `started` and `finished` as ISO 8601."""

    entry: str
    task_id: int
    action: str
    kind: str  # of the action
    owner: str  # of the entry
    priority: int
    time: int  # for which it ran, seconds since 1970
    created: str
    started: str
    status: Status = Status.IN_PROGRESS
    finished: str | None = None
    detail: str = ""
    missed: int = 0  # earlier times that were due as well and are not made up for
    skipped: int = 0  # times that passed while the run before was at work
    asked_by: str = ""
    holder: str = ""  # the server that runs it
    until: float = 0.0  # it is alive as long as this moves
    grid: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    size: int = 0  # bytes of data that are kept
    is_stopped: bool = False
    callback: Callback | None = None

    @property
    def id(self) -> str:
        return f"{self.entry}/{self.task_id}"

    @property
    def label(self) -> str:
        """The name of its files."""
        return f"{self.entry}_{self.task_id}"

    def described(self) -> dict[str, Any]:
        """The recording's metadata; while there is none, what is known already."""
        return self.metadata or sigmf.metadata(self.started, _facts(self), self.action)


def _facts(run: Acquisition) -> dict[str, Any]:
    return {"schedule_entry": run.entry, "task_id": run.task_id, "action": run.action,
            "dataset_id": run.grid.get("dataset_id")}


def _key(run: Acquisition) -> dict[str, Any]:
    return {"entry": run.entry, "task_id": run.task_id}


# -- the life of one


async def begin(ctx: Context, entry: Entry, taken: Pending, kind: str, until: float) -> Acquisition | None:
    """Store the acquisition of a run that was taken; None when another server did so: that one runs it."""
    moment = utc()
    run = Acquisition(
        entry=entry.name, task_id=taken.task_id, action=entry.action, kind=kind, owner=entry.owner,
        priority=entry.priority, time=taken.time, created=moment, started=moment, missed=taken.missed,
        skipped=taken.skipped, asked_by=taken.asked_by, holder=ctx.server_id, until=until,
        callback=Callback(url=entry.callback_url, origin=entry.callback_origin) if entry.callback_url
        else None)
    try:
        await ctx.db.acquisitions.insert_one({"_id": run.id, **msgspec.to_builtins(run)})
    except DuplicateKeyError:
        return None
    return run


async def hold(ctx: Context, run: Acquisition, until: float, *, held_until: float | None = None) -> bool:
    """Stay, or (when its holder is gone since `held_until`) become the one who runs it."""
    before = {"holder": ctx.server_id} if held_until is None else {"until": held_until}
    result = await ctx.db.acquisitions.update_one(
        {**_key(run), "status": Status.IN_PROGRESS.value, **before},
        {"$set": {"holder": ctx.server_id, "until": until}})
    return bool(result.matched_count)


async def note_grid(ctx: Context, run: Acquisition, grid: dict[str, Any]) -> None:
    """Remember what on the grid a run consists of."""
    run.grid = grid
    await ctx.db.acquisitions.update_one(
        {**_key(run), "status": Status.IN_PROGRESS.value}, {"$set": {"grid": grid}})


async def finish(ctx: Context, run: Acquisition, outcome: Outcome, description: str = "") -> bool:
    """Close a run, once; whether this call did. Its data are stored before anybody can see its end."""
    if len(outcome.data) > MAX_DATA:
        outcome = Outcome(Status.FAILURE, f"its data have {len(outcome.data)} bytes, more than {MAX_DATA}")
    described = await asyncio.to_thread(
        sigmf.metadata, run.started, {**_facts(run), **outcome.facts}, description or run.action,
        data=outcome.data, datatype=outcome.datatype, annotations=outcome.annotations)
    await _store_data(ctx, run, outcome.data)
    ended: dict[str, Any] = {
        "status": outcome.status.value, "detail": outcome.detail[:MAX_DETAIL], "finished": utc(),
        "metadata": described, "size": len(outcome.data), "is_stopped": outcome.is_stopped}
    if outcome.status is Status.FAILURE and not outcome.is_stopped:
        ended["unlogged"] = True  # somebody may want to hear of it
    if run.callback:  # in the same write, so that no end is left untold
        ended |= {"callback.status": "due", "callback.due": time.time()}
    result = await ctx.db.acquisitions.update_one(
        {**_key(run), "status": Status.IN_PROGRESS.value}, {"$set": ended})
    if result.matched_count:
        if run.callback:
            ctx.signals.notify(CALLBACKS)
        return True
    if not await ctx.db.acquisitions.find_one({**_key(run), "size": {"$gt": 0}}, {"_id": 1}):
        await ctx.db.acquisition_data.delete_many(_key(run))
    return False


async def _store_data(ctx: Context, run: Acquisition, data: bytes) -> None:
    for part, start in enumerate(range(0, len(data), _PART)):
        await ctx.db.acquisition_data.update_one(
            {**_key(run), "part": part}, {"$set": {"bytes": Binary(data[start:start + _PART])}}, upsert=True)


# -- reading


def from_document(document: dict[str, Any]) -> Acquisition:
    return msgspec.convert(document, Acquisition)


async def get(ctx: Context, entry: str, task_id: str) -> Acquisition:
    """One acquisition. Raises NotFound, also for an id that is no number."""
    if not (task_id.isascii() and task_id.isdigit() and len(task_id) < 16):
        raise NotFound(_UNKNOWN)
    document = await ctx.db.acquisitions.find_one({"entry": entry, "task_id": int(task_id)})
    if document is None:
        raise NotFound(_UNKNOWN)
    return from_document(document)


async def listed(ctx: Context, entry: str, *, skip: int = 0, limit: int = 0, newest: bool = False
                 ) -> list[Acquisition]:
    """The acquisitions of an entry, the oldest first unless told otherwise; a limit of 0 is none."""
    cursor = ctx.db.acquisitions.find({"entry": entry}, sort=[("task_id", -1 if newest else 1)])
    return [from_document(document) async for document in cursor.skip(skip).limit(limit)]


async def latest(ctx: Context, entry: str, most: int) -> list[dict[str, Any]]:
    """The latest runs of an entry, the oldest of them first; of each what a glance needs."""
    shown = {"_id": 0, "task_id": 1, "status": 1, "detail": 1, "started": 1, "finished": 1}
    cursor = ctx.db.acquisitions.find({"entry": entry}, shown, sort=[("task_id", -1)])
    return (await cursor.limit(most).to_list())[::-1]


async def counts(ctx: Context) -> dict[str, int]:
    """How many acquisitions each entry has."""
    stages: list[dict[str, Any]] = [{"$match": {"entry": {"$gte": ""}}},  # so that an index is enough
                                    {"$group": {"_id": "$entry", "n": {"$sum": 1}}}]
    return {row["_id"]: row["n"] async for row in await ctx.db.acquisitions.aggregate(stages)}


async def in_progress(ctx: Context, entry: str) -> list[Acquisition]:
    cursor = ctx.db.acquisitions.find({"entry": entry, "status": Status.IN_PROGRESS.value})
    return [from_document(document) async for document in cursor]


async def all_in_progress(ctx: Context) -> list[Acquisition]:
    """The runs of all entries that are at work, here, elsewhere, or nowhere any more."""
    cursor = ctx.db.acquisitions.find({"status": Status.IN_PROGRESS.value})
    return [from_document(document) async for document in cursor]


async def data_of(ctx: Context, run: Acquisition) -> bytes:
    """The data that a run left. Raises NotFound when there are none."""
    if run.status is not Status.SUCCESS or not run.size:
        raise NotFound("there is no archive: the run is in progress, failed, or left no data that were kept")
    cursor = ctx.db.acquisition_data.find(_key(run), sort=[("part", 1)])
    data = b"".join([bytes(row["bytes"]) async for row in cursor])
    if hashlib.sha512(data).hexdigest() != run.metadata["global"]["core:sha512"]:
        raise NotFound("the data of this run are no longer there")
    return data


# -- removing


async def remove_one(ctx: Context, run: Acquisition) -> None:
    """Remove an acquisition that has ended. Raises BadRequest."""
    gone = await ctx.db.acquisitions.delete_one(
        {**_key(run), "status": {"$ne": Status.IN_PROGRESS.value}})
    if not gone.deleted_count:
        raise BadRequest("this run is in progress; deactivate its entry to stop it")
    await ctx.db.acquisition_data.delete_many(_key(run))


async def remove(ctx: Context, runs: Iterable[Acquisition]) -> None:
    """Remove all of these. Raises BadRequest, and removes none, when one is in progress."""
    runs = list(runs)
    if any(run.status is Status.IN_PROGRESS for run in runs):
        raise BadRequest("a run is in progress; deactivate its entry to stop it")
    for run in runs:
        await remove_one(ctx, run)


async def trim(ctx: Context, run: Acquisition, keep: int, *, rows: bool) -> None:
    """Drop the data (with `rows` the acquisitions too) of all but the entry's last `keep` runs."""
    old = {"entry": run.entry, "task_id": {"$lte": run.task_id - keep}}
    if run.task_id <= keep:
        return
    if rows:
        await ctx.db.acquisitions.delete_many({**old, "status": {"$ne": Status.IN_PROGRESS.value}})
    else:
        await ctx.db.acquisitions.update_many({**old, "size": {"$gt": 0}}, {"$set": {"size": 0}})
    await ctx.db.acquisition_data.delete_many(old)
