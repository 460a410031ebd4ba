"""The scheduler with a clock that steps: what runs, when, and how often."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pymongo.errors import AutoReconnect

from server.common.errors import BadRequest
from server.rest.context import Context
from server.sensor.acquisitions import acquisitions, disk
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome, Status
from server.sensor.actions import actions
from server.sensor.actions.actions import Action
from server.sensor.clock import scheduler
from server.sensor.clock.scheduler import HOLD_SECONDS, Scheduler
from server.sensor.common.bodies import UPDATE, read_changes
from server.sensor.common.errors import FieldErrors, Protected
from server.sensor.schedule import entries
from tests.unit.sensor.conftest import T0, Clock, Recorder, Sensor

DAY = 86400


async def test_one_shot_runs_once_and_again_when_activated(sensor_: Sensor, record: Recorder) -> None:
    await sensor_.make(start=T0 + 5)
    await sensor_.at(T0, T0 + 4)
    assert record.runs == []
    await sensor_.at(T0 + 5, T0 + 6, T0 + 100)
    entry = await sensor_.entry()
    assert record.runs == [("e", 1, T0 + 5)]
    assert (entry.is_active, entry.next_task_id) == (False, 2)
    await sensor_.patch(is_active=True)
    await sensor_.at(T0 + 200, T0 + 201)
    assert record.runs == [("e", 1, T0 + 5), ("e", 2, T0 + 5)]
    assert not (await sensor_.entry()).is_active


async def test_periodic_keeps_phase_and_compresses_what_was_missed(sensor_: Sensor, record: Recorder) -> None:
    await sensor_.make(start=T0 - 2, stop=T0 + 14, interval=4)
    await sensor_.at(T0, T0 + 1, T0 + 2, T0 + 11, T0 + 12, T0 + 99)
    assert record.runs == [("e", 1, T0 - 2), ("e", 2, T0 + 2), ("e", 3, T0 + 10)]
    assert [run.missed for run in await sensor_.runs()] == [0, 0, 1]
    entry = await sensor_.entry()
    assert (entry.is_active, entry.next_time) == (False, T0 + 14)
    await sensor_.patch(is_active=True)
    await sensor_.at(T0 + 100)
    assert not (await sensor_.entry()).is_active
    assert len(record.runs) == 3


async def test_an_entry_that_no_time_remains_of_is_deactivated_at_the_next_look(
        sensor_: Sensor, record: Recorder) -> None:
    await sensor_.make(start=T0 + 1000, interval=10)
    await sensor_.patch(stop=T0 + 1000)
    await sensor_.at(T0 + 1)
    assert not (await sensor_.entry()).is_active
    assert record.runs == []


@pytest.mark.parametrize(("change", "expected"), [
    ({"start": T0 + 50}, T0 + 50), ({"start": T0 - 50}, T0 + 11), ({"interval": 7}, T0 + 11),
    ({"start": T0, "interval": 60}, T0 + 60), ({"priority": 1}, T0 + 60), ({"stop": T0 + 10**6}, T0 + 60),
    ({"action": "parallel"}, T0 + 60), ({"is_active": False}, T0 + 60), ({}, T0 + 60)])
async def test_what_moves_the_next_time(sensor_: Sensor, change: dict[str, int], expected: int) -> None:
    await sensor_.make(interval=60)
    await sensor_.at(T0 + 10)
    assert (await sensor_.patch(**change)).next_time == expected


async def test_order_is_by_time_then_priority(sensor_: Sensor, record: Recorder) -> None:
    for name, start, priority in (("late", T0 + 3, -5), ("low", T0 + 1, 20), ("high", T0 + 1, 1)):
        await sensor_.make(name, start=start, priority=priority)
    await sensor_.at(T0 + 10)
    assert [name for name, _, _ in record.runs] == ["high", "low", "late"]


async def test_years_pass_in_a_moment(sensor_: Sensor, record: Recorder) -> None:
    await sensor_.make(interval=DAY)
    await sensor_.at(*(T0 + day * DAY for day in range(0, 4 * 366, 61)))
    assert record.times == [T0 + day * DAY for day in range(0, 4 * 366, 61)]
    record.assert_nothing_twice()


async def test_a_clock_that_jumps_ahead_and_comes_back_stops_nothing(sensor_: Sensor,
                                                                     record: Recorder) -> None:
    await sensor_.make(interval=60)
    await sensor_.at(T0, T0 + 365 * DAY, T0 + 61)
    assert record.times == [T0, T0 + 365 * DAY]
    await sensor_.at(T0 + 119, T0 + 120, T0 + 121)
    assert record.times[2:] == [T0 + 120]


async def test_a_small_step_back_runs_nothing_twice(sensor_: Sensor, record: Recorder) -> None:
    await sensor_.make(interval=60)
    await sensor_.at(T0 + 60, T0 + 20, T0 + 59, T0 + 60, T0 + 61)
    assert record.times == [T0 + 60]


async def test_another_servers_clock_that_is_behind_stops_nothing(sensor_: Sensor, ctx: Context,
                                                                  record: Recorder) -> None:
    await sensor_.make(interval=60)
    await sensor_.at(T0 + 10 * DAY)
    other = Sensor(ctx, Clock(T0), Scheduler(replace(ctx, server_id="other"), Clock(T0)))
    other.scheduler.clock = other.clock
    await other.at(T0 + 1, T0 + 60)
    assert record.times == [T0 + 10 * DAY, T0 + 60]


async def test_paused_entries_rest_and_collapse_what_passed(sensor_: Sensor, record: Recorder) -> None:
    await sensor_.make(interval=10)
    await sensor_.at(T0)
    await sensor_.patch(is_active=False)
    await sensor_.at(*(T0 + step for step in range(1, 60, 7)))
    await sensor_.patch(is_active=True)
    await sensor_.at(T0 + 65, T0 + 66, T0 + 70)
    assert record.times == [T0, T0 + 60, T0 + 70]


async def test_a_failing_action_leaves_the_next_one_untouched(sensor_: Sensor, record: Recorder) -> None:
    async def fail(_: Context, __: Acquisition) -> Outcome:
        raise RuntimeError("no more paper")

    actions.register(Action("fail", "Fail.", run=fail))
    await sensor_.make("bad", action="fail", priority=0, interval=1)
    await sensor_.make("good", priority=1)
    await sensor_.at(T0)
    assert record.runs == [("good", 1, T0)]
    run, = await sensor_.runs("bad")
    assert (run.status, run.detail, run.size) == (Status.FAILURE, "no more paper", 0)


async def test_an_entry_that_keeps_failing_is_deactivated_and_says_why(sensor_: Sensor,
                                                                       record: Recorder) -> None:
    record.trouble = "x" * 1000
    await sensor_.make(interval=10, max_failures=3)
    await sensor_.at(T0, T0 + 10)
    record.trouble = ""
    await sensor_.at(T0 + 20)
    assert ((await sensor_.entry()).failures, (await sensor_.entry()).is_active) == (0, True)
    record.trouble = "out of luck"
    await sensor_.at(T0 + 30, T0 + 40, T0 + 50, T0 + 60)
    entry = await sensor_.entry()
    assert (len(record.runs), entry.failures, entry.is_active) == (6, 3, False)
    assert "3 failed runs" in entry.notice
    assert "out of luck" in entry.notice
    await sensor_.patch(is_active=True)
    await sensor_.at(T0 + 70)
    entry = await sensor_.entry()
    assert (entry.is_active, entry.failures, entry.notice) == (True, 1, "")
    assert len((await sensor_.runs())[0].detail) == 512


async def test_what_must_go_on_is_never_deactivated(sensor_: Sensor, record: Recorder) -> None:
    record.trouble = "broken"
    actions.register(Action("vital", "Go on.", run=record, may_pause=False))
    await sensor_.make(action="vital", interval=1, max_failures=2)
    await sensor_.at(*range(T0, T0 + 10))
    assert len(record.runs) == 10
    assert "10 runs in a row failed" in (await sensor_.entry()).notice


async def test_an_unknown_action_is_a_failure(sensor_: Sensor, ctx: Context) -> None:
    await sensor_.make()
    await ctx.db.schedule.update_one({"_id": "e"}, {"$set": {"action": "gone"}})
    await sensor_.at(T0)
    run, = await sensor_.runs()
    assert (run.status, "gone" in run.detail) == (Status.FAILURE, True)


# -- runs that last


class Slow:
    """An action that waits until it is told to end."""

    def __init__(self, name: str, overlap: actions.Overlap) -> None:
        self.gate, self.ran = asyncio.Event(), 0
        actions.register(Action(name, "Wait.", run=self.run, overlap=overlap))

    async def run(self, _: Context, __: Acquisition) -> Outcome:
        self.ran += 1
        await self.gate.wait()
        return Outcome()


async def test_skip_lets_times_pass_and_counts_them(sensor_: Sensor, clock: Clock) -> None:
    slow = Slow("slow", actions.Overlap.SKIP)
    await sensor_.make(action="slow", interval=10)
    for clock.now in range(T0, T0 + 45, 5):
        await sensor_.scheduler.tick()
        await asyncio.sleep(0)
    assert (len(await sensor_.runs()), (await sensor_.entry()).skipped) == (1, 4)
    slow.gate.set()
    await sensor_.scheduler.settle()
    await sensor_.at(T0 + 50)
    assert [(run.status, run.skipped) for run in await sensor_.runs()] == [
        (Status.SUCCESS, 0), (Status.SUCCESS, 4)]
    assert slow.ran == 2


async def test_a_one_shot_that_is_activated_while_it_runs_waits(sensor_: Sensor) -> None:
    slow = Slow("slow", actions.Overlap.SKIP)
    await sensor_.make(action="slow")
    await sensor_.scheduler.tick()
    await sensor_.patch(is_active=True)
    await sensor_.scheduler.tick()
    assert len(await sensor_.runs()) == 1
    slow.gate.set()
    await sensor_.scheduler.settle()
    await sensor_.at(T0 + 1)
    assert [run.status for run in await sensor_.runs()] == [Status.SUCCESS] * 2


async def test_parallel_runs_side_by_side(sensor_: Sensor, clock: Clock) -> None:
    slow = Slow("wide", actions.Overlap.PARALLEL)
    await sensor_.make(action="wide", interval=10)
    for clock.now in range(T0, T0 + 30, 10):
        await sensor_.scheduler.tick()
    assert [run.status for run in await sensor_.runs()] == [Status.IN_PROGRESS] * 3
    slow.gate.set()
    await sensor_.scheduler.settle()
    assert [run.status for run in await sensor_.runs()] == [Status.SUCCESS] * 3


async def test_replace_stops_the_run_before(sensor_: Sensor, clock: Clock) -> None:
    slow = Slow("fresh", actions.Overlap.REPLACE)
    await sensor_.make(action="fresh", interval=10)
    for clock.now in (T0, T0 + 10):
        await sensor_.scheduler.tick()
    slow.gate.set()
    await sensor_.scheduler.settle()
    first, second = await sensor_.runs()
    assert (first.status, first.detail) == (Status.FAILURE, "replaced by the next run")
    assert second.status is Status.SUCCESS
    assert (await sensor_.entry()).failures == 0, "stopping is no failure"


async def test_deactivating_stops_the_run_and_frees_the_entry(sensor_: Sensor, ctx: Context) -> None:
    slow = Slow("slow", actions.Overlap.SKIP)
    await sensor_.make(action="slow", interval=10)
    await sensor_.scheduler.tick()
    with pytest.raises(BadRequest):
        await acquisitions.remove(ctx, await sensor_.runs())
    await sensor_.patch(is_active=False)
    await scheduler.stop_runs(ctx, "e", "stopped by alice")
    slow.gate.set()
    await sensor_.scheduler.settle()
    run, = await sensor_.runs()
    assert (run.status, run.detail) == (Status.FAILURE, "stopped by alice")
    with pytest.raises(Protected) as caught:
        await entries.delete(ctx, "e", [("e", 1)], await sensor_.entry())
    assert caught.value.objects == [("e", 1)]
    await acquisitions.remove(ctx, [run])
    await entries.delete(ctx, "e", [], await sensor_.entry())
    assert await entries.find(ctx, "e") is None


async def test_an_entry_is_not_deleted_under_a_run_that_was_just_taken(sensor_: Sensor, ctx: Context) -> None:
    seen = await sensor_.make()
    await sensor_.at(T0)
    with pytest.raises(Protected):
        await entries.delete(ctx, "e", [], seen)
    assert await entries.find(ctx, "e") is not None


async def test_asking_runs_now_and_leaves_the_times(sensor_: Sensor, ctx: Context, record: Recorder) -> None:
    await sensor_.make(start=T0 + 100, interval=50)
    await entries.ask(ctx, "e", "bob")
    await sensor_.at(T0 + 3, T0 + 4, T0 + 100)
    assert record.times == [T0 + 3, T0 + 100]
    assert [run.asked_by for run in await sensor_.runs()] == ["bob", ""]
    await sensor_.patch(is_active=False)
    await entries.ask(ctx, "e", "bob")
    await sensor_.at(T0 + 120)
    entry = await sensor_.entry()
    assert (len(record.runs), entry.is_active, entry.asked) == (3, False, None)


async def test_a_database_that_does_not_answer_is_no_failure_of_the_run(sensor_: Sensor) -> None:
    """Work on the grid is looked at again."""
    is_there = asyncio.Event()

    async def start(ctx: Context, run: Acquisition) -> None:
        await acquisitions.note_grid(ctx, run, {"dataset_id": "x"})

    async def follow(_: Context, __: Acquisition) -> Outcome:
        if not is_there.is_set():
            raise AutoReconnect("gone")
        return Outcome(detail="there it is")

    actions.register(Action("far", "Follow.", start=start, follow=follow))
    await sensor_.make(action="far")
    await sensor_.at(T0, T0 + 3)
    assert [run.status for run in await sensor_.runs()] == [Status.IN_PROGRESS]
    is_there.set()
    await sensor_.at(T0 + 6)
    assert [run.detail for run in await sensor_.runs()] == ["there it is"]


# -- retention


async def test_old_data_go_and_metadata_stay(sensor_: Sensor, ctx: Context, record: Recorder) -> None:
    actions.register(Action("keep2", "Keep two.", run=record, retention=2))
    await sensor_.make(action="keep2", interval=1)
    await sensor_.at(*range(T0, T0 + 5))
    assert [run.size for run in await sensor_.runs()] == [0, 0, 0, 4, 4]
    assert await ctx.db.acquisition_data.count_documents({}) == 2
    assert all(run.metadata for run in await sensor_.runs())


async def test_housekeeping_forgets_old_runs(sensor_: Sensor, record: Recorder) -> None:
    actions.register(Action("brief", "Keep two.", run=record, retention=2, keeps_runs=False))
    await sensor_.make(action="brief", interval=1)
    await sensor_.at(*range(T0, T0 + 5))
    assert [run.task_id for run in await sensor_.runs()] == [4, 5]


async def test_a_full_disk_keeps_the_newest_data(sensor_: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "share_used", lambda ctx: 0.99)
    await sensor_.make(interval=1)
    await sensor_.at(T0, T0 + 1, T0 + 2)
    assert [run.size for run in await sensor_.runs()] == [0, 0, 4]


# -- several servers


async def test_two_leaders_make_one_run_of_each(sensor_: Sensor, ctx: Context, clock: Clock,
                                                record: Recorder) -> None:
    """Even when both believe to hold the lease."""
    others = [Scheduler(replace(ctx, server_id=f"s{number}"), clock) for number in range(4)]
    await sensor_.make(interval=1)
    await sensor_.make("once", start=T0 + 3)
    for clock.now in range(T0, T0 + 20):
        await asyncio.gather(*(one.tick() for one in others))
        await asyncio.gather(*(one.settle() for one in others))
    record.assert_nothing_twice()
    assert sorted(record.times) == sorted([*range(T0, T0 + 20), T0 + 3])
    assert [run.task_id for run in await sensor_.runs()] == list(range(1, 21))


async def test_a_local_run_whose_server_died_is_closed_and_the_entry_goes_on(
        sensor_: Sensor, ctx: Context, clock: Clock) -> None:
    slow = Slow("slow", actions.Overlap.SKIP)
    await sensor_.make(action="slow", interval=10)
    await sensor_.scheduler.tick()
    other = Scheduler(replace(ctx, server_id="other"), clock)
    clock.now = T0 + HOLD_SECONDS + 1
    await other.tick()
    assert [run.status for run in await sensor_.runs()] == [Status.FAILURE, Status.IN_PROGRESS]
    assert "interrupted" in (await sensor_.runs())[0].detail
    slow.gate.set()
    await asyncio.gather(sensor_.scheduler.settle(), other.settle())
    first, second = await sensor_.runs()
    assert (first.status, second.status) == (Status.FAILURE, Status.SUCCESS), "what is closed stays closed"


async def test_ids_of_runs_are_not_given_again(sensor_: Sensor, ctx: Context, record: Recorder) -> None:
    await sensor_.make(interval=1)
    await sensor_.at(T0, T0 + 1)
    await ctx.db.schedule.update_one({"_id": "e"}, {"$set": {"next_task_id": 1}})
    other = Sensor(ctx, sensor_.clock, Scheduler(ctx, sensor_.clock))
    await other.at(T0 + 2)
    assert [number for _, number, _ in record.runs] == [1, 2, 3]
    assert [run.task_id for run in await sensor_.runs()] == [1, 2, 3]


async def test_a_name_cannot_be_changed_and_not_taken_twice(sensor_: Sensor) -> None:
    await sensor_.make()
    other = read_changes({"name": "f"}, UPDATE)
    with pytest.raises(FieldErrors, match="cannot be changed"):
        await entries.change(sensor_.ctx, "e", other, T0)
    with pytest.raises(FieldErrors, match="already exists"):
        await sensor_.make()


async def test_looks_cost_nothing_until_something_is_due_or_new(sensor_: Sensor, record: Recorder,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = []
    tick = Scheduler.tick

    async def counted(scheduler_: Scheduler) -> None:
        ticks.append(scheduler_.clock())
        await tick(scheduler_)

    monkeypatch.setattr(Scheduler, "tick", counted)

    async def look(moment: float) -> bool:
        """Whether anything was looked for at that moment."""
        sensor_.clock.now, before = moment, len(ticks)
        await sensor_.scheduler.look()
        await sensor_.scheduler.settle()
        return len(ticks) > before

    await sensor_.make(interval=60)
    assert [await look(T0 + second) for second in (0, 1, 2, 3)] == [True, False, False, False]
    assert await look(T0 + 11), "another process may have changed something"
    await sensor_.make("new", start=T0 + 13)
    assert await look(T0 + 12), "this one did"
    assert await look(T0 + 13)
    assert not await look(T0 + 14)
    assert await look(T0 - 100), "the clock was set back"
    assert len(await sensor_.runs("new")) == 1


# -- nothing to do


async def test_times_at_which_there_is_nothing_to_do_pass(sensor_: Sensor, record: Recorder) -> None:
    work: list[int] = []

    async def needed(_: Context) -> bool:
        return bool(work)

    actions.register(Action("rarely", "When needed.", run=record, needed=needed))
    await sensor_.make(action="rarely", interval=2)
    await sensor_.at(T0, T0 + 2, T0 + 3)
    entry = await sensor_.entry()
    assert (await sensor_.runs(), entry.next_time, entry.next_task_id) == ([], T0 + 4, 1)
    work.append(1)
    await sensor_.at(T0 + 4)
    work.clear()
    await entries.ask(sensor_.ctx, "e", "alice")
    await sensor_.at(T0 + 5, T0 + 6)
    assert [(run.time, run.asked_by) for run in await sensor_.runs()] == [(T0 + 4, ""), (T0 + 5, "alice")]
