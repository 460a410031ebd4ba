"""A program that migrates a database in small batches, for tests that kill it: ``URL NAME``.

It says a line for every batch. Each document remembers how often it was changed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Database, Services, Settings
from server.rest.context import Context
from server.services.migrations import Migration, in_batches, migrate
from server.store.database import connect

__all__ = ["STEPS", "context"]

_pause = 0.0  # seconds after a batch


async def _double(db: AsyncDatabase) -> None:
    """Turn `old` into `new`, which is twice as much."""
    async def change(ids: list[Any]) -> None:
        todo = {"_id": {"$in": ids}, "old": {"$exists": True}}
        await db.things.update_many(todo, [{"$set": {"new": {"$multiply": ["$old", 2]},
                                                     "times": {"$add": ["$times", 1]}}},
                                           {"$unset": "old"}])
        print("batch", flush=True)
        await asyncio.sleep(_pause)

    await in_batches(db.things, {"old": {"$exists": True}}, change, 50)


async def _sum(db: AsyncDatabase) -> None:
    """Needs all of the step before."""
    total = sum([thing["new"] async for thing in db.things.find({}, {"new": 1})])
    await db.sums.update_one({"_id": "sum"}, {"$set": {"sum": total}}, upsert=True)


async def _nothing(db: AsyncDatabase) -> None:
    """The first version."""


STEPS = (Migration(1, "begin", _nothing), Migration(2, "double", _double), Migration(3, "sum", _sum))


def context(url: str, name: str) -> Context:
    """A server's context whose leases end soon after a crash."""
    settings = msgspec.structs.replace(Settings(), services=Services(leader_seconds=1.0))
    return Context(settings, connect(Database(url=url, name=name)), "s" * 48)


async def _main(url: str, name: str) -> None:
    ctx = context(url, name)
    print(await migrate(ctx, STEPS))
    await ctx.db.client.close()


if __name__ == "__main__":
    _pause = 0.1  # it is not done before it is killed, however busy the machine is
    asyncio.run(_main(*sys.argv[1:]))
