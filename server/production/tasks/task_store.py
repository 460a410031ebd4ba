"""Tasks: creating, reading and presenting them, and the writes that every change of status goes through.

Beside what the API shows, a task's document has
    class_key   the requirement class it is claimed by
    due         when the repair pass must look at it (a lease's end, an unfinished follow-up), absent if never
    ended       the last end reported: outcome, instance_id, reason, time
    avoid       the host where it failed, and until when it should try others
    attempts    the latest ends that were no good: time, host, site, outcome, rule, reason, and who said so
    outside_since  since when it failed for nothing but what is outside
    evicted_by  the pilot that handed it back, until somebody takes it again
    lease       the latest instance_id, also after its end
    silent      true while it waits because the holder of `lease` was not heard of: that may come back
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bson import ObjectId, encode
from bson.raw_bson import RawBSONDocument
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from iceprod.ids import new_id, now, timestamp
from iceprod.requirements import RequirementError, check, class_key
from iceprod.states import TASK
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document, projection
from server.production.datasets import jobs, totals
from server.production.tasks import alarms, counting, kinds
from server.production.tasks.classes import PARKED, class_table
from server.rest.context import Context
from server.store.database import Index
from server.store.duplicates import are_duplicates

__all__ = ["HIDDEN", "INDEXES", "LEASED", "NewTask", "beginning_with", "create_task", "create_tasks", "find",
           "get", "new_task", "page", "patch", "public", "soon", "summaries", "task_classes_of"]

INDEXES = [
    Index("tasks", "task_id", [("task_id", 1)], unique=True),
    Index("tasks", "dataset_job_task", [("dataset_id", 1), ("job_index", 1), ("task_index", 1)], unique=True),
    Index("tasks", "claim", [("status", 1), ("class_key", 1), ("priority", -1)]),
    Index("tasks", "dataset_claim",
          [("dataset_id", 1), ("status", 1), ("class_key", 1), ("priority", -1)]),
    Index("tasks", "dataset_name", [("dataset_id", 1), ("name", 1), ("status", 1)]),
    Index("tasks", "job_status", [("job_id", 1), ("status", 1)]),
    Index("tasks", "depends", [("depends", 1)]),
    Index("tasks", "due", [("due", 1)], options={"sparse": True}),
    Index("tasks", "pilot_id", [("pilot_id", 1)], options={"sparse": True}),
    Index("tasks", "evicted_by", [("evicted_by", 1)], options={"sparse": True}),
]

LEASED = ("queued", "processing")
_MOST_BEGINNING = 20  # tasks whose ids begin alike that are told of
HIDDEN = ("class_key", "due", "ended", "avoid", "lease", "silent", "attempts", "outside_since", "evicted_by")
IDS = ("task_id", "dataset_id", "job_id", "job_index", "task_index")
TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,), "depends": (list,), "requirements": (dict,), "status": (str,), "failures": (int,),
    "evictions": (int,), "walltime": (int, float), "walltime_err": (int, float), "walltime_err_n": (int,),
    "site": (str,), "priority": (int, float), "instance_id": (str,), "pilot_id": (str,), "kind": (str,),
    "status_changed": (str,), "reason": (str,)}
"""Fields of a task that have a type; other fields may be added and hold anything."""


@dataclass(frozen=True)
class NewTask:
    """What a new task is made of; `depends` are task ids."""

    job_index: int
    name: str
    requirements: dict[str, Any] = field(default_factory=dict)
    task_index: int = 0
    depends: tuple[str, ...] = ()
    priority: float = 1.0
    kind: str = kinds.DEFAULT
    status: str = ""  # default: waiting without dependencies, else idle
    task_id: str = ""  # default: a new one


def soon(seconds: float) -> str:
    """The time in so many seconds, as tasks store times."""
    return timestamp(now() + timedelta(seconds=seconds))


def _repaired(ctx: Context, times: int = 1) -> str:
    """When the repair pass has to look at what is stored now, after so many of its periods."""
    seconds = times * ctx.settings.services.repair_seconds
    alarms.ring(ctx, seconds)
    return soon(seconds)


def new_task(dataset_id: str, job_id: str, new: NewTask, key: str = "", moment: str = "") -> Document:
    """A task's document, not yet stored, of a class that is known or found; made at a moment, or now.

    Raises BadRequest for requirements of wrong types.
    """
    status = new.status or ("idle" if new.depends else "waiting")
    return {
        "task_id": new.task_id or new_id(), "dataset_id": dataset_id, "job_id": job_id,
        "task_index": new.task_index, "job_index": new.job_index, "name": new.name,
        "depends": list(new.depends), "requirements": new.requirements, "status": status,
        "status_changed": moment or timestamp(), "failures": 0, "evictions": 0, "walltime": 0.0,
        "walltime_err": 0.0, "walltime_err_n": 0, "site": "", "priority": new.priority, "instance_id": "",
        "kind": new.kind, "class_key": key or checked_class(new.requirements),
    }


def checked_class(requirements: dict[str, Any]) -> str:
    """The class of some requirements. Raises BadRequest when they have wrong types."""
    try:
        check(requirements)
    except RequirementError as error:
        raise BadRequest(str(error)) from None
    return class_key(requirements)


def task_classes_of(tasks: Iterable[Document]) -> set[tuple[str, str]]:
    """The (dataset, class) pairs of some tasks."""
    return {(task["dataset_id"], task["class_key"]) for task in tasks}


async def create_task(ctx: Context, task: Document) -> str:
    """Store one task; its id. Raises BadRequest when the job has a task of that index."""
    await class_table(ctx).register(ctx, task_classes_of([task]))
    if task["status"] == "idle":
        task = {**task, "due": _repaired(ctx)}
    async with totals.making(ctx, task["dataset_id"]) as batch:
        try:
            await ctx.db.tasks.insert_one(dict(task))
        except DuplicateKeyError:
            raise BadRequest("duplicate task_index") from None
        batch.made([task["name"]])
    if task["status"] == "waiting":
        ctx.signals.notify("tasks")
    return str(task["task_id"])


async def create_tasks(ctx: Context, dataset_id: str, specs: Sequence[NewTask],
                       before: Awaitable[None] | None = None) -> list[Document]:
    """Store jobs and tasks that are not there yet; all of them, as stored, in the order of `specs`.

    No task is stored until what comes `before` is done.

    A second call with the same indexes changes nothing, whichever server makes it.
    """
    if not specs:
        return []
    async with totals.making(ctx, dataset_id) as batch:
        return await _create_tasks(ctx, dataset_id, specs, before, batch)


async def _create_tasks(ctx: Context, dataset_id: str, specs: Sequence[NewTask],
                        before: Awaitable[None] | None, batch: totals.Batch) -> list[Document]:
    job_ids = await _create_jobs(ctx, dataset_id, sorted({spec.job_index for spec in specs}), batch)
    classes: dict[int, str] = {}  # many tasks share their requirements
    for spec in specs:
        if id(spec.requirements) not in classes:
            classes[id(spec.requirements)] = checked_class(spec.requirements)
    moment = timestamp()
    documents = [new_task(dataset_id, job_ids[spec.job_index], spec, classes[id(spec.requirements)], moment)
                 for spec in specs]
    for document in documents:
        if document["status"] == "idle":  # what it depends on may be complete before it is stored
            document["due"] = _repaired(ctx)
    await class_table(ctx).register(ctx, task_classes_of(documents))
    encoded = _encoded(documents)
    if before is not None:
        await before
    new = await _insert_new(ctx, "tasks", encoded)
    batch.made([documents[number]["name"] for number in new])
    if any(document["status"] == "waiting" for document in documents):
        ctx.signals.notify("tasks")
    if len(new) == len(documents):
        return documents
    query = {"dataset_id": dataset_id, "job_index": {"$in": sorted(job_ids)}}
    stored = {(task["job_index"], task["task_index"]): task
              async for task in ctx.db.tasks.find(query, {"_id": 0})}
    return [stored[spec.job_index, spec.task_index] for spec in specs]


async def _create_jobs(ctx: Context, dataset_id: str, indexes: list[int],
                       batch: totals.Batch) -> dict[int, str]:
    moment = timestamp()
    wanted = [jobs.new_job(dataset_id, index, moment=moment) for index in indexes]
    new = await _insert_new(ctx, "jobs", _encoded(wanted))
    batch.jobs += len(new)
    if len(new) == len(wanted):
        return {job["job_index"]: job["job_id"] for job in wanted}
    query = {"dataset_id": dataset_id, "job_index": {"$in": indexes}}
    return {job["job_index"]: job["job_id"]
            async for job in ctx.db.jobs.find(query, {"job_index": 1, "job_id": 1})}


def _encoded(documents: Iterable[Document]) -> list[RawBSONDocument]:
    """Documents as they are sent, encoded while the database stores others instead of keeping it waiting."""
    return [RawBSONDocument(encode({"_id": ObjectId(), **document})) for document in documents]


async def _insert_new(ctx: Context, collection: str, documents: list[RawBSONDocument]) -> Collection[int]:
    """Insert what is not there yet, as the unique indexes decide; the numbers of what was inserted."""
    try:
        await ctx.db[collection].insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if not are_duplicates(error):
            raise
        there = {one["index"] for one in error.details["writeErrors"]}
        return [number for number in range(len(documents)) if number not in there]
    return range(len(documents))


# -- reading


def public(task: Document, keys: set[str] | None = None) -> Document:
    """A task as the API shows it."""
    shown = {name: value for name, value in task.items()
             if name not in HIDDEN and name != "_id" and (keys is None or name in keys)}
    if task.get("status") in LEASED and "due" in task and (keys is None or "lease_until" in keys):
        shown["lease_until"] = task["due"]
    return shown


def read_keys(keys: set[str] | None) -> dict[str, int]:
    """What to read of a task so that `public` can show `keys`."""
    if keys is None:
        return {"_id": 0, **{name: 0 for name in HIDDEN if name != "due"}}
    extra = {"due": 1, "status": 1} if "lease_until" in keys else {}
    return {**projection(keys, HIDDEN), **extra}


async def get(ctx: Context, task_id: str, dataset_id: str = "", keys: set[str] | None = None) -> Document:
    """One task as the API shows it, of one dataset when that is given. Raises NotFound."""
    query = {"task_id": task_id} | ({"dataset_id": dataset_id} if dataset_id else {})
    task = await ctx.db.tasks.find_one(query, read_keys(keys))
    if task is None:
        raise NotFound("Task not found")
    return public(task, keys)


async def find(ctx: Context, query: dict[str, Any], keys: set[str] | None = None, *,
               sort: Sequence[tuple[str, int]] = (), limit: int = 0) -> AsyncIterator[Document]:
    """Tasks as the API shows them."""
    cursor = ctx.db.tasks.find(query, read_keys(keys), sort=list(sort) or None, limit=limit)
    async for task in cursor:
        yield public(task, keys)


async def page(ctx: Context, query: dict[str, Any], keys: set[str] | None, after: str,
               limit: int) -> AsyncIterator[Document]:
    """A dataset's tasks in the order of jobs and tasks, those that come after a task of it; 0: all of these.

    Reads on from the key, however many tasks come before. Raises BadRequest for an unknown `after`.
    """
    last = None
    if after:
        here = {"dataset_id": query["dataset_id"], "task_id": after}
        last = await ctx.db.tasks.find_one(here, {"_id": 0, "job_index": 1, "task_index": 1})
        if last is None:
            raise BadRequest("after: the dataset has no such task")
    shown = None if keys is None else {*keys, "job_index", "task_index"}
    seen = last["task_index"] + 1 if last else 0  # of the same job, at most
    wanted = {"$and": [query, {"job_index": {"$gte": last["job_index"]}}]} if last else query
    left = limit
    async for task in find(ctx, wanted, shown, sort=[("job_index", 1), ("task_index", 1)],
                           limit=limit + seen if limit else 0):
        if last and (task["job_index"], task["task_index"]) <= (last["job_index"], last["task_index"]):
            continue
        yield {name: value for name, value in task.items() if keys is None or name in keys}
        left -= 1
        if left == 0:
            return


async def beginning_with(ctx: Context, beginning: str, readable: set[str] | None) -> list[Document]:
    """The first tasks whose ids begin so, of readable datasets (None: of all).

    Raises BadRequest for a beginning that many ids have, or none.
    """
    if not re.fullmatch(r"[0-9A-Za-z-]{4,64}", beginning):
        raise BadRequest("beginning: give 4 to 64 letters, digits and hyphens of the id")
    query: Document = {"task_id": {"$gte": beginning, "$lt": beginning + "\U0010ffff"}}
    if readable is not None:
        query["dataset_id"] = {"$in": sorted(readable)}
    fields = {"_id": 0, **dict.fromkeys((*IDS, "name", "status"), 1)}
    found = ctx.db.tasks.find(query, fields, sort=[("task_id", 1)], limit=_MOST_BEGINNING)
    return [task async for task in found]


async def summaries(ctx: Context, dataset_id: str) -> AsyncIterator[tuple[str, str]]:
    """The status and id of each of a dataset's tasks, in the order of the states."""
    for state in await counting.of_dataset(ctx, dataset_id):
        query = {"dataset_id": dataset_id, "status": state}
        async for task in ctx.db.tasks.find(query, {"_id": 0, "task_id": 1}):
            yield state, task["task_id"]


# -- changing one task by hand


def check_patch(task: Document, fields: Document) -> None:
    """Raise BadRequest when fields of a PATCH cannot be merged into a task."""
    for name, value in fields.items():
        if name in HIDDEN or name == "lease_until":
            raise BadRequest(f"{name} cannot be changed")
        if name in IDS and value != task.get(name):
            raise BadRequest(f"{name} cannot be changed")
        kinds_of_value = TYPES.get(name)
        if kinds_of_value and (isinstance(value, bool) or not isinstance(value, kinds_of_value)):
            raise BadRequest(f"key {name} should be of type {kinds_of_value[-1].__name__}")
    if not all(isinstance(other, str) for other in fields.get("depends", ())):
        raise BadRequest("key depends should be a list of str")
    if "status" in fields and not TASK.knows(fields["status"]):
        raise BadRequest("Bad status")


async def patch(ctx: Context, task_id: str, fields: Document) -> tuple[Document, Document]:
    """Merge fields into a task, whatever its status; it before and after. Raises BadRequest, NotFound."""
    before = await ctx.db.tasks.find_one({"task_id": task_id}, {"_id": 0})
    if before is None:
        raise NotFound("Task not found")
    check_patch(before, fields)
    if fields.get("name", before["name"]) == before["name"]:
        return before, await _patch(ctx, before, fields)
    async with totals.making(ctx, before["dataset_id"]) as batch:  # there is one less of its name
        batch.doubt = True
        return before, await _patch(ctx, before, fields)


async def _patch(ctx: Context, before: Document, fields: Document) -> Document:
    """The task afterwards."""
    task_id = before["task_id"]
    changes, removed = dict(fields), {}
    if "requirements" in fields:
        changes["class_key"] = checked_class(fields["requirements"])
        await class_table(ctx).register(ctx, [(before["dataset_id"], changes["class_key"])])
    elif "status" in fields and before["class_key"] == PARKED:  # somebody wants it not to wait
        changes["class_key"] = checked_class(before["requirements"])
    if "status" in fields:
        changes["status_changed"] = timestamp()
        if fields["status"] != before["status"]:
            removed = {"due": "", **({} if "pilot_id" in fields else {"pilot_id": ""})}
            await class_table(ctx).register(ctx, task_classes_of([{**before, **changes}]))
    if fields.get("status") == "idle":
        changes["due"] = _repaired(ctx, 2)
        removed.pop("due", None)
    update: Document = {"$set": changes} | ({"$unset": removed} if removed else {})
    after = await ctx.db.tasks.find_one_and_update({"task_id": task_id}, update, {"_id": 0},
                                                   return_document=ReturnDocument.AFTER)
    if after is None:
        raise NotFound("Task not found")
    if after["status"] == "waiting":
        ctx.signals.notify("tasks")
    return after
