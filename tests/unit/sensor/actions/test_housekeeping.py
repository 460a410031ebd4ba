"""The system's own work on the schedule: what leaves the plain services, and how its entries come to be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.app import PERIODIC, SERVICES
from server.rest.context import Context
from server.sensor.actions import actions, housekeeping
from server.sensor.actions.housekeeping import JOBS
from server.services.leader import Service
from tests.unit.sensor.conftest import Recorder, Sensor


class Work:
    """Services that count how often they ran."""

    def __init__(self) -> None:
        self.done = 0

    async def __call__(self, _: Context) -> int:
        """Count."""
        self.done += 1
        return 7

    def services(self, seconds: float = 30.0) -> list[Service]:
        return [Service("repair tasks", lambda _: seconds, self),
                Service("tend datasets", lambda _: seconds, self, signal="datasets"),
                Service("other", lambda _: seconds, self)]


@pytest.fixture
def work(record: Recorder) -> Work:
    return Work()


def test_every_job_is_a_service_of_ours() -> None:
    names = {service.name for service in PERIODIC}
    assert {job.service for job in JOBS} <= names
    assert len({job.entry for job in JOBS}) == len(JOBS)
    left = {service.name for service in SERVICES}
    scheduled = {service.name for service in PERIODIC if service.name in {job.service for job in JOBS}}
    assert left & scheduled == {service.name for service in PERIODIC if service.signal} & scheduled


def test_what_follows_the_clock_alone_leaves_the_services(work: Work) -> None:
    left = housekeeping.divide(work.services())
    assert [service.name for service in left] == ["tend datasets", "other"]


async def test_a_run_tells_what_was_done(sensor_: Sensor, work: Work) -> None:
    housekeeping.divide(work.services())
    await housekeeping.ensure_entries(sensor_.ctx, work.services())
    entry = await sensor_.entry("housekeeping-repair-tasks")
    await sensor_.at(entry.next_time, entry.next_time + 29, entry.next_time + 30)
    runs = await sensor_.runs(entry.name)
    assert [(run.status.value, run.detail) for run in runs] == [("success", "7 done")] * 2
    assert entry.is_vital


async def test_signals_are_followed_unless_the_entry_is_paused(sensor_: Sensor, work: Work) -> None:
    gated, _ = housekeeping.divide(work.services())
    await housekeeping.ensure_entries(sensor_.ctx, work.services())
    await gated.run(sensor_.ctx)
    await sensor_.patch("housekeeping-buffer-jobs", is_active=False)
    await gated.run(sensor_.ctx)
    assert work.done == 1
    await sensor_.patch("housekeeping-buffer-jobs", is_active=True)
    await gated.run(sensor_.ctx)
    assert work.done == 2


async def test_entries_follow_the_settings_until_somebody_changes_them(sensor_: Sensor, work: Work) -> None:
    name = "housekeeping-repair-tasks"
    await housekeeping.ensure_entries(sensor_.ctx, work.services(30))
    await housekeeping.ensure_entries(sensor_.ctx, work.services(5.4))
    assert (await sensor_.entry(name)).interval == 5
    await sensor_.patch(name, interval=60)
    await housekeeping.ensure_entries(sensor_.ctx, work.services(0.2))
    assert (await sensor_.entry(name)).interval == 60
    await sensor_.patch(name, interval=1)
    await housekeeping.ensure_entries(sensor_.ctx, work.services(9))
    assert (await sensor_.entry(name)).interval == 9
    others = replace(sensor_.ctx, server_id="other")
    await housekeeping.ensure_entries(others, work.services(9))
    assert await sensor_.ctx.db.schedule.count_documents({}) == 2


async def test_housekeeping_is_for_administrators(ctx: Context) -> None:
    known = {action.name: action for action in await actions.all_actions(ctx)}
    assert all(known[job.action].admin_only for job in JOBS)
    assert [known[job.action].may_pause for job in JOBS] == [not job.is_vital for job in JOBS]
