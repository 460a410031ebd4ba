"""Periodic services go on, whatever one of their runs does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from iceprod.ids import now
from server.rest.context import Context
from server.services import leader
from server.services.leader import Service, Services
from tests.unit.production.conftest import commands


@pytest.mark.parametrize("signal", ["", "tasks"])
async def test_a_run_that_never_ends_is_given_up(ctx: Context, monkeypatch: pytest.MonkeyPatch,
                                                 signal: str) -> None:
    monkeypatch.setattr(leader, "LONGEST_LOOK", 0.05)
    monkeypatch.setattr(leader, "LONGEST_WORK", 0.05)
    runs, done = [0], asyncio.Event()

    async def run(ctx: Context) -> None:
        runs[0] += 1
        if runs[0] == 1:
            await asyncio.Event().wait()
        done.set()

    services = Services(ctx, [Service("look", lambda ctx: 0.001, run, signal)])
    services.start()
    await asyncio.wait_for(done.wait(), 60)
    await services.stop()
    assert runs[0] >= 2


async def test_a_run_that_fails_is_tried_again(ctx: Context) -> None:
    runs, done = [0], asyncio.Event()

    async def run(ctx: Context) -> None:
        runs[0] += 1
        if runs[0] == 1:
            raise ValueError("no luck")
        done.set()

    services = Services(ctx, [Service("look", lambda ctx: 0.001, run)])
    services.start()
    await asyncio.wait_for(done.wait(), 60)
    await services.stop()
    assert services.last_success["look"] > 0


async def test_leases_are_kept_together(ctx: Context) -> None:
    other = replace(ctx, server_id="other")
    assert await leader.hold_lease(ctx, "a", 60.0)
    assert await leader.hold_lease(ctx, "b", 0.0)
    assert await leader.hold_lease(other, "b", 60.0)
    assert not await leader.renew_leases(ctx, ["a", "b"], 120.0), "one of them is another's by now"
    assert await leader.renew_leases(ctx, ["a"], 120.0)
    row = await ctx.db.leases.find_one({"_id": "a"})
    assert row is not None
    assert row["until"] > now() + timedelta(seconds=60)


async def test_one_command_keeps_all_leases_of_a_process(ctx: Context) -> None:
    async def run(_: Context) -> None:
        pass

    work = [Service(name, lambda _: 1.0, run) for name in "abcd"]
    services = Services(ctx, work)
    assert all([await services._leads(one, 60.0) for one in work])
    services._held = dict.fromkeys(services._held, time.monotonic() + 20.0)  # two thirds are over
    before = commands()
    assert all([await services._leads(one, 60.0) for one in work])
    assert commands() == before + 1
    until = {row["until"] async for row in ctx.db.leases.find({})}
    assert len(until) == 1


async def test_who_does_not_lead_asks_now_and_then(ctx: Context) -> None:
    async def run(_: Context) -> None:
        pass

    assert await leader.hold_lease(replace(ctx, server_id="other"), "service:a", 60.0)
    services, work = Services(ctx, []), Service("a", lambda _: 1.0, run)
    assert not await services._leads(work, 60.0)
    before = commands()
    assert not await services._leads(work, 60.0)
    assert commands() == before
