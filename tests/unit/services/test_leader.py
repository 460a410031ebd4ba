"""Periodic services stop when they are told to, whatever they are doing."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from config.settings import Settings
from server.common.signals import Signals
from server.rest.context import Context
from server.services.leader import LONGEST_QUIET, QUIET_LOOKS, Service, Services, pause_of


class Here:
    """All that a service without a lease needs of a server."""

    settings = Settings()
    signals = Signals()

    class db:
        """One that nobody asks."""


@pytest.mark.parametrize("turns", range(6))
async def test_a_service_that_swallows_its_cancellation_is_cancelled_again(turns: int) -> None:
    """As `asyncio.wait_for` of Python 3.11 does when what it waits for has ended just then."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def run(ctx: Context) -> None:
        begun.set()
        await asyncio.wait_for(go_on.wait(), 60)

    services = Services(cast(Context, Here()), [Service("short", lambda ctx: 60.0, run, signal="short")])
    services.start()
    await begun.wait()
    await asyncio.sleep(0)
    go_on.set()
    for _ in range(turns):  # in one of them it has ended, and nobody was told yet
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await services.stop()


async def _nothing(ctx: Context) -> None:
    pass


def test_who_works_when_told_to_looks_more_rarely_after_a_while() -> None:
    told = Service("told", lambda ctx: 2.0, _nothing, signal="told")
    looks = [pause_of(told, 2.0, number) for number in range(QUIET_LOOKS + 2)]
    assert looks == [2.0] * QUIET_LOOKS + [8.0, 8.0]
    assert [pause_of(told, 5.0, 100, quiet) for quiet in (20, 80, 200, 1e6)] == [20.0, 20.0, 50.0, 60.0]
    assert pause_of(told, 15.0, 100) == LONGEST_QUIET
    assert pause_of(told, 60.0, 100) == 60.0, "what looks rarely anyway does not look more often"


def test_who_only_looks_looks_as_ever() -> None:
    assert pause_of(Service("looks", lambda ctx: 2.0, _nothing), 2.0, 100) == 2.0
