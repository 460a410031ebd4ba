"""What ends teach: how often places fail, and what tasks really use.

Ends are counted in memory and written together, at most once in a few seconds, so a task costs nothing more.
What a server process that dies had not written yet is lost, which matters to no task: these are statistics.

    place_tallies   ends by place, dataset and ten minutes: {kind, name, dataset_id, slot, good, bad}
    task_usage      the last measurements of each dataset and task name: {memory: […], time: […], …}

What is told of ends over time (`server/production/activity`) is written with them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import now, timestamp
from server.production.activity.ended import Ended
from server.production.activity.slots import COMPLETE, EVICTED
from server.production.common.documents import Document
from server.production.failures.places import Place
from server.production.tasks import kinds
from server.rest.context import Context
from server.store.database import Index

__all__ = ["ALL", "INDEXES", "MEASURED", "WINDOW", "Tallies", "clean", "is_good", "of", "slot_now"]

INDEXES = [
    Index("place_tallies", "place", [("kind", 1), ("name", 1), ("dataset_id", 1)]),
    Index("place_tallies", "slot", [("slot", 1)]),
    Index("task_usage", "dataset", [("dataset_id", 1), ("_id", 1)]),
    Index("task_usage", "updated", [("updated", 1)]),
]

FLUSH_SECONDS = 5.0
WINDOW = timedelta(hours=1)
SLOT_MINUTES = 10
MEASURED = ("cpu", "memory", "disk", "time")
SAMPLES = 200  # of each resource, dataset and task name
ALL = "all"  # the kind of the rows that sum over all places

_Key = tuple[str, str, str, str]  # kind, name, dataset_id, slot


@dataclass
class _Count:
    good: int = 0
    bad: int = 0


@dataclass
class Tallies:
    """What one server process has not written yet."""

    counts: defaultdict[_Key, _Count] = field(default_factory=lambda: defaultdict(_Count))
    usage: defaultdict[tuple[str, str], dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(dict))
    ended: Ended = field(default_factory=Ended)
    suspects: set[tuple[str, str]] = field(default_factory=set)  # places that failed since the last look
    flushed_at: float = field(default_factory=time.monotonic)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write, and nobody to judge."""
        return not (self.counts or self.usage or self.suspects or self.ended.sites)

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self.flushed_at > FLUSH_SECONDS

    def end(self, task: Document, place: Place, good: bool, why: str = COMPLETE) -> None:
        """Count an end at a place; `why` it was a failure."""
        kind = kinds.kind_of(task)
        group = task["dataset_id"] if kind == kinds.DEFAULT else kind
        why = f"{why} (rule)" if not good and why in (COMPLETE, EVICTED) else why
        self.ended.count(why, place.site or task.get("site", ""), place.host, group, time.time())
        slot = slot_now()
        for kind, name in [*place.names(), (ALL, "")] if place.host else []:
            count = self.counts[kind, name, task["dataset_id"], slot]
            count.good += good
            count.bad += not good
        if not good:
            self.suspects.update(place.names())

    def evicted(self, site: str = "", ends: int = 1) -> None:
        """Count ends without a result, which are nobody's failure."""
        for _ in range(ends):
            self.ended.count(EVICTED, site, "", "", time.time())

    def used(self, task: Document, resources: dict[str, Any]) -> None:
        """Remember what a completed task used: cores, GB and hours."""
        rows = self.usage[task["dataset_id"], task["name"]]
        for name in MEASURED:
            value = resources.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
                samples = rows.setdefault(name, [])
                samples.append(round(float(value), 6))
                del samples[:-SAMPLES]

    async def flush(self, ctx: Context) -> None:
        """Write everything."""
        counts, usage = self.counts, self.usage
        self.counts, self.usage = defaultdict(_Count), defaultdict(dict)
        self.flushed_at = time.monotonic()
        await self.ended.flush(ctx)
        if counts:
            await ctx.db.place_tallies.bulk_write([_add(key, count) for key, count in counts.items()],
                                                  ordered=False)
        if usage:
            await ctx.db.task_usage.bulk_write([_push(key, rows) for key, rows in usage.items()],
                                               ordered=False)


def _add(key: _Key, count: _Count) -> UpdateOne:
    kind, name, dataset_id, slot = key
    return UpdateOne({"_id": "|".join(key)},
                     {"$inc": {"good": count.good, "bad": count.bad},
                      "$set": {"kind": kind, "name": name, "dataset_id": dataset_id, "slot": slot}},
                     upsert=True)


def _push(key: tuple[str, str], rows: dict[str, list[float]]) -> UpdateOne:
    dataset_id, name = key
    update: Document = {"$set": {"dataset_id": dataset_id, "name": name, "updated": timestamp()}}
    if rows:
        update["$push"] = {resource: {"$each": samples, "$slice": -SAMPLES}
                           for resource, samples in rows.items()}
    return UpdateOne({"_id": f"{dataset_id} {name}"}, update, upsert=True)


_tallies: WeakKeyDictionary[AsyncDatabase, Tallies] = WeakKeyDictionary()


def of(ctx: Context) -> Tallies:
    """This process's tallies of the context's database."""
    return _tallies.setdefault(ctx.db, Tallies())


async def is_good(ctx: Context, place: Place) -> bool:
    """Whether tasks ended well on a host in the last hour."""
    await of(ctx).flush(ctx)
    good = {"kind": "host", "name": place.host, "good": {"$gt": 0}}
    return await ctx.db.place_tallies.find_one(good, {"_id": 1}) is not None


def slot_now() -> str:
    """The beginning of the present slot of time."""
    moment = now().replace(second=0, microsecond=0)
    return timestamp(moment.replace(minute=moment.minute - moment.minute % SLOT_MINUTES))


async def clean(ctx: Context) -> int:
    """Delete counts that are older than the window, and usage of datasets that are gone for long."""
    await of(ctx).flush(ctx)
    old = await ctx.db.place_tallies.delete_many({"slot": {"$lt": timestamp(now() - WINDOW)}})
    forgotten = {"updated": {"$lt": timestamp(now() - timedelta(days=365))}}
    return old.deleted_count + (await ctx.db.task_usage.delete_many(forgotten)).deleted_count
