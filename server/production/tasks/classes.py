"""The table of requirement classes: which kinds of work there are, without looking at any task.

A row says that a dataset has, or recently had, tasks of a class. A claim reads the rows (kept in memory for a
moment), not the tasks; a row too many costs one empty look into an index, and the repair pass removes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from weakref import WeakKeyDictionary

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import now, timestamp
from iceprod.requirements import Fit, class_fit
from server.common.fresh import Fresh
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "PARKED", "ClassTable", "class_table", "prune"]

INDEXES = [Index("task_classes", "dataset", [("dataset_id", 1)])]

FRESH_SECONDS = 2.0  # how long the table is believed without looking again, unless it is told that it grew
GREW = "classes"
PRUNE_MINUTES = 10
ALIVE = ["idle", "waiting", "queued", "processing", "reset", "suspended", "failed"]
PARKED = "parked"  # the class of waiting tasks that no claim may see: never in the table
REGISTERED_SECONDS = 60.0  # how long a row that we wrote is taken to be still there


def row_id(dataset_id: str, key: str) -> str:
    return f"{dataset_id} {key}"


@dataclass
class ClassTable:
    """One process's copy of the table."""

    read: Fresh = field(default_factory=lambda: Fresh(GREW, FRESH_SECONDS))
    datasets: dict[str, set[str]] = field(default_factory=dict)  # by class
    registered: dict[str, float] = field(default_factory=dict)  # rows that we wrote, and when

    async def look(self, ctx: Context) -> None:
        """Read the table, unless the copy is fresh."""
        if not self.read.holds(ctx.signals):
            await self.refresh(ctx)

    async def refresh(self, ctx: Context) -> None:
        datasets: dict[str, set[str]] = {}
        with self.read.reading(ctx.signals):
            async for row in ctx.db.task_classes.find({}, {"class_key": 1, "dataset_id": 1}):
                datasets.setdefault(row["class_key"], set()).add(row["dataset_id"])
        self.datasets = datasets

    async def register(self, ctx: Context, pairs: Iterable[tuple[str, str]]) -> None:
        """Make sure that (dataset, class) pairs are in the table, before their tasks can be claimed."""
        moment = time.monotonic()
        new = {pair for pair in pairs if pair[1] != PARKED
               and moment - self.registered.get(row_id(*pair), -1e9) > REGISTERED_SECONDS}
        if not new:
            return
        await ctx.db.task_classes.bulk_write(
            [
                UpdateOne(
                    {"_id": row_id(dataset_id, key)},
                    {"$set": {"dataset_id": dataset_id, "class_key": key, "used": timestamp()}},
                    upsert=True,
                )
                for dataset_id, key in sorted(new)
            ],
            ordered=False,
        )
        ctx.signals.tell(GREW)
        if len(self.registered) > 100_000:
            self.registered.clear()
        for dataset_id, key in new:
            self.registered[row_id(dataset_id, key)] = moment
            self.datasets.setdefault(key, set()).add(dataset_id)

    async def fitting(self, ctx: Context, offer: dict[str, object]) -> dict[str, Fit]:
        """The classes of which some or all tasks fit the offer."""
        await self.look(ctx)
        fits = {key: class_fit(key, offer) for key in self.datasets}
        return {key: fit for key, fit in fits.items() if fit is not Fit.NONE}

    def forget(self, row: str) -> None:
        self.registered.pop(row, None)


_tables: WeakKeyDictionary[AsyncDatabase, ClassTable] = WeakKeyDictionary()


def class_table(ctx: Context) -> ClassTable:
    """This process's copy of the table of the context's database."""
    return _tables.setdefault(ctx.db, ClassTable())


async def prune(ctx: Context) -> int:
    """Take rows out of the table whose dataset has no task of that class left that may run; how many."""
    removed = 0
    for row in await ctx.db.task_classes.find({}).to_list():
        if row["used"] < timestamp(now() - timedelta(minutes=PRUNE_MINUTES)) and not await _has_tasks(
            ctx, row
        ):
            await ctx.db.task_classes.delete_one({"_id": row["_id"], "used": row["used"]})
            class_table(ctx).forget(row["_id"])
            removed += 1
            if await _has_tasks(ctx, row):  # made just now, by a process that took the row to be there
                await class_table(ctx).register(ctx, [(row["dataset_id"], row["class_key"])])
    return removed


async def _has_tasks(ctx: Context, row: dict[str, str]) -> bool:
    query = {"dataset_id": row["dataset_id"], "class_key": row["class_key"], "status": {"$in": ALIVE}}
    return await ctx.db.tasks.find_one(query, {"_id": 1}) is not None
