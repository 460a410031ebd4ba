"""What the batch system says of a pilot's end becomes its tasks' end."""

from __future__ import annotations

import pytest

from server.production.leases import ends, leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.sites import pilot_ends, pilots
from server.rest.context import Context
from tests.unit.production.conftest import Maker

HELD = "held (34/102): Error from slot1@w: Docker job has gone over memory limit of 4250 Mb"


async def _pilot(ctx: Context) -> str:
    return await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}})


@pytest.mark.parametrize("says_goodbye", [False, True])
async def test_memory_grows_to_the_cap_and_then_the_task_fails(ctx: Context, make: Maker,
                                                               says_goodbye: bool) -> None:
    made = await make.task(requirements={"cpu": 1, "memory": 4.0})
    asked = []
    for _ in range(20):
        task = await make.read(made["task_id"])
        if task["status"] != "waiting":
            break
        asked.append(task["requirements"]["memory"])
        pilot = await _pilot(ctx)
        [got] = await leases.claim(ctx, Claim({"cpu": 1, "memory": 500.0}, pilot_id=pilot))
        if says_goodbye:
            await ends.evict(ctx, got["task_id"], Report(got["instance_id"], reason="the pilot ends"))
            await pilots.remove(ctx, pilot)
        for _ in range(2):  # told twice, it counts once
            await pilot_ends.ended(ctx, pilot, "memory", HELD)
    task = await make.read(made["task_id"])
    assert asked == [round(min(128.0, 4.0 * 1.5**n), 6) for n in range(len(asked))]
    assert len(asked) == 9
    assert (task["status"], task["verdict"]["rule"]) == ("failed", "memory")
    assert task["attempts"][-1]["by"] == "the batch system"
    assert "Docker job has gone over" in task["attempts"][-1]["reason"]


async def test_who_used_little_is_not_to_blame(ctx: Context, make: Maker) -> None:
    for _ in range(2):
        await make.task(requirements={"cpu": 1, "memory": 4.0})
    pilot = await _pilot(ctx)
    got = await leases.claim(ctx, Claim({"cpu": 1, "memory": 4.0}, num=2, pilot_id=pilot))
    for task, memory in zip(got, (4.2, 0.3), strict=True):
        report = Report(task["instance_id"], reason="the pilot ends", resources={"memory": memory})
        await ends.evict(ctx, task["task_id"], report)
    await pilot_ends.ended(ctx, pilot, "memory", HELD)
    assert [(await make.read(task["task_id"]))["requirements"]["memory"] for task in got] == [6.0, 4.0]


async def test_an_eviction_is_nobodys_failure_but_says_why(ctx: Context, make: Maker) -> None:
    made = await make.task()
    pilot = await _pilot(ctx)
    await leases.claim(ctx, Claim({"cpu": 1, "memory": 4.0}, pilot_id=pilot))
    await pilot_ends.ended(ctx, pilot, "evicted", "the machine was wanted by its owner")
    task = await make.read(made["task_id"])
    assert (task["status"], task["failures"], task["evictions"]) == ("waiting", 0, 1)
    assert task["reason"] == "its pilot ended (evicted): the machine was wanted by its owner"


async def test_removed_by_a_policy_for_disk(ctx: Context, make: Maker) -> None:
    made = await make.task(requirements={"cpu": 1, "disk": 2.0})
    pilot = await _pilot(ctx)
    await leases.claim(ctx, Claim({"cpu": 1, "disk": 4.0}, pilot_id=pilot))
    await pilot_ends.ended(ctx, pilot, "removed", "removed: SYSTEM_PERIODIC_REMOVE: disk usage exceeded")
    assert (await make.read(made["task_id"]))["requirements"]["disk"] == 3.0


async def test_what_others_took_meanwhile_is_left_alone(ctx: Context, make: Maker) -> None:
    made = await make.task()
    pilot = await _pilot(ctx)
    await leases.claim(ctx, Claim({"cpu": 1, "memory": 4.0}, pilot_id=pilot))
    await pilots.remove(ctx, pilot)
    await leases.claim(ctx, Claim({"cpu": 1, "memory": 4.0}, pilot_id=await _pilot(ctx)))
    before = await make.read(made["task_id"])
    assert await pilot_ends.ended(ctx, pilot, "memory", HELD) == 0
    assert await make.read(made["task_id"]) == before
