"""Callbacks of runs: due with the run's end, claimed by one, due again after a crash, given up in the end."""

from __future__ import annotations

import time

from server.sensor.acquisitions import acquisitions, callbacks
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.callbacks import HOLD_SECONDS, PAUSES
from server.sensor.acquisitions.outcomes import Outcome
from server.sensor.schedule.entries import Entry, Pending
from tests.unit.sensor.conftest import Sensor


async def ended(sensor_: Sensor, name: str = "e", url: str | None = "http://a/") -> Acquisition:
    entry = Entry(name=name, action="a", owner="o", start=0, next_time=0, created="", modified="",
                  callback_url=url, callback_origin="http://here")
    run = await acquisitions.begin(sensor_.ctx, entry, Pending(task_id=1, time=0, until=0), "local", 0)
    assert run
    assert await callbacks.claim(sensor_.ctx, time.time()) is None, "not before its end"
    assert await acquisitions.finish(sensor_.ctx, run, Outcome())
    return run


async def test_whoever_dies_lets_another_tell(sensor_: Sensor) -> None:
    run = await ended(sensor_)
    now = time.time()
    first = await callbacks.claim(sensor_.ctx, now)
    assert first
    assert await callbacks.claim(sensor_.ctx, now) is None, "by one only"
    second = await callbacks.claim(sensor_.ctx, now + HOLD_SECONDS + 1)
    assert second
    assert callbacks.key_of(first) == callbacks.key_of(second) == callbacks.key_of(run)
    await callbacks.failed(sensor_.ctx, first, "too late to say so")
    await callbacks.delivered(sensor_.ctx, second)
    assert await callbacks.claim(sensor_.ctx, now + 1e9) is None
    kept = await acquisitions.get(sensor_.ctx, "e", "1")
    assert kept.callback
    assert (kept.callback.status, kept.callback.tries, kept.callback.detail) == ("delivered", 2, "")


async def test_it_is_given_up(sensor_: Sensor) -> None:
    await ended(sensor_)
    now = time.time()
    for _ in range(len(PAUSES) + 1):
        now += 1e6
        run = await callbacks.claim(sensor_.ctx, now)
        assert run
        await callbacks.failed(sensor_.ctx, run, "no")
    assert await callbacks.claim(sensor_.ctx, now + 1e9) is None
    kept = await acquisitions.get(sensor_.ctx, "e", "1")
    assert kept.callback
    assert (kept.callback.status, kept.callback.detail) == ("given up", "no")


async def test_most_runs_have_none(sensor_: Sensor) -> None:
    await ended(sensor_, url=None)
    assert await callbacks.claim(sensor_.ctx, time.time() + 1) is None
