"""Datasets: what a submitter asked for, how many jobs it makes, and how it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from iceprod.ids import new_id, timestamp
from iceprod.states import DATASET
from iceprod.tracing import traces
from server.common.errors import BadRequest, NotFound
from server.production.common import access
from server.production.common.documents import TOGETHER, Document, projection
from server.production.datasets.room import check_room
from server.rest.context import Context
from server.rest.hearing import listen
from server.store.database import Index

__all__ = ["INDEXES", "NewDataset", "announce", "announced", "change", "changes",
           "create_dataset", "find", "get", "hard_reset", "moved", "next_number", "set_jobs_submitted",
           "set_status", "summaries", "truncate"]

INDEXES = [
    Index("datasets", "dataset_id", [("dataset_id", 1)], unique=True),
    Index("datasets", "status", [("status", 1)]),
    Index("datasets", "stopped", [("stopped", 1)], options={"sparse": True}),
    Index("datasets", "dataset", [("dataset", 1)]),
    Index("datasets", "status_dataset", [("status", 1), ("dataset", 1)]),
    Index("datasets", "username", [("username", 1)]),
    Index("datasets", "group", [("group", 1)]),
    Index("auths", "dataset_id", [("dataset_id", 1)], unique=True),
    Index("auths", "read_groups", [("read_groups", 1)]),
    Index("auths", "read_users", [("read_users", 1)]),
]

CHANGED = "dataset"  # what other servers are told
HIDDEN = ("stopped", "ended", "unlogged", "traceparent", "tracestate")
MISMATCH = '"tasks_per_job" does not match "tasks_submitted"/"jobs_submitted"'


@dataclass(frozen=True)
class NewDataset:
    """What a new dataset is made of."""

    description: str
    group: str
    jobs_submitted: int
    tasks_submitted: int
    tasks_per_job: int
    priority: float = 0.5
    debug: bool = False
    jobs_immutable: bool = False
    always_active: bool = False
    status: str = DATASET.start
    username: str = ""
    auth_groups_read: tuple[str, ...] = ("users",)


def check_counts(new: NewDataset) -> None:
    """Raise BadRequest unless the three counts are possible and agree."""
    for name in ("jobs_submitted", "tasks_submitted"):
        if not 0 <= getattr(new, name) < 1 << 53:
            raise BadRequest(f'"{name}" must be >= 0')
    if new.tasks_per_job <= 0 and new.tasks_submitted == 0:
        raise BadRequest('"tasks_per_job" must be > 0')
    if new.tasks_submitted and new.tasks_submitted != new.tasks_per_job * new.jobs_submitted:
        raise BadRequest(MISMATCH)


async def next_number(ctx: Context, name: str) -> int:
    """The next value of a counter that all servers share, from 1."""
    for _ in range(3):
        try:
            counter: Document | None = await ctx.db.counters.find_one_and_update(
                {"_id": name}, {"$inc": {"value": 1}}, upsert=True, return_document=ReturnDocument.AFTER)
        except DuplicateKeyError:  # two servers made the counter at the same time
            continue
        return int((counter or {})["value"])
    raise RuntimeError(f"the counter {name!r} cannot be created")


async def create_dataset(ctx: Context, new: NewDataset, dataset_id: str = "") -> str:
    """Store a dataset and who may use it; its id. With a `dataset_id`, a second call changes nothing.

    Its tasks belong to the trace that it is made in. Raises BadRequest when the counts do not agree or the
    status is unknown, InsufficientStorage.
    """
    check_counts(new)
    if new.status != "truncated" and not DATASET.knows(new.status):
        raise BadRequest("unknown status")
    if dataset_id and await ctx.db.datasets.find_one({"dataset_id": dataset_id}, {"_id": 1}):
        return dataset_id
    await check_room(ctx, new.tasks_submitted)
    dataset_id = dataset_id or new_id()
    document: Document = {
        "dataset_id": dataset_id, "dataset": await next_number(ctx, "dataset"),
        "description": new.description, "group": new.group, "jobs_submitted": new.jobs_submitted,
        "tasks_submitted": new.tasks_submitted, "tasks_per_job": new.tasks_per_job, "priority": new.priority,
        "debug": new.debug, "jobs_immutable": new.jobs_immutable, "always_active": new.always_active,
        "status": "processing" if new.status == "truncated" else new.status,
        "truncated": new.status == "truncated", "start_date": timestamp(), "username": new.username,
        **(trace.document() if (trace := traces.current.get()) else {}),
    }
    rules = access.default_rules(new.group, new.username, new.auth_groups_read)
    await access.store_rules(ctx, dataset_id, rules)
    await ctx.db.datasets.update_one({"dataset_id": dataset_id}, {"$setOnInsert": document}, upsert=True)
    return dataset_id


async def get(ctx: Context, dataset_id: str, keys: set[str] | None = None) -> Document:
    """One dataset. Raises NotFound."""
    document = await ctx.db.datasets.find_one({"dataset_id": dataset_id}, projection(keys, HIDDEN))
    if document is None:
        raise NotFound("Dataset not found")
    return document


async def find(ctx: Context, query: dict[str, Any], keys: set[str] | None = None) -> AsyncIterator[Document]:
    async for document in ctx.db.datasets.find(query, projection(keys, HIDDEN), batch_size=TOGETHER):
        yield document


async def summaries(ctx: Context, readable: set[str] | None) -> dict[str, list[str]]:
    """Ids of datasets by status, in the order of the states."""
    groups: dict[str, list[str]] = {state: [] for state in DATASET.states}
    async for document in ctx.db.datasets.find({}, {"dataset_id": 1, "status": 1}):
        if readable is None or document["dataset_id"] in readable:
            groups.setdefault(document["status"], []).append(document["dataset_id"])
    return {state: ids for state, ids in groups.items() if ids}


async def change(ctx: Context, dataset_id: str, fields: dict[str, Any]) -> None:
    """Set fields of a dataset. Raises NotFound."""
    result = await ctx.db.datasets.update_one({"dataset_id": dataset_id}, {"$set": fields})
    if not result.matched_count:
        raise NotFound("Dataset not found")
    _count_change(ctx, dataset_id)


async def set_status(ctx: Context, dataset_id: str, status: str) -> Document:
    """Move a dataset to another status; as it was before. Raises BadRequest for an illegal move, NotFound."""
    if status == "truncated":
        return await truncate(ctx, dataset_id)
    sources = [*DATASET.sources(status), status]
    before = await ctx.db.datasets.find_one_and_update(
        {"dataset_id": dataset_id, "status": {"$in": sources}}, {"$set": moved(status)}, {"_id": 0})
    if before is None:
        await get(ctx, dataset_id)
        raise BadRequest("Bad state transition for status")
    announce(ctx, dataset_id)
    return before


def moved(status: str) -> Document:
    """What is set when a dataset gets a status.

    One that stops is marked, for its tasks have to stop too; an end is marked, for somebody may want to hear.
    """
    return {"status": status, **({"stopped": True} if status in ("suspended", "errors") else {}),
            **({"ended": timestamp(), "unlogged": True} if status in ("complete", "errors") else {})}


async def hard_reset(ctx: Context, dataset_id: str) -> None:
    """Make a dataset processing again, whatever it is now. Raises NotFound."""
    await change(ctx, dataset_id, {"status": "processing"})
    announce(ctx, dataset_id)


async def truncate(ctx: Context, dataset_id: str) -> Document:
    """Make no more jobs of a dataset. Raises BadRequest for a complete one, NotFound."""
    before = await ctx.db.datasets.find_one_and_update(
        {"dataset_id": dataset_id, "status": {"$ne": "complete"}}, {"$set": {"truncated": True}}, {"_id": 0})
    if before is None:
        await get(ctx, dataset_id)
        raise BadRequest("Cannot truncate complete dataset")
    announce(ctx, dataset_id)
    return before


async def set_jobs_submitted(ctx: Context, dataset_id: str, jobs: int) -> None:
    """Enlarge a dataset. Raises BadRequest when it may not grow or would shrink, NotFound,
    InsufficientStorage."""
    if not 0 <= jobs < 1 << 53:
        raise BadRequest("jobs_submitted is not an int")
    dataset = await get(ctx, dataset_id)
    if dataset.get("jobs_immutable"):
        raise BadRequest("jobs_submitted is immutable")
    if dataset.get("tasks_per_job", 0) <= 0:
        raise BadRequest("tasks_per_job not valid")
    await check_room(ctx, (jobs - dataset["jobs_submitted"]) * dataset["tasks_per_job"])
    result = await ctx.db.datasets.update_one(
        {"dataset_id": dataset_id, "jobs_submitted": {"$lte": jobs}},
        {"$set": {"jobs_submitted": jobs, "tasks_submitted": jobs * dataset["tasks_per_job"]}})
    if not result.matched_count:
        raise BadRequest("jobs_submitted must be larger than before")
    announce(ctx, dataset_id)


_asked: WeakKeyDictionary[AsyncDatabase, set[str]] = WeakKeyDictionary()
_changes: WeakKeyDictionary[AsyncDatabase, Counter[str]] = WeakKeyDictionary()


def changes(ctx: Context, dataset_id: str) -> int:
    """How often a dataset or its configuration changed, as far as is known: what was read before is old."""
    return _changes.setdefault(ctx.db, Counter())[dataset_id]


def _count_change(ctx: Context, dataset_id: str) -> None:
    _hear_change(ctx, dataset_id)
    ctx.signals.tell(CHANGED, dataset_id)


def _hear_change(ctx: Context, dataset_id: str) -> None:
    _changes.setdefault(ctx.db, Counter())[dataset_id] += 1


listen(CHANGED, _hear_change)


def announce(ctx: Context, dataset_id: str) -> None:
    """Let the services of this process look at a dataset soon: it changed, or needs jobs."""
    _asked.setdefault(ctx.db, set()).add(dataset_id)
    _count_change(ctx, dataset_id)
    ctx.signals.notify("datasets")


def announced(ctx: Context) -> set[str]:
    """The datasets announced since the last call."""
    return _asked.pop(ctx.db, set())
