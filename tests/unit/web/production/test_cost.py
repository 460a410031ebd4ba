"""Pages over many tasks cost what pages over few do: commands to the database are counted, not seconds."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from server.production.activity import host_hours, series
from server.production.activity.host_hours import Key
from server.production.activity.slots import COMPLETE, Slot
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from server.web.common import counters
from tests.unit.production.conftest import Maker, commands
from tests.unit.web.conftest import Pages


async def cost(pages: Pages, path: str, *who: str) -> tuple[int, str]:
    """Commands of a page whose counts nobody asked for before; and the page."""
    counters._counters.clear()
    before = commands()
    page = await pages.get(path, *who)
    return int(commands() - before), page


async def dataset_of(make: Maker, jobs: int) -> str:
    dataset = await make.dataset(jobs=jobs, per_job=2)
    await make.tasks(dataset, *(NewTask(job, name, task_index=index)
                                for job in range(jobs) for index, name in enumerate(("one", "two"))))
    return dataset


async def test_a_dataset_of_many_tasks(ctx: Context, make: Maker, pages: Pages) -> None:
    costs = []
    for jobs in (2, 300):
        number, page = await cost(pages, f"/web/datasets/{await dataset_of(make, jobs)}", "root", "admin")
        assert "Nothing runs." in page
        assert f"0 of {2 * jobs} tasks are complete" in page
        costs.append(number)
    assert costs[1] <= costs[0] + 3  # what is believed for some seconds may be read anew
    assert max(costs) <= 40


async def test_a_dataset_that_is_looked_at_by_many_is_counted_once(ctx: Context, make: Maker, pages: Pages,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "LEAST_SECONDS", 60.0)
    path = f"/web/datasets/{await dataset_of(make, 20)}?part=now"
    first, _ = await cost(pages, path, "root", "admin")
    before = commands()
    await pages.get(path, "root", "admin")
    assert commands() - before < first - 3


@pytest.mark.parametrize("path", ["/web/", "/web/sites"])
async def test_home_and_sites_with_much_that_happened(ctx: Context, make: Maker, pages: Pages,
                                                      path: str) -> None:
    costs = []
    for number in (2, 60):
        await dataset_of(make, number)
        await busy_day(ctx, number)
        costs.append((await cost(pages, path, "root", "admin"))[0])
    assert costs[1] - costs[0] <= 8  # one more dataset in lists, and what is believed for some seconds
    assert costs[1] <= 60


async def busy_day(ctx: Context, number: int) -> None:
    """An hour at so many sites, and a day at so many hosts."""
    one = Slot(0, Counter({COMPLETE: 5}), 1, Counter({"busy": 1.0}))
    for minute in range(number):
        await series.add(ctx, {f"site{site}": one for site in range(number)} | {series.WHOLE: one},
                         time.time() - 60 * minute)
    await host_hours.add(ctx, {Key(f"host{host}", "north", "d"): (5, 5) for host in range(number)})
