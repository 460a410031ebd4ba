"""Periodic services stop when they are told to, whatever they are doing."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from config.settings import Settings
from server.rest.context import Context
from server.services.leader import Service, Services


class Here:
    """All that a service without a lease needs of a server."""

    settings = Settings()

    class signals:
        @staticmethod
        async def wait(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)


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
