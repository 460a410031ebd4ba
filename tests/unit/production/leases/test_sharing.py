"""One task, two sites: one pilot. By free places and speed, and nothing for who cannot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.production.failures import quarantine
from server.production.leases import demand
from server.production.leases.sharing import Candidate, divide, share_of
from server.production.sites import grids, site_control
from server.production.tasks.task_store import NewTask
from server.rest.context import Context


def shares(waiting: int, *known: Candidate, site: str = "") -> list[int]:
    return [share_of(one.grid_id, "{}", site, waiting, known) for one in known]


def test_one_task_at_fifty_sites_is_one_pilot() -> None:
    assert sum(shares(1, *(Candidate(str(n)) for n in range(50)))) == 1


def test_free_places_and_speed_decide() -> None:
    assert shares(30, Candidate("a", free=10), Candidate("b", free=20)) == [10, 20]
    assert shares(30, Candidate("a", 10, queue_seconds=0.0), Candidate("b", 10, 60.0)) == [20, 10]
    assert shares(5, Candidate("full", free=0), Candidate("b", free=3)) == [0, 5]


def test_what_pilots_cover_stays_where_they_are() -> None:
    assert shares(3, Candidate("a", 1, covered={"{}": 2}), Candidate("b", 100)) == [2, 1]
    assert shares(4, Candidate("a", 1, covered={"{}": 6}), Candidate("b", 9, covered={"{}": 2})) == [3, 1]


def test_who_cannot_or_may_not_gets_none() -> None:
    assert shares(7, Candidate("a", is_barred=True), Candidate("b")) == [0, 7]
    able, unable = Candidate("a"), Candidate("b", refused=frozenset({"{}"}))
    assert share_of("a", "{}", "", 7, [able, unable]) == 7
    assert shares(7, Candidate("a", site="x"), Candidate("b", site="y"), site="x")[0] == 7
    assert share_of("new", "{}", "", 7, [able]) == 7


@given(st.integers(0, 500), st.lists(st.floats(0, 100), max_size=8))
def test_no_part_is_lost(number: int, weights: list[float]) -> None:
    parts = divide(number, weights)
    assert sum(parts) == (number if sum(weights) > 0 else 0)
    assert all(part >= 0 for part in parts)


@pytest.fixture
async def two(ctx: Context, make: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two grids and three waiting tasks."""
    monkeypatch.setattr(demand, "KEPT_SECONDS", -1.0)
    monkeypatch.setattr(quarantine, "KEPT_SECONDS", -1.0)
    await make.tasks(await make.dataset(), *[NewTask(n, "a", {"memory": 2.0}) for n in range(3)])
    return [await grids.create(ctx, {"host": "h", "site": site, "queues": {}, "version": "1", "free": free},
                               "root") for site, free in (("north", 20), ("south", 10))]


async def waiting(ctx: Context, *ids: str) -> list[int]:
    return [(await demand.demand(ctx, "", grid_id))[0]["waiting"] for grid_id in ids]


async def test_grids_hear_their_shares(ctx: Context, two: list[str]) -> None:
    assert await waiting(ctx, *two) == [2, 1]
    assert (await demand.demand(ctx, "north", two[0]))[0]["all_waiting"] == 3
    assert (await demand.demand(ctx, "north"))[0]["waiting"] == 3, "who is no grid hears of all"
    covered = {"covered": [{"class_key": (await demand.demand(ctx))[0]["class_key"], "tasks": 2}]}
    await grids.patch(ctx, two[1], {"decision": covered})
    assert await waiting(ctx, *two) == [1, 2]
    await grids.patch(ctx, two[0], {"backs_off": "no python"})
    assert await waiting(ctx, *two) == [0, 3]
    await grids.patch(ctx, two[1], {"backs_off": "no python there either"})
    assert sum(await waiting(ctx, *two)) == 3


async def test_a_quarantined_and_a_drained_site_get_none(ctx: Context, two: list[str]) -> None:
    await quarantine.put(ctx, "site", "north", {"reason": "eats tasks"}, "root")
    assert await waiting(ctx, *two) == [0, 3]
    await quarantine.lift(ctx, "site", "north")
    now_on = {"starts": "2020-01-01T06:00", "ends": "2100-01-01T06:00+01:00"}
    await site_control.control(ctx, two[1], now_on, "root")
    assert (await grids.get(ctx, two[1]))["control"]["ends"] == "2100-01-01T05:00:00.000000"
    assert await waiting(ctx, *two) == [3, 0]
    await site_control.control(ctx, two[1], {"state": "draining"}, "root")
    assert await waiting(ctx, *two) == [3, 0]
