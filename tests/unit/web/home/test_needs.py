"""What needs attention, for whom."""

from __future__ import annotations

import msgspec
import pytest

from iceprod.ids import timestamp
from server.production.failures import quarantine
from server.production.sites import grids
from server.rest.context import Context
from server.sensor.schedule.entries import Entry
from server.web.common import counters
from tests.unit.production.conftest import Maker
from tests.unit.web.conftest import Pages


@pytest.fixture(autouse=True)
def uncounted() -> None:
    counters._counters.clear()


async def told(pages: Pages, *who: str) -> str:
    return await pages.get("/web/?part=needs", *who)


async def test_nothing_needs_anybody(pages: Pages) -> None:
    assert "Nothing: all that waits has somebody who offers it" in await told(pages, "root", "admin")


async def test_what_nobody_offers_is_told_to_whom_it_belongs(ctx: Context, make: Maker, pages: Pages) -> None:
    await make.task(requirements={"cpu": 64, "memory": 999.0})
    for who in (("alice", "user"), ("root", "admin")):
        page = await told(pages, *who)
        assert "Nobody offers this: cpu 64" in page
        assert "no pilot was heard of in the last minutes" in page
    assert "Nobody offers this" not in await told(pages, "bob", "user")


async def test_places_in_trouble_are_for_administrators(ctx: Context, pages: Pages) -> None:
    await quarantine.put(ctx, "host", "node13", {"reason": "it eats tasks", "minutes": 60}, "root")
    grid_id = await grids.create(ctx, {"host": "h", "queues": {}, "version": "1", "site": "south"}, "g")
    await grids.patch(ctx, grid_id, {"trouble": "the schedd refuses"})
    page = await told(pages, "root", "admin")
    assert "The host node13 is quarantined" in page
    assert "The grid of south is in trouble" in page
    assert "node13" not in await told(pages, "alice", "user")


async def test_suspended_datasets_and_failed_tasks(ctx: Context, make: Maker, pages: Pages) -> None:
    suspended, failing = await make.dataset(), await make.dataset()
    await make.task(failing)
    await ctx.db.tasks.update_many({"dataset_id": failing}, {"$set": {"status": "failed"}})
    await ctx.db.datasets.update_one({"dataset_id": suspended}, {"$set": {"status": "suspended"}})
    page = await told(pages, "root", "admin")
    assert "1 failed task" in page
    assert "is suspended" in page


async def test_a_run_of_the_schedule_that_failed_last(ctx: Context, pages: Pages) -> None:
    entry = Entry(name="canary", action="scan", owner="alice", start=0, next_time=0, created=timestamp(),
                  modified=timestamp())
    await ctx.db.schedule.insert_one(msgspec.to_builtins(entry))
    run = {"entry": "canary", "started": timestamp(), "finished": timestamp(), "detail": ""}
    rows = [{**run, "task_id": 1, "status": "success"},
            {**run, "task_id": 2, "status": "failure", "detail": "no pilot"}]
    await ctx.db.acquisitions.insert_many(rows)
    assert "The last run of canary failed" in await told(pages, "alice", "user")
    counters._counters.clear()
    await ctx.db.acquisitions.insert_one({**run, "task_id": 3, "status": "success"})
    assert "canary" not in await told(pages, "alice", "user")
    assert "canary" not in await told(pages, "bob", "user")


async def test_dead_letters_of_alerts_are_for_those_who_decide(ctx: Context, pages: Pages) -> None:
    await ctx.db.alert_outbox.insert_one({"_id": "k", "alert_id": "a", "target": "gcn", "state": "dead",
                                          "outcome": "the broker refuses", "created": 1.0})
    assert "A notice could not be sent to gcn" in await told(pages, "root", "admin")
    assert "gcn" not in await told(pages, "alice", "user")
