"""Periodic services go on, whatever one of their runs does."""

from __future__ import annotations

import asyncio

import pytest

from server.rest.context import Context
from server.services import leader
from server.services.leader import Service, Services


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
