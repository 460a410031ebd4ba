"""What nobody offers: classes that no pilot fits and no site can send a pilot for."""

from __future__ import annotations

import pytest

from server.production.leases import demand
from server.production.sites import grids, pilots
from server.production.sites.unserved import unserved
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker, commands


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "KEPT_SECONDS", -1.0)


async def pilot(ctx: Context, **resources: float) -> None:
    await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": resources, "site": "S"})


async def grid(ctx: Context, site: str, **fields: object) -> None:
    grid_id = await grids.create(ctx, {"host": "h", "queues": {}, "version": "1", "site": site}, "g")
    await grids.patch(ctx, grid_id, fields)


async def test_what_no_pilot_fits_is_told_with_the_reason(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, *(NewTask(n, "big", {"cpu": 64, "memory": 500.0}) for n in range(3)),
                     NewTask(3, "small", {"cpu": 1, "memory": 2.0}))
    await pilot(ctx, cpu=8, memory=32.0)
    (found,) = await unserved(ctx)
    assert (found.waiting, found.datasets) == (3, (dataset,))
    assert found.requirements["memory"] == 500.0
    assert found.why == "no pilot offers enough cpu, memory"


async def test_a_site_that_can_send_pilots_is_enough(ctx: Context, make: Maker) -> None:
    await make.task(requirements={"cpu": 16, "memory": 64.0})
    await grid(ctx, "north", largest={"cores": 32, "memory": 128.0})
    assert await unserved(ctx) == []


async def test_a_site_whose_pilots_are_too_small_is_not(ctx: Context, make: Maker) -> None:
    await make.task(requirements={"cpu": 16, "memory": 64.0})
    await grid(ctx, "north", largest={"cores": 8, "memory": 128.0})
    (found,) = await unserved(ctx)
    assert found.why == ("no pilot was heard of in the last minutes; no site can send one: "
                         "north: its pilots have at most 8 cores")


async def test_nothing_waits(ctx: Context) -> None:
    assert await unserved(ctx) == []


async def test_the_cost_does_not_grow_with_tasks_or_pilots(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset(jobs=300)
    costs = []
    for first, number in ((0, 5), (5, 200)):
        await make.tasks(dataset, *(NewTask(n, "big", {"memory": 500.0})
                                    for n in range(first, first + number)))
        for _ in range(number):
            await pilot(ctx, cpu=1, memory=4.0)
        before = commands()
        assert (await unserved(ctx))[0].waiting == first + number
        costs.append(commands() - before)
    assert max(costs) <= 10
