"""The database's version, and the steps that bring an older database to the present one.

A step may be stopped at any point, also by a kill, and then runs again from its beginning at the next
start: it must look for what is not changed yet, and change that. Steps run in their order, before the server
answers, under a lease: of several servers that start together one works and the others wait for it. A
database whose version is higher than ours was written by a newer program and is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.rest.context import Context
from server.rest.health import register_probe
from server.services.leader import hold_lease, release_lease

__all__ = ["MIGRATIONS", "FromTheFuture", "LeaseLost", "Migration", "in_batches", "migrate", "read_version"]

log = logging.getLogger("server.migrations")

LEASE = "migration"
LOOK_SECONDS = 0.5
_ID = "schema"

Run = Callable[[AsyncDatabase], Awaitable[None]]


class FromTheFuture(Exception):
    """The database was written by a newer version of the program; the text says what to do."""


class LeaseLost(Exception):
    """Another server took the migration over, because this one did not work for too long."""


@dataclass(frozen=True)
class Migration:
    """A step: the version that the database has afterwards, what it does in words, and the function.

    `run` must be repeatable: whatever part of it was done before is found done and left alone.
    """

    version: int
    about: str
    run: Run


async def _first_version(db: AsyncDatabase) -> None:
    """Databases of before versions were counted have the layout of version 1: there is nothing to change."""


async def _totals(db: AsyncDatabase) -> None:
    """Datasets get counters of their tasks; what they should say is counted when the server runs."""
    fresh = {"jobs": 0, "whole": 0, "tasks": {}, "open": {}, "version": 0, "proven": "", "doubt": True}
    async for row in db.datasets.find({}, {"dataset_id": 1}):
        await db.task_totals.update_one({"_id": row["dataset_id"]}, {"$setOnInsert": fresh}, upsert=True)


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "count versions", _first_version),
    Migration(2, "count the tasks of datasets", _totals),
)
"""All steps. A new one goes to the end, with the next number; one that was released is never changed."""


async def read_version(db: AsyncDatabase) -> int:
    """The database's version; 0 for an empty one and for those of before versions were counted."""
    document = await db.meta.find_one({"_id": _ID}, {"version": 1})
    return int(document["version"]) if document else 0


async def probe(ctx: Context) -> dict[str, Any]:
    """For `/healthz`: the database's version, and the one that this program knows."""
    return {"version": await read_version(ctx.db), "known": MIGRATIONS[-1].version}


register_probe("schema", probe)


async def migrate(ctx: Context, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring the database to the newest version; that version.

    Raises FromTheFuture for a database that is newer than we are, and LeaseLost.
    """
    wanted = migrations[-1].version
    while await _checked(ctx, wanted) < wanted:
        if await hold_lease(ctx, LEASE, ctx.settings.services.leader_seconds):
            await _work(ctx, migrations)
        else:
            await asyncio.sleep(LOOK_SECONDS)
    return wanted


async def _checked(ctx: Context, wanted: int) -> int:
    version = await read_version(ctx.db)
    if version > wanted:
        raise FromTheFuture(
            f"the database {ctx.db.name!r} has version {version}, this program knows version {wanted} and "
            "older: it was used by a newer program. Install that one again, or restore a backup of before "
            "the upgrade; nothing was changed")
    return version


async def _work(ctx: Context, migrations: Sequence[Migration]) -> None:
    """Run the steps that are missing, and keep the lease meanwhile."""
    steps = asyncio.create_task(_steps(ctx, migrations))
    keep = asyncio.create_task(_keep_lease(ctx))
    try:
        await asyncio.wait({steps, keep}, return_when=asyncio.FIRST_COMPLETED)
        if not steps.done():
            keep.result()
    finally:
        for task in (steps, keep):
            task.cancel()
        await asyncio.gather(steps, keep, return_exceptions=True)
    steps.result()
    await release_lease(ctx, LEASE)


async def _steps(ctx: Context, migrations: Sequence[Migration]) -> None:
    version = await read_version(ctx.db)
    for step in migrations:
        if step.version > version:
            log.info("migrating", extra={"action": "migrate", "version": step.version, "step": step.about})
            await step.run(ctx.db)
            await _set_version(ctx.db, step.version)


async def _keep_lease(ctx: Context) -> None:
    while True:
        await asyncio.sleep(ctx.settings.services.leader_seconds / 3)
        if not await hold_lease(ctx, LEASE, ctx.settings.services.leader_seconds):
            raise LeaseLost("another server took the migration over; start this one again when it is done")


async def _set_version(db: AsyncDatabase, version: int) -> None:
    """Note that a step is done. It never takes the version back, also if two servers work at once."""
    older = {"_id": _ID, "version": {"$lt": version}}
    change = {"$set": {"version": version, "since": now()}}
    try:
        await db.meta.find_one_and_update(older, change, upsert=True, return_document=ReturnDocument.AFTER)
    except DuplicateKeyError:
        log.info("another server was faster", extra={"action": "migrate", "version": version})


async def in_batches(collection: AsyncCollection, todo: dict[str, Any],
                     change: Callable[[list[Any]], Awaitable[object]], size: int = 1000) -> int:
    """Give all documents that match `todo` to `change`, in batches, until none matches; how many.

    `change` gets the ids of a batch and must make its documents match no more.
    """
    total = 0
    while batch := await collection.find(todo, {"_id": 1}).limit(size).to_list():
        await change([document["_id"] for document in batch])
        total += len(batch)
    return total

