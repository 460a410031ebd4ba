"""Who leaves something for later has the repair pass look then, once for all."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from config.settings import Leases
from server.production import repair
from server.production.failures import parking
from server.production.leases import ends, leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.tasks import alarms
from server.rest.context import Context
from tests.unit.production.conftest import Maker


async def test_alarms_of_the_same_moment_are_one(ctx: Context) -> None:
    here = replace(ctx, settings=msgspec.structs.replace(ctx.settings, leases=Leases(sweep_seconds=0.05)))
    for _ in range(1000):
        alarms.ring(here, 0.0)
    assert await here.signals.wait(alarms.SIGNAL, 60.0)
    await asyncio.sleep(0.2)
    assert here.signals.count(alarms.SIGNAL) <= 2


async def test_whether_a_look_is_needed(ctx: Context, make: Maker) -> None:
    assert not await repair.anything_due(ctx)
    task = await make.task()
    [held] = await leases.claim(ctx, Claim({"cpu": 8, "memory": 16.0}))
    await ctx.db.tasks.update_one({"task_id": task["task_id"]}, {"$set": {"due": "2000"}})
    assert not await repair.anything_due(ctx), "that is a lease, which others look after"
    await ends.reset(ctx, task["task_id"], Report(held["instance_id"], reason="no luck"))
    await ctx.db.tasks.update_one({"task_id": task["task_id"]}, {"$set": parking.until(-1.0, "a while")})
    assert await repair.anything_due(ctx)
    await repair.sweep_tasks(ctx)
    assert not await repair.anything_due(ctx)
    assert [one["task_id"] for one in await leases.claim(ctx, Claim({"cpu": 8, "memory": 16.0}))]
