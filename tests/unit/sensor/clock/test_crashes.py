"""The leader dies before every single write of a run: nothing is lost and nothing happens twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from server.rest.context import Context
from server.sensor.acquisitions.outcomes import Status
from server.sensor.clock.scheduler import CARE_SECONDS, HOLD_SECONDS, Scheduler
from tests.unit.sensor.conftest import T0, Clock, Recorder, Sensor

WRITES = ("insert_one", "update_one", "update_many", "find_one_and_update", "delete_one", "delete_many")


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Fate:
    """Ends a process before its n-th write."""

    at: int
    count: int = 0
    is_dead: bool = False

    def check(self) -> None:
        self.count += 1
        self.is_dead = self.is_dead or self.count == self.at
        if self.is_dead:
            raise Killed


class Collection:
    def __init__(self, real: Any, fate: Fate) -> None:
        self._real, self._fate = real, fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        return self._fatal(method) if name in WRITES else method

    def _fatal(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fate.check()
            return await method(*args, **kwargs)

        return call


class MortalDatabase:
    """The database as a process sees it whose end is near."""

    def __init__(self, real: Any, fate: Fate) -> None:
        self._real, self._fate = real, fate

    def __getattr__(self, name: str) -> Collection:
        return Collection(getattr(self._real, name), self._fate)

    def __getitem__(self, name: str) -> Collection:
        return Collection(self._real[name], self._fate)


async def live_until_killed(ctx: Context, clock: Clock, fate: Fate, steps: range) -> None:
    mortal = replace(ctx, db=MortalDatabase(ctx.db, fate), server_id="mortal")  # type: ignore[arg-type]
    first = Scheduler(mortal, clock)
    for clock.now in steps:
        try:
            await first.tick()
        except Killed:
            return
        await first.settle()
        if fate.is_dead:
            return


async def writes_of_a_life(ctx: Context, clock: Clock, steps: range) -> int:
    fate = Fate(at=-1)
    await live_until_killed(ctx, clock, fate, steps)
    return fate.count


@pytest.mark.parametrize("write", range(1, 7))
async def test_one_shot(sensor_: Sensor, record: Recorder, write: int) -> None:
    await sensor_.make(start=T0)
    fate = Fate(write)
    await live_until_killed(sensor_.ctx, sensor_.clock, fate, range(T0, T0 + 3))
    await sensor_.at(T0 + 11, T0 + 12, T0 + 12 + int(HOLD_SECONDS), T0 + 100)
    record.assert_nothing_twice()
    run, = await sensor_.runs()
    entry = await sensor_.entry()
    assert (run.task_id, run.time, entry.is_active, entry.pending) == (1, T0, False, None)
    if record.runs:
        assert run.status in (Status.SUCCESS, Status.FAILURE)
    else:  # it died between the acquisition and the run
        assert (run.status, "interrupted" in run.detail) == (Status.FAILURE, True)
    if run.status is Status.SUCCESS:
        assert await sensor_.ctx.db.acquisition_data.count_documents({}) == 1


@pytest.mark.parametrize("write", range(1, 12))
async def test_periodic(sensor_: Sensor, record: Recorder, write: int) -> None:
    await sensor_.make(start=T0, interval=2)
    fate = Fate(write)
    await live_until_killed(sensor_.ctx, sensor_.clock, fate, range(T0, T0 + 8))
    assert fate.is_dead, "there are fewer writes than this test thinks"
    died = int(sensor_.clock.now)
    end = died + int(HOLD_SECONDS + CARE_SECONDS) + 3
    await sensor_.at(*range(died, end, 3))
    record.assert_nothing_twice()
    runs = await sensor_.runs()
    assert len({run.time for run in runs}) == len(runs)
    assert [run.task_id for run in runs] == list(range(1, len(runs) + 1))
    assert all(run.status in (Status.SUCCESS, Status.FAILURE) for run in runs[:-1])
    assert sum(run.status is Status.FAILURE for run in runs) <= 1
    assert max(record.times) >= end - 6, "the entry goes on"


async def test_the_steps_above_are_all_steps(sensor_: Sensor, record: Recorder) -> None:
    await sensor_.make(start=T0)
    assert await writes_of_a_life(sensor_.ctx, sensor_.clock, range(T0, T0 + 3)) <= 6
    assert len(record.runs) == 1
