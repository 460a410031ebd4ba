"""Outages of the server and its database: whoever worked on finds its leases, and every end counts once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect

from iceprod import ids
from server.common.errors import NotFound
from server.production import repair
from server.production.leases import ends, leases, load, many_ends, outages
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.leases.many_ends import Ended
from server.production.sites import beats, pilots, site_control
from server.rest.context import Context
from tests.unit.production.conftest import Maker, long_up
from tests.unit.production.leases.test_clock import Clock, clock

__all__ = ["clock"]

MOMENT = ids.now()


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6), st.floats(1, 100))
def test_a_gap_begins_anew(up: float, gap: float, longest: float) -> None:
    last = MOMENT - timedelta(seconds=gap)
    before = last - timedelta(seconds=up)
    since = outages.up_since(before, last, MOMENT, longest)
    assert since == (MOMENT if abs((MOMENT - last).total_seconds()) > longest else before)


@given(st.integers(0, 100_000), st.floats(1, 1000))
def test_thousands_of_pilots_say_less_often_that_they_live(number: int, seconds: float) -> None:
    period, lease = load.heartbeat_period(number), load.attended_seconds(number, seconds)
    assert 0 <= period <= lease / 3 + 0.05
    assert lease >= seconds
    assert number < 1000 or 20 <= period <= 60, "a pilot hears within a minute what it lost"
    assert number > 1000 or seconds < 60 or lease == seconds, "as the settings say, but for very many"


async def _pilot(ctx: Context) -> str:
    return await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}, "beats": True})


@pytest.mark.parametrize("seconds", [10, 90, 20 * 60, 100 * 60])
async def test_what_ran_before_an_outage_ends_after_it(ctx: Context, make: Maker, clock: type[Clock],
                                                       seconds: int) -> None:
    """The pilot asks for nothing all the while; services look before it is heard of again."""
    await make.task()
    pilot = await _pilot(ctx)
    [held] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
    clock.step = timedelta(seconds=seconds)
    for _ in range(3):
        await repair.sweep_leases(ctx)
        await site_control.expire(ctx)
    answer = await beats.beat(ctx, pilot, {held["task_id"]: held["instance_id"]}, {})
    assert answer["stop"] == []
    await ends.complete(ctx, held["task_id"], held["instance_id"])
    task = await make.read(held["task_id"])
    assert (task["status"], task["evictions"], task["failures"]) == ("complete", 0, 0)


async def _sweeps(ctx: Context, clock: type[Clock], seconds: float) -> None:
    """Sweep all the while, as the leader does."""
    end = clock.step + timedelta(seconds=seconds)
    while clock.step < end:
        clock.step += timedelta(seconds=5)
        await repair.sweep_leases(ctx)


async def test_who_died_meanwhile_loses_its_tasks_soon_after(ctx: Context, make: Maker,
                                                             clock: type[Clock]) -> None:
    task = await make.task()
    await leases.claim(ctx, Claim({}, pilot_id=await _pilot(ctx)))
    clock.step = timedelta(minutes=20)
    await _sweeps(ctx, clock, 85)
    assert (await make.read(task["task_id"]))["status"] == "queued"
    await _sweeps(ctx, clock, 15)
    assert (await make.read(task["task_id"]))["status"] == "waiting"


async def _silent(ctx: Context, make: Maker) -> tuple[str, str, str]:
    """A pilot that was cut off so long that its lease ran out: its id, task and instance."""
    await make.task()
    pilot = await _pilot(ctx)
    [held] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
    await ctx.db.tasks.update_many({}, {"$set": {"due": ids.timestamp(ids.now() - timedelta(seconds=1))}})
    assert await repair.sweep_leases(ctx) == 1
    return pilot, held["task_id"], held["instance_id"]


async def test_a_lease_that_ran_out_is_presented_again(ctx: Context, make: Maker) -> None:
    pilot, task_id, instance = await _silent(ctx, make)
    answer = await beats.beat(ctx, pilot, {task_id: instance}, {})
    assert answer["stop"] == []
    task = await make.read(task_id)
    assert (task["status"], task["instance_id"], task["evictions"], task["pilot_id"]) == (
        "processing", instance, 0, pilot)
    assert await leases.claim(ctx, Claim({})) == []


async def test_a_late_report_counts_while_nobody_else_has_the_task(ctx: Context, make: Maker) -> None:
    _, task_id, instance = await _silent(ctx, make)
    [answer] = await many_ends.report_many(ctx, [Ended(task_id, "complete", Report(instance, 60.0))])
    assert answer["status"] == 200
    assert (await make.read(task_id))["status"] == "complete"


@pytest.mark.parametrize("instance", ["", "another"])
async def test_only_the_last_lease_comes_back(ctx: Context, make: Maker, instance: str) -> None:
    pilot, task_id, _ = await _silent(ctx, make)
    answer = await beats.beat(ctx, pilot, {task_id: instance}, {})
    assert answer["stop"] == [task_id]


async def test_who_comes_back_too_late_is_stopped(ctx: Context, make: Maker) -> None:
    pilot, task_id, instance = await _silent(ctx, make)
    [new] = await leases.claim(ctx, Claim({}, pilot_id="other"))
    answer = await beats.beat(ctx, pilot, {task_id: instance}, {})
    assert answer["stop"] == [task_id]
    with pytest.raises(NotFound):
        await ends.complete(ctx, task_id, instance)
    await ends.complete(ctx, task_id, new["instance_id"])


async def test_a_pilot_that_was_taken_out_in_silence_finds_its_tasks(ctx: Context, make: Maker) -> None:
    await make.task()
    pilot = await _pilot(ctx)
    [held] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
    await ctx.db.pilots.update_many({}, {"$set": {"last_update": "2020-01-01T00:00:00.000000"}})
    assert await site_control.expire(ctx) == 1
    again = await _pilot(ctx)
    answer = await beats.beat(ctx, again, {held["task_id"]: held["instance_id"]}, {})
    assert answer["stop"] == []
    assert (await make.read(held["task_id"]))["pilot_id"] == again


async def test_a_pilot_that_said_goodbye_does_not_come_back(ctx: Context, make: Maker) -> None:
    await make.task()
    pilot = await _pilot(ctx)
    [held] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
    await pilots.remove(ctx, pilot)
    answer = await beats.beat(ctx, await _pilot(ctx), {held["task_id"]: held["instance_id"]}, {})
    assert answer["stop"] == [held["task_id"]]


async def test_the_first_server_of_all_gives_time_too(ctx: Context, clock: type[Clock]) -> None:
    await ctx.db.pulses.delete_many({})
    assert (await outages.heard_for(ctx)).total_seconds() == 0
    clock.step = timedelta(seconds=10)
    await long_up(ctx.db)
    assert (await outages.heard_for(ctx)).total_seconds() > 86000


async def test_a_pulse_goes_on_until_the_database_is_away(ctx: Context, clock: type[Clock],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written was heard by nobody, however often it was tried."""

    async def away(*_: object, **__: object) -> None:
        raise AutoReconnect("away")

    before = await outages.heard_for(ctx)
    for seconds in (5, 10, 15, 20, 25):
        clock.step = timedelta(seconds=seconds)
        assert await outages.heard_for(ctx) > before
    for seconds in range(40, 70, 5):
        clock.step = timedelta(seconds=seconds)
        with monkeypatch.context() as patched:
            patched.setattr(type(ctx.db.pulses), "update_one", away)
            with pytest.raises(AutoReconnect):
                await outages.heard_for(ctx)
    assert await outages.heard_for(ctx) == timedelta(0)
