"""Samples of cores and queue: per site and for all, bounded, whatever pilots say."""

from __future__ import annotations

from typing import Any

from iceprod.ids import new_id, timestamp
from server.production.activity import series
from server.production.sites import sampling
from server.rest.context import Context
from tests.unit.production.conftest import Maker


async def pilot(ctx: Context, site: str, **fields: Any) -> None:
    await ctx.db.pilots.insert_one({
        "pilot_id": new_id(), "site": site, "last_update": timestamp(), "resources": {"cpu": 8},
        "resources_available": {"cpu": 2}, "tasks": ["a", "b"], **fields})


async def test_a_sample_has_cores_tasks_and_the_queue(ctx: Context, make: Maker) -> None:
    dataset_id = await make.dataset()
    await make.task(dataset_id)
    await make.task(dataset_id, job_index=1)
    for site in ("north", "north", "south"):
        await pilot(ctx, site)
    await pilot(ctx, "south", last_update="2020-01-01T00:00:00")
    assert await sampling.record(ctx) == 2
    (whole,) = await series.of_whole(ctx, "1h")
    assert [whole.mean(name) for name in ("offered", "busy", "running", "waiting")] == [24, 18, 6, 2]
    by_site = await series.of_sites(ctx, "1h")
    assert by_site["north"][0].mean("busy") == 12
    assert by_site["south"][0].mean("offered") == 8


def test_nonsense_of_pilots_counts_as_nothing() -> None:
    for said in ({}, {"cpu": "many"}, {"cpu": True}, {"cpu": -4}):
        assert sampling.gauges_of({"resources": {"cpu": 8}, "resources_available": said})["busy"] <= 8
        assert sampling.gauges_of({"resources": said})["busy"] == 0


async def test_many_sites_are_taken_together(ctx: Context) -> None:
    for number in range(series.MOST_SITES + 5):
        await pilot(ctx, f"site-{number}", resources={"cpu": number})
    await sampling.record(ctx)
    found = await series.of_sites(ctx, "1h")
    assert len(found) == series.MOST_SITES + 1
    assert found[series.OTHERS][0].sums["offered"] == sum(range(5))
