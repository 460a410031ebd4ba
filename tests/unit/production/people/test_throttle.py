"""Failed logins are counted for a while, by all servers together."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta

import pytest

from iceprod.ids import now
from server.common.errors import TooManyRequests
from server.production.people.throttle import Throttle
from server.rest.context import Context

BEGIN = datetime(2100, 1, 1)  # the store forgets by its own clock, which is not there yet


def later(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


async def test_too_many_tries_have_to_wait_wherever_they_are_made(ctx: Context) -> None:
    servers = [Throttle(ctx.db, 60.0) for _ in range(3)]
    for number, server in enumerate(servers):
        await server.count({"ada": 3}, later(10 * number))
    with pytest.raises(TooManyRequests) as refused:
        await servers[0].count({"ada": 3, "all": 100}, later(30))
    assert refused.value.retry_after == 30
    await servers[1].count({"bob": 3}, later(30))
    await servers[1].count({"ada": 3}, later(61))


async def test_a_good_try_is_taken_back(ctx: Context) -> None:
    throttle = Throttle(ctx.db, 60.0)
    for _ in range(20):
        await throttle.count({"ada": 2}, now())
        await throttle.forgive(["ada"])


async def test_many_at_once_count(ctx: Context) -> None:
    servers = [Throttle(ctx.db, 60.0) for _ in range(3)]
    tries = [servers[number % 3].count({"ada": 5}, BEGIN) for number in range(60)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) <= 5
    more = await asyncio.gather(*(servers[0].count({"ada": 5}, BEGIN) for _ in range(6)),
                                return_exceptions=True)
    assert any(isinstance(outcome, TooManyRequests) for outcome in more)


@pytest.mark.parametrize("seed", range(3))
async def test_never_more_failures_than_allowed_in_a_window(ctx: Context, seed: int) -> None:
    chance, throttle, limit, failed, moment = random.Random(seed), Throttle(ctx.db, 60.0), 3, [], 0.0
    for _ in range(60):
        moment += chance.uniform(0, 30)
        try:
            await throttle.count({"ada": limit}, later(moment))
        except TooManyRequests:
            continue
        if chance.random() < 0.3:
            await throttle.forgive(["ada"])
        else:
            failed.append(moment)
    for start in failed:  # windows follow one another, so that two of them may touch
        assert sum(start <= one < start + 60 for one in failed) <= 2 * limit
