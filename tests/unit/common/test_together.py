"""What comes while others are served is done in one go, and everybody gets the own result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from server.common.together import Together


async def test_each_gets_the_own_result_in_few_batches() -> None:
    batches: list[list[int]] = []

    async def double(context: str, items: Sequence[int]) -> list[int | Exception]:
        batches.append(list(items))
        await asyncio.sleep(0.01)
        return [2 * item for item in items]

    together: Together[str, int, int] = Together(double, most=10)
    assert await asyncio.gather(*(together.do("c", n) for n in range(25))) == [2 * n for n in range(25)]
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert await together.do("c", 7) == 14, "it goes on after a rest"


async def test_an_error_is_of_one_or_of_all() -> None:
    async def act(context: str, items: Sequence[int]) -> list[int | Exception]:
        if 13 in items:
            raise OSError("away")
        return [ValueError("odd") if item % 2 else item for item in items]

    together: Together[str, int, int] = Together(act)
    results = await asyncio.gather(*(together.do("c", n) for n in range(3)), return_exceptions=True)
    assert (results[0], results[2]) == (0, 2)
    assert isinstance(results[1], ValueError)
    with pytest.raises(OSError, match="away"):
        await together.do("c", 13)
    assert await together.do("c", 4) == 4


async def test_who_gave_up_disturbs_nobody() -> None:
    async def act(context: str, items: Sequence[int]) -> list[int | Exception]:
        await asyncio.sleep(0.02)
        return list(items)

    together: Together[str, int, int] = Together(act, pause=lambda context: 0.01)
    gone, stays = (asyncio.create_task(together.do("c", n)) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 2
