"""What grids hear: counts by requirement class, and what administrators want of a site."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from iceprod.ids import now, timestamp
from server.common.errors import BadRequest, NotFound
from server.production.leases import demand
from server.production.leases.leases import Claim, claim
from server.production.sites import beats, grids, pilots, site_control
from server.production.tasks.task_store import NewTask
from server.rest.context import Context


@pytest.fixture(autouse=True)
def _fresh_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "KEPT_SECONDS", -1.0)


def rows_by_memory(rows: list[dict[str, Any]]) -> dict[float, tuple[int, int, int, float]]:
    return {row["requirements"]["memory"]: (row["waiting"], row["queued"], row["processing"], row["priority"])
            for row in rows}


async def test_counts_by_class(ctx: Context, make: Any) -> None:
    dataset_id = await make.dataset()
    await make.tasks(dataset_id, *[NewTask(n, "a", {"memory": 2.0}, priority=0.1 * n) for n in range(5)],
                     *[NewTask(n, "b", {"memory": 9.0}) for n in range(5, 7)],
                     NewTask(7, "c", {"memory": 9.0}, status="idle"))
    await claim(ctx, Claim({"memory": 2.0}, num=2, target="processing"))
    await claim(ctx, Claim({"memory": 2.0}, num=1))
    rows = rows_by_memory(await demand.demand(ctx))
    assert rows == {2.0: (2, 1, 2, pytest.approx(0.1)), 9.0: (2, 0, 0, 1.0)}


async def test_another_sites_tasks_are_left_out(ctx: Context, make: Any) -> None:
    dataset_id = await make.dataset()
    await make.tasks(dataset_id, NewTask(0, "a", {"memory": 1.0, "site": "here"}),
                     NewTask(1, "b", {"memory": 2.0}), NewTask(2, "c", {"memory": 3.0, "site": "there"}))
    assert set(rows_by_memory(await demand.demand(ctx, "here"))) == {1.0, 2.0}
    assert set(rows_by_memory(await demand.demand(ctx))) == {1.0, 2.0, 3.0}


async def test_counts_stop_at_a_limit(ctx: Context, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "AT_MOST", 3)
    await make.tasks(await make.dataset(), *[NewTask(n, "a", {"memory": 2.0}) for n in range(5)])
    assert rows_by_memory(await demand.demand(ctx))[2.0][0] == 3


async def test_nothing_waits(ctx: Context) -> None:
    assert await demand.demand(ctx) == []


# -- control


async def test_a_wish_stays_over_heartbeats(ctx: Context) -> None:
    grid_id = await grids.create(ctx, {"host": "h", "queues": {}, "version": "1"}, "alice")
    before = await grids.get(ctx, grid_id)
    await site_control.control(ctx, grid_id, {"state": "paused", "limit": 3, "reason": "cooling"}, "root")
    assert (await grids.get(ctx, grid_id))["last_update"] == before["last_update"]
    grid = await grids.patch(ctx, grid_id, {"site": "x"})
    wanted = {name: grid["control"][name] for name in ("state", "limit", "reason", "username")}
    assert wanted == {"state": "paused", "limit": 3, "reason": "cooling", "username": "root"}


@pytest.mark.parametrize("body", [{"state": "off"}, {"limit": -1}, {"limit": True}, {"reason": 5}, {"x": 1},
                                  {"starts": "2026-02-01"}, {"starts": "soon", "ends": "2026-02-01"},
                                  {"starts": "2026-02-02", "ends": "2026-02-01"}, {"starts": 5},
                                  {"state": None}])
async def test_a_wrong_wish_is_refused(ctx: Context, body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        await site_control.control(ctx, "g", body, "root")


async def test_a_wish_for_an_unknown_grid(ctx: Context) -> None:
    with pytest.raises(NotFound):
        await site_control.control(ctx, "nobody", {}, "root")


# -- expiry

RESOURCES = {"queue_host": "q", "queue_version": "1", "resources": {"cpu": 1}}


async def test_a_silent_pilot_goes_and_its_tasks_come_back(ctx: Context, make: Any) -> None:
    task = await make.task()
    silent, new, quiet = [await pilots.create(ctx, RESOURCES) for _ in range(3)]
    await claim(ctx, Claim({}, pilot_id=silent))
    for pilot_id in (silent, new):
        await beats.beat(ctx, pilot_id, {}, {})
    long_ago = timestamp(now() - timedelta(seconds=site_control.SILENT_PILOT_SECONDS + 1))
    both = {"pilot_id": {"$in": [silent, quiet]}}
    await ctx.db.pilots.update_many(both, {"$set": {"last_update": long_ago}})
    await site_control.expire(ctx)
    assert {pilot["pilot_id"] async for pilot in pilots.find(ctx, {}, None)} == {new, quiet}
    after = await make.read(task["task_id"])
    assert (after["status"], after["evictions"]) == ("waiting", 1)


async def test_a_silent_grid_is_marked_until_it_is_heard_of_again(ctx: Context) -> None:
    grid_id = await grids.create(ctx, {"host": "h", "queues": {}, "version": "1"}, "alice")
    long_ago = timestamp(now() - timedelta(seconds=site_control.SILENT_GRID_SECONDS + 1))
    await ctx.db.grids.update_one({"grid_id": grid_id}, {"$set": {"last_update": long_ago}})
    await site_control.expire(ctx)
    assert (await grids.get(ctx, grid_id))["alive"] is False
    assert (await grids.patch(ctx, grid_id, {}))["alive"] is True


async def test_a_pilot_hears_that_it_shall_leave(ctx: Context) -> None:
    pilot_id = await pilots.create(ctx, RESOURCES)
    assert (await beats.beat(ctx, pilot_id, {}, {}))["drain"] is False
    await pilots.patch(ctx, pilot_id, {"drain": True})
    assert (await beats.beat(ctx, pilot_id, {}, {}))["drain"] is True
