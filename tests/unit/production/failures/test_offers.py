"""Pilots beside a task: who could take it; and that thousands of them are read while others are answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from iceprod.ids import new_id, timestamp
from server.production.common import heard
from server.production.failures.offers import Suitors, kinds
from server.rest.context import Context

TASK: dict[str, Any] = {"dataset_id": "d", "requirements": {"cpu": 2, "memory": 4.0}}
LARGE, SMALL = {"cpu": 4, "memory": 8.0}, {"cpu": 1, "memory": 8.0}


def pilot(resources: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"pilot_id": new_id(), "last_update": timestamp(), "resources": resources, "host": "h",
            "site": "s", "tasks": [], **other}


async def test_they_are_counted_by_what_they_could_do(ctx: Context) -> None:
    await ctx.db.pilots.insert_many([
        pilot(SMALL), pilot(SMALL), pilot(LARGE), pilot(LARGE, drain=True), pilot(LARGE, tasks=["t"]),
        pilot(LARGE, resources_available={"cpu": 1, "memory": 8.0}),
        pilot(LARGE, last_update="2020-01-01T00:00:00")])
    told = (await Suitors.gather(ctx, TASK)).told()
    assert told == {"pilots": 6, "fitting_pilots": 4, "barred_pilots": 1, "free_pilots": 1, "busy_pilots": 2,
                    "missing": [], "reason": "4 of 6 pilots could take it: 2 are busy, 1 have room, "
                                             "1 get no tasks or not this one, as they drain or failed"}


async def test_what_nobody_offers_is_named(ctx: Context) -> None:
    assert "no pilot was heard of" in (await Suitors.gather(ctx, TASK)).told()["reason"]
    await ctx.db.pilots.insert_many([pilot(SMALL), pilot(SMALL)])
    told = (await Suitors.gather(ctx, TASK)).told()
    assert told["missing"] == [{"resource": "cpu", "wanted": 2, "offered": 1}]
    assert told["reason"] == "no pilot offers enough cpu"
    assert await kinds(ctx) == [{**SMALL, "site": "s"}]


async def test_others_have_their_turn_between(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heard, "TOGETHER", 10)
    await ctx.db.pilots.insert_many([pilot(LARGE, drain=True) for _ in range(200)])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    found = await Suitors.gather(ctx, TASK)
    others.cancel()
    assert (found.pilots, found.barred) == (200, 200)
    assert turns >= 20
