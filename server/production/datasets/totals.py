"""How many jobs and tasks were made of each dataset: counters, which a recount proves.

A document of `task_totals` has
    _id      the dataset
    jobs     how many it has
    tasks    how many tasks it has of each name (in hexadecimal: names may hold any character)
    whole    how many tasks it has
    open     batches that are being made: their ids, and since when
    doubt    true when the numbers may be wrong: nobody uses them, and a recount is due
    version  changes with every batch, so that a recount sees whether it was alone
    proven   when a recount last came to these numbers

A batch is marked before its first job or task is written, and counted after the last. So numbers are right
whenever no batch is open; one whose process died stays open, until the recount clears it.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from iceprod.ids import new_id, now, timestamp
from server.production.common.documents import Document
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "Batch", "Totals", "making", "prove", "recount", "totals", "whole"]

log = logging.getLogger("server.totals")

INDEXES = [
    Index("task_totals", "doubt", [("doubt", 1)], options={"sparse": True}),
    Index("task_totals", "open", [("open", 1)]),  # of few: those that batches are being made of
    Index("task_totals", "proven", [("proven", 1)]),
]

LONGEST_BATCH = timedelta(minutes=10)  # one that is open for longer is taken for its process's death
PROVEN_FOR = timedelta(days=1)
AFTER_UPGRADE = timedelta(minutes=5)  # until the service has surely marked what it must count
_UPGRADE = "totals"  # of `meta`: until when servers of an older program may work (a step of migrations)
FRESH: Document = {"jobs": 0, "whole": 0, "tasks": {}, "open": {}, "version": 0, "proven": ""}
AT_ONCE = 20  # recounts of one run of the service; a large one takes a second


@dataclass(frozen=True)
class Totals:
    """How many jobs a dataset has, and how many tasks of each name."""

    jobs: int
    tasks: dict[str, int]


@dataclass
class Batch:
    """What is added to a dataset; `doubt` when nobody knows how much that is."""

    jobs: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    doubt: bool = False

    def made(self, names: list[str]) -> None:
        """Tasks of these names were stored."""
        self.tasks.update(names)


@contextlib.asynccontextmanager
async def making(ctx: Context, dataset_id: str) -> AsyncIterator[Batch]:
    """Whoever adds jobs or tasks to a dataset, or takes some away, does so within this and says how many.

    Costs two commands, however large the batch. When the block raises, the numbers are in doubt.
    """
    batch, batch_id = Batch(), new_id()
    await _begin(ctx, dataset_id, batch_id)
    try:
        yield batch
    except BaseException:
        batch.doubt = True
        raise
    finally:
        await _end(ctx, dataset_id, batch_id, batch)


async def _begin(ctx: Context, dataset_id: str, batch_id: str) -> None:
    mark = {"$set": {f"open.{batch_id}": timestamp()}, "$inc": {"version": 1}}
    of_it = {"_id": dataset_id}
    if (await ctx.db.task_totals.update_one(of_it, mark)).matched_count:
        return
    fresh = dict(FRESH)
    if await ctx.db.tasks.find_one({"dataset_id": dataset_id}, {"_id": 1}) \
            or await ctx.db.jobs.find_one({"dataset_id": dataset_id}, {"_id": 1}):
        fresh["doubt"] = True  # they were made before there were counters
    with contextlib.suppress(DuplicateKeyError):  # another process is at it, too
        await ctx.db.task_totals.insert_one({**of_it, **fresh})
    await ctx.db.task_totals.update_one(of_it, mark)


async def _end(ctx: Context, dataset_id: str, batch_id: str, batch: Batch) -> None:
    added = {f"tasks.{_key(name)}": number for name, number in batch.tasks.items()}
    update: Document = {"$unset": {f"open.{batch_id}": ""},
                        "$inc": {"version": 1, "jobs": batch.jobs, "whole": batch.tasks.total(), **added}}
    if batch.doubt:
        update["$set"] = {"doubt": True}
    mine = {"_id": dataset_id, f"open.{batch_id}": {"$exists": True}}
    if not (await ctx.db.task_totals.update_one(mine, update)).matched_count:  # it was given up: a recount
        await ctx.db.task_totals.update_one(                                   # may have missed what we made
            {"_id": dataset_id}, {"$set": {"doubt": True}, "$inc": {"version": 1}})


def _key(name: str) -> str:
    return name.encode().hex() or "-"


def _name(key: str) -> str:
    return "" if key == "-" else bytes.fromhex(key).decode()


# -- reading


async def totals(ctx: Context, dataset_id: str) -> Totals | None:
    """A dataset's numbers; None while they are not certain."""
    if await _older_may_work(ctx):
        return None
    row = await ctx.db.task_totals.find_one({"_id": dataset_id, "doubt": {"$exists": False}, "open": {}})
    return _read(row) if row else None


def _read(row: Document) -> Totals:
    return Totals(row["jobs"], {_name(key): number for key, number in row["tasks"].items() if number})


async def whole(ctx: Context) -> int:
    """How many tasks there are of all datasets; those whose numbers are not certain are counted now."""
    if await _older_may_work(ctx):
        return int(await ctx.db.tasks.count_documents({}))
    certain = {"doubt": {"$exists": False}, "open": {}}
    rows = await ctx.db.task_totals.aggregate(
        [{"$match": certain}, {"$group": {"_id": None, "n": {"$sum": "$whole"}}}])
    number = sum([row["n"] async for row in rows])
    queries: tuple[Document, ...] = ({"doubt": True}, {"open": {"$ne": {}}})  # each has its index
    uncertain = {row["_id"] for query in queries async for row in ctx.db.task_totals.find(query, {"_id": 1})}
    for dataset_id in sorted(uncertain):
        number += await ctx.db.tasks.count_documents({"dataset_id": dataset_id})
    return int(number)


_until: WeakKeyDictionary[AsyncDatabase, datetime] = WeakKeyDictionary()


async def _older_may_work(ctx: Context) -> bool:
    """Whether servers of a program that counts nothing may still make tasks, after an upgrade; read once."""
    if ctx.db not in _until:
        mark = await ctx.db.meta.find_one({"_id": _UPGRADE})
        _until[ctx.db] = mark["until"] + AFTER_UPGRADE if mark else now()
    return _until[ctx.db] > now()


# -- proving


async def prove(ctx: Context) -> int:
    """Count again what is in doubt, and in turn what was not for a day; how many datasets."""
    if not await _upgraded(ctx):
        return 0
    await _give_up_dead(ctx)
    rows = await ctx.db.task_totals.find({"doubt": True, "open": {}}, {"_id": 1}, limit=AT_ONCE).to_list()
    old = {"proven": {"$lt": timestamp(now() - PROVEN_FOR)}, "open": {}}
    rows += await ctx.db.task_totals.find(old, {"_id": 1}, sort=[("proven", 1)], limit=1).to_list()
    wanted = {row["_id"] for row in rows}
    for dataset_id in sorted(wanted):
        await recount(ctx, dataset_id)
    return len(wanted)


async def _upgraded(ctx: Context) -> bool:
    """Whether the time of an upgrade is over; when it has just ended, every number is in doubt."""
    mark = await ctx.db.meta.find_one({"_id": _UPGRADE})
    if mark is None:
        return True
    if mark["until"] > now():
        return False
    await ctx.db.task_totals.update_many({}, {"$set": {"doubt": True}, "$inc": {"version": 1}})
    await _begin_missing(ctx)
    await ctx.db.meta.delete_one({"_id": _UPGRADE})
    return True


async def _begin_missing(ctx: Context) -> None:
    """Give counters to the datasets that servers of an older program made, unless they are archived."""
    async for row in ctx.db.datasets.find({"archived": {"$ne": True}}, {"dataset_id": 1}):
        await ctx.db.task_totals.update_one(
            {"_id": row["dataset_id"]}, {"$setOnInsert": {**FRESH, "doubt": True}}, upsert=True)


async def _give_up_dead(ctx: Context) -> None:
    """Close the batches of processes that died within them: nobody knows how far they came."""
    dead = timestamp(now() - LONGEST_BATCH)
    async for row in ctx.db.task_totals.find({"open": {"$ne": {}}}, {"open": 1}):
        for batch_id, since in row["open"].items():
            if since < dead:
                await ctx.db.task_totals.update_one({"_id": row["_id"]}, {
                    "$unset": {f"open.{batch_id}": ""}, "$set": {"doubt": True}, "$inc": {"version": 1}})


async def recount(ctx: Context, dataset_id: str) -> bool:
    """Count a dataset's jobs and tasks, and keep the numbers if nobody added any meanwhile; whether so."""
    before = await ctx.db.task_totals.find_one({"_id": dataset_id, "open": {}})
    if before is None:
        return False
    counted = await _count(ctx, dataset_id)
    if counted is None:
        return False
    if "doubt" not in before and counted != _read(before):
        log.warning("a counter was wrong", extra={
            "action": "recount", "dataset_id": dataset_id, "kept": _read(before).tasks,
            "counted": counted.tasks})
    numbers: Document = {"jobs": counted.jobs, "whole": sum(counted.tasks.values()),
                         "tasks": {_key(name): number for name, number in counted.tasks.items()}}
    unchanged = {"_id": dataset_id, "version": before["version"]}
    update = {"$set": {**numbers, "proven": timestamp()}, "$unset": {"doubt": ""}, "$inc": {"version": 1}}
    return bool((await ctx.db.task_totals.update_one(unchanged, update)).matched_count)


async def _count(ctx: Context, dataset_id: str) -> Totals | None:
    """Count from indexes; None when tasks that moved in one of them meanwhile were missed or seen twice."""
    of_it = {"dataset_id": dataset_id}
    stages: list[dict[str, Any]] = [{"$match": of_it}, {"$group": {"_id": "$name", "n": {"$sum": 1}}}]
    names = {row["_id"]: row["n"] async for row in await ctx.db.tasks.aggregate(stages)}
    at_rest = await ctx.db.tasks.count_documents(of_it, hint="dataset_job_task")
    if at_rest != sum(names.values()):
        return None
    return Totals(await ctx.db.jobs.count_documents(of_it), names)
