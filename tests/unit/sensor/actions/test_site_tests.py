"""Tests of sites: one task for each that should work, kept with who ended it in time."""

from __future__ import annotations

import msgspec
import pytest

from iceprod.ids import timestamp
from server.production.leases import ends, leases
from server.production.leases.leases import Claim
from server.production.sites import site_tests as kept
from server.production.sites.site_tests import SiteTest
from server.production.submission import materialisation
from server.production.tasks import bulk
from server.rest.context import Context
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.outcomes import Status
from server.sensor.actions import site_tests
from tests.unit.sensor.conftest import T0, Sensor


async def grid(ctx: Context, site: str, **fields: object) -> None:
    await ctx.db.grids.insert_one({"grid_id": site, "site": site, "alive": True, "last_update": timestamp(),
                                   **fields})


async def work_at(ctx: Context, site: str) -> None:
    offer = {"cpu": 1, "gpu": 0, "memory": 4.0, "disk": 4.0, "time": 4.0, "site": site}
    for task in await leases.claim(ctx, Claim(offer)):
        await ends.complete(ctx, task["task_id"], task["instance_id"], site=site)


async def test_who_ends_its_task_in_time_was_available(sensor_: Sensor,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = sensor_.ctx
    await grid(ctx, "good")
    await grid(ctx, "bad")
    await grid(ctx, "paused", control={"state": "paused"})
    await grid(ctx, "away", control={"state": "active", "starts": "2020-01-01", "ends": "2120-01-01"})
    await grid(ctx, "silent", alive=False)
    await sensor_.make(action="site_tests", interval=3600)
    await sensor_.at(T0)
    await materialisation.buffer(ctx)
    assert sorted([task["name"] async for task in ctx.db.tasks.find()]) == ["bad", "good"]
    await work_at(ctx, "good")
    await sensor_.at(T0 + 3)
    assert [run.status for run in await sensor_.runs()] == [Status.IN_PROGRESS]
    monkeypatch.setattr(site_tests, "SECONDS", -1.0)
    await sensor_.at(T0 + 6)
    run, = await sensor_.runs()
    assert run.status is Status.SUCCESS
    assert run.detail.startswith("1 of 2 sites passed; not bad (waiting: no pilot was heard of")
    rows = {row["site"]: row for row in msgspec.json.decode(await acquisitions.data_of(ctx, run))}
    assert (rows["good"]["passed"], rows["bad"]["passed"]) == (True, False)
    known = await kept.availability(ctx)
    assert {site: one["availability"] for site, one in known.items()} == {"bad": 0.0, "good": 1.0}
    await bulk.suspend_stopped(ctx)
    assert await ctx.db.tasks.count_documents({"status": "waiting"}) == 0, "nothing is left that wants pilots"


async def test_a_site_that_does_its_task_ends_the_run_at_once(sensor_: Sensor) -> None:
    await grid(sensor_.ctx, "good")
    await sensor_.make(action="site_tests")
    await sensor_.at(T0)
    await materialisation.buffer(sensor_.ctx)
    await work_at(sensor_.ctx, "good")
    await sensor_.at(T0 + 3)
    assert [run.detail for run in await sensor_.runs()] == ["1 of 1 sites passed"]


async def test_without_sites_there_is_nothing_to_test(sensor_: Sensor) -> None:
    await sensor_.make(action="site_tests")
    await sensor_.at(T0)
    assert [run.status for run in await sensor_.runs()] == [Status.SKIPPED]


async def test_a_run_is_kept_once_and_old_ones_count_no_more(ctx: Context) -> None:
    new = SiteTest("a", timestamp(), True, 12.0)
    for _ in range(2):
        await kept.record(ctx, "1", [new])
    await kept.record(ctx, "2", [SiteTest("a", timestamp(), False, 1800.0, "waiting: nobody came")])
    await kept.record(ctx, "3", [SiteTest("a", "2020-01-01T00:00:00.000000", False, 1800.0)])
    found = (await kept.availability(ctx))["a"]
    assert (found["tests"], found["passed"], found["availability"], found["seconds"]) == (2, 1, 0.5, 12.0)
    assert found["last"]["reason"] == "waiting: nobody came"
