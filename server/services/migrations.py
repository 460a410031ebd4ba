"""The database's version, and the steps that bring an older database to the present one.

A step may be stopped at any point, also by a kill, and then runs again from its beginning at the next
start: it must look for what is not changed yet, and change that. Steps run in their order, before the server
answers, under a lease: of several servers that start together one works and the others wait for it.

Two versions of the program may serve side by side while servers are replaced one after the other. A step
says which is the oldest program that works with the database afterwards; the database remembers that. A
server of a newer program does not begin a step that excludes a server which lives: it waits until that is
stopped. A program that the database excludes does not start, and one that was cut off meanwhile stops
(`is_excluded`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.rest.context import Context
from server.rest.health import register_probe
from server.services.leader import hold_lease, release_lease

__all__ = ["MIGRATIONS", "FromTheFuture", "LeaseLost", "Migration", "in_batches", "is_excluded", "migrate",
           "read_version"]

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

    `run` must be repeatable: whatever part of it was done before is found done and left alone. `beside` is
    the oldest program, by the version that it knows, that may work meanwhile; 0: it must know this one.
    """

    version: int
    about: str
    run: Run
    beside: int = 0

    @property
    def oldest(self) -> int:
        return self.beside or self.version


class Schema(NamedTuple):
    """What the database says: its version, and which one a program must know at least that uses it."""

    version: int = 0
    oldest: int = 0


async def _first_version(db: AsyncDatabase) -> None:
    """Databases of before versions were counted have the layout of version 1: there is nothing to change."""


UPGRADE_HOURS = 1.0  # so long servers of the older program may work beside newer ones


async def _totals(db: AsyncDatabase) -> None:
    """Datasets get counters of their tasks; what they should say is counted when the server runs.

    Where there are datasets, an older program may still make tasks for a while, and counts none: until then
    nobody believes a counter (`server/production/datasets/totals.py`).
    """
    if await db.datasets.find_one({}, {"_id": 1}):
        until = now() + timedelta(hours=UPGRADE_HOURS)
        await db.meta.update_one({"_id": "totals"}, {"$setOnInsert": {"until": until}}, upsert=True)
    fresh = {"jobs": 0, "whole": 0, "tasks": {}, "open": {}, "version": 0, "proven": "", "doubt": True}
    async for row in db.datasets.find({}, {"dataset_id": 1}):
        await db.task_totals.update_one({"_id": row["dataset_id"]}, {"$setOnInsert": fresh}, upsert=True)


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "count versions", _first_version),
    Migration(2, "count the tasks of datasets", _totals, beside=1),
)
"""All steps. A new one goes to the end, with the next number; one that was released is never changed."""


async def read_version(db: AsyncDatabase) -> int:
    """The database's version; 0 for an empty one and for those of before versions were counted."""
    return (await _read(db)).version


async def _read(db: AsyncDatabase) -> Schema:
    found = await db.meta.find_one({"_id": _ID}, {"version": 1, "oldest": 1}) or {"version": 0}
    return Schema(int(found["version"]), int(found.get("oldest", found["version"])))


async def is_excluded(db: AsyncDatabase, known: int = MIGRATIONS[-1].version) -> bool:
    """Whether a newer program changed the database so that a program which knows `known` must not use it."""
    return (await _read(db)).oldest > known


async def probe(ctx: Context) -> dict[str, Any]:
    """For `/healthz`: the database's version, and the one that this program knows."""
    return {"version": await read_version(ctx.db), "known": MIGRATIONS[-1].version}


register_probe("schema", probe)


async def migrate(ctx: Context, migrations: Sequence[Migration] = MIGRATIONS,
                  say: Callable[[str], None] = log.warning) -> int:
    """Bring the database to the newest version that we know; the version that it has then.

    `say` hears what is waited for, in words. Raises FromTheFuture for a database that a newer program has
    changed so that we do not understand it, and LeaseLost.
    """
    wanted = migrations[-1].version
    while (version := await _checked(ctx, wanted)) < wanted:
        if await hold_lease(ctx, LEASE, ctx.settings.services.leader_seconds):
            await _work(ctx, migrations, say)
        else:
            await asyncio.sleep(LOOK_SECONDS)
    return version


async def _checked(ctx: Context, wanted: int) -> int:
    schema = await _read(ctx.db)
    if schema.oldest > wanted:
        raise FromTheFuture(
            f"the database {ctx.db.name!r} has version {schema.version}, this program knows version {wanted} "
            "and older: it was used by a newer program. Install that one again, or restore a backup of "
            "before the upgrade; nothing was changed")
    return schema.version


async def _work(ctx: Context, migrations: Sequence[Migration], say: Callable[[str], None]) -> None:
    """Run the steps that are missing, and keep the lease meanwhile."""
    steps = asyncio.create_task(_steps(ctx, migrations, say))
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


async def _steps(ctx: Context, migrations: Sequence[Migration], say: Callable[[str], None]) -> None:
    version = await read_version(ctx.db)
    for step in migrations:
        if step.version > version:
            await _exclude(ctx, step, say)
            log.info("migrating", extra={"action": "migrate", "version": step.version, "step": step.about})
            await step.run(ctx.db)
            await _set_version(ctx.db, step)


async def _exclude(ctx: Context, step: Migration, say: Callable[[str], None]) -> None:
    """Wait until no server lives that would not understand the step, and keep those from starting.

    One that started at this very moment finds itself excluded, or is found at the second look.
    """
    await _until_stopped(ctx, step, say)
    await ctx.db.meta.update_one({"_id": _ID}, {"$max": {"oldest": step.oldest}})
    await _until_stopped(ctx, step, say)


async def _until_stopped(ctx: Context, step: Migration, say: Callable[[str], None]) -> None:
    told: list[str] = []
    while places := await _living(ctx, step.oldest):
        if places != told:
            told = places
            say(f"before the step {step.about!r} of the database: waiting until servers of an older program "
                f"are stopped, which would not understand it: {', '.join(told)}")
        await asyncio.sleep(LOOK_SECONDS)


async def _living(ctx: Context, oldest: int) -> list[str]:
    """Where servers live that know less than the version `oldest`; their rows say which they know."""
    alive = {"until": {"$gt": now()}, "schema": {"$lt": oldest}}
    rows = ctx.db.servers.find(alive, {"machine": 1, "process": 1}).sort("_id", 1).limit(20)
    return [f"process {row['process']} on {row['machine']}" async for row in rows]


async def _keep_lease(ctx: Context) -> None:
    while True:
        await asyncio.sleep(ctx.settings.services.leader_seconds / 3)
        if not await hold_lease(ctx, LEASE, ctx.settings.services.leader_seconds):
            raise LeaseLost("another server took the migration over; start this one again when it is done")


async def _set_version(db: AsyncDatabase, step: Migration) -> None:
    """Note that a step is done. It never takes the version back, also if two servers work at once."""
    older = {"_id": _ID, "version": {"$lt": step.version}}
    change = {"$set": {"version": step.version, "since": now()}, "$max": {"oldest": step.oldest}}
    try:
        await db.meta.find_one_and_update(older, change, upsert=True, return_document=ReturnDocument.AFTER)
    except DuplicateKeyError:
        log.info("another server was faster", extra={"action": "migrate", "version": step.version})


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

