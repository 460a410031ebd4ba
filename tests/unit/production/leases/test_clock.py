"""A server whose clock steps: leases end too early or too late, and no end counts twice for that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iceprod import ids
from server.common.errors import NotFound
from server.production import repair
from server.production.leases import ends, leases
from server.production.leases.leases import Claim
from server.production.sites import beats, pilots
from server.rest.context import Context
from tests.unit.production.conftest import Maker, long_up


class Clock(datetime):
    """The time, with a step."""

    step = timedelta(0)

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return datetime.now(UTC) + cls.step


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(ids, "datetime", Clock)
    monkeypatch.setattr(Clock, "step", timedelta(0))
    return Clock


async def test_a_step_forward_is_taken_for_an_outage(ctx: Context, make: Maker, clock: type[Clock]) -> None:
    await make.task()
    pilot = await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}})
    [held] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
    clock.step = timedelta(hours=1)
    assert await repair.sweep_leases(ctx) == 0
    answer = await beats.beat(ctx, pilot, {held["task_id"]: held["instance_id"]}, {})
    assert answer["stop"] == []


async def test_a_step_forward_takes_tasks_of_silent_pilots_and_they_hear_it(ctx: Context, make: Maker,
                                                                       clock: type[Clock]) -> None:
    await make.task()
    pilot = await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}})
    [old] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
    clock.step = timedelta(hours=1)
    await long_up(ctx.db)
    assert await repair.sweep_leases(ctx) == 1
    [new] = await leases.claim(ctx, Claim({}, pilot_id="other"))
    answer = await beats.beat(ctx, pilot, {old["task_id"]: old["instance_id"]}, {})
    assert answer["stop"] == [old["task_id"]]
    with pytest.raises(NotFound):
        await ends.complete(ctx, old["task_id"], old["instance_id"])
    await ends.complete(ctx, new["task_id"], new["instance_id"])
    task = await make.read(new["task_id"])
    assert (task["status"], task["evictions"], task["failures"]) == ("complete", 1, 0)


async def test_a_step_back_keeps_leases_longer_and_heartbeats_put_them_right(ctx: Context, make: Maker,
                                                                             clock: type[Clock]) -> None:
    await make.task()
    pilot = await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}})
    [held] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
    clock.step = timedelta(hours=-1)
    await long_up(ctx.db)
    assert await repair.sweep_leases(ctx) == 0
    await beats.beat(ctx, pilot, {held["task_id"]: held["instance_id"]}, {})
    clock.step = timedelta(hours=-1, seconds=leases.LONGER * ctx.settings.leases.seconds + 1)
    await long_up(ctx.db)
    assert await repair.sweep_leases(ctx) == 1, "the heartbeat's lease is by the new clock"
    [again] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
    await ends.complete(ctx, again["task_id"], again["instance_id"])
    assert (await make.read(again["task_id"]))["status"] == "complete"


async def test_follow_ups_cut_short_before_a_step_back_are_not_lost(ctx: Context, make: Maker,
                                                                    clock: type[Clock]) -> None:
    first = await make.task()
    second = await make.task(depends=(first["task_id"],))
    await ctx.db.tasks.update_one({"task_id": first["task_id"]},
                                  {"$set": {"status": "complete", "due": ids.timestamp()}})
    clock.step = timedelta(minutes=-30)
    await repair.sweep_tasks(ctx)
    assert (await make.read(second["task_id"]))["status"] == "idle", "later, by this clock"
    clock.step = timedelta(seconds=5)
    await repair.sweep_tasks(ctx)
    assert (await make.read(second["task_id"]))["status"] == "waiting"
