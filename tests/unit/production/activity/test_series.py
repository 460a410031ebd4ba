"""The series in the store: several writers, restarts and outages lose no total, and it stays small."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from server.production.activity import series, slots
from server.production.activity.ended import Ended
from server.production.activity.slots import COMPLETE, EVICTED, LEVELS, Slot
from server.rest.context import Context

NOW = slots.begin_of(time.time(), 3600) + 1830.0


def slot(complete: int, busy: float = 0.0) -> dict[str, Slot]:
    one = Slot(0, Counter({COMPLETE: complete}), 1, Counter({"busy": busy}))
    return {series.WHOLE: one, "north": one}


async def total(ctx: Context, step: int, site: str = series.WHOLE) -> int:
    rows = await ctx.db.activity.find({"step": step, "site": site}).to_list()
    return sum(row["ends"].get(COMPLETE, 0) for row in rows)


async def test_two_servers_add_to_one_minute(ctx: Context) -> None:
    moment = time.time()
    await series.add(ctx, slot(3, 10.0), moment)
    await series.add(ctx, slot(4, 20.0), moment)
    (found,) = await series.of_whole(ctx, "1h")
    assert found.ends[COMPLETE] == 7
    assert found.mean("busy") == 15.0


async def test_totals_survive_summing_up_again_and_again(ctx: Context) -> None:
    for minute in range(90):
        moment = NOW - 5400 + 60 * minute
        await series.add(ctx, slot(minute), moment)
        if minute % 7 == 0:
            await series.tend(ctx, moment)
            await series.tend(ctx, moment + 1)  # by another server, just after
    await series.tend(ctx, NOW)
    assert await total(ctx, 60) == await total(ctx, 600) == await total(ctx, 3600) == sum(range(90))
    assert await total(ctx, 3600, "north") == sum(range(90))


async def test_what_no_server_summed_up_in_an_outage_is_not_lost(ctx: Context) -> None:
    await series.tend(ctx, NOW - 50_000)
    await series.add(ctx, slot(5), NOW - 49_990)  # and then nobody was there for half a day
    await series.tend(ctx, NOW)
    assert (await total(ctx, 60), await total(ctx, 600), await total(ctx, 3600)) == (0, 5, 5)


async def test_the_series_stays_small(ctx: Context) -> None:
    for hour in range(240):
        moment = NOW - 3600 * (240 - hour)
        await series.add(ctx, slot(1), moment)
        await series.tend(ctx, moment)
    await series.tend(ctx, NOW)
    most = sum(level.kept // level.step + 60 for level in LEVELS)
    assert await ctx.db.activity.count_documents({"site": series.WHOLE}) < most
    assert await total(ctx, 3600) <= 24 * 8 + 1


async def test_names_of_sites_that_are_invented_fill_no_disk(ctx: Context) -> None:
    counted = Ended()
    for number in range(3 * series.MOST_SITES):
        counted.count(COMPLETE, f"site-{number}" + "x" * 500, "", "d", NOW)
    await counted.flush(ctx)
    rows = await ctx.db.activity.find({}).to_list()
    assert len(rows) == series.MOST_SITES + 2
    assert max(len(row["site"]) for row in rows) <= 100
    by_name = {row["site"]: row["ends"][COMPLETE] for row in rows}
    assert by_name[series.WHOLE] == 3 * series.MOST_SITES
    assert by_name[series.OTHERS] == 2 * series.MOST_SITES


@pytest.mark.parametrize("why", [EVICTED, COMPLETE, "memory"])
async def test_an_end_stands_in_the_whole_and_at_its_site(ctx: Context, why: str) -> None:
    counted = Ended()
    counted.count(why, "north", "node1", "dataset", time.time())
    await counted.flush(ctx)
    await counted.flush(ctx)  # nothing twice
    assert (await series.of_whole(ctx, "1h"))[0].ends == {why: 1}
    assert (await series.of_sites(ctx, "1h"))["north"][0].ends == {why: 1}
    assert await ctx.db.host_hours.count_documents({"every": False}) == (why != EVICTED)


async def test_a_clock_that_was_ahead_once_stops_no_sums(ctx: Context) -> None:
    await series.tend(ctx, NOW + 30 * 86400)
    await series.add(ctx, slot(5), NOW)
    await series.tend(ctx, NOW + 1)
    assert (await total(ctx, 600), await total(ctx, 3600)) == (5, 5)
