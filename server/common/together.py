"""Doing together what many ask for at the same time: the busier, the cheaper."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from iceprod.tracing import traces
from iceprod.tracing.traces import Trace

__all__ = ["Together"]

C = TypeVar("C")
I = TypeVar("I")  # noqa: E741 (an item)
R = TypeVar("R")


class Together(Generic[C, I, R]):
    """Acts on items, one batch after another: what comes while a batch is under way makes the next one.

    `act` gives a result for every item, in their order; one that is an exception is raised for that item
    alone, and one that `act` raises for all of its batch. Before each batch there is a `pause` of seconds,
    for others to come. What is done for one item alone is a part of its trace, any other of none.
    """

    def __init__(self, act: Callable[[C, Sequence[I]], Awaitable[Sequence[R | BaseException]]],
                 most: int = 100, pause: Callable[[C], float] = lambda context: 0.0) -> None:
        self._act, self._most, self._pause = act, most, pause
        self._waiting: list[tuple[I, asyncio.Future[R], Trace | None]] = []
        self._acting: asyncio.Task[None] | None = None

    async def do(self, context: C, item: I) -> R:
        """Have it done with others; its result."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future, traces.current.get()))
        if self._acting is None:
            self._acting = asyncio.create_task(self._go_on(context))
        return await future

    async def _go_on(self, context: C) -> None:
        try:
            while self._waiting:
                if seconds := self._pause(context):
                    await asyncio.sleep(seconds)
                batch, self._waiting = self._waiting[:self._most], self._waiting[self._most:]
                traces.current.set(batch[0][2] if len(batch) == 1 else None)
                results = await self._results(context, [item for item, _, _ in batch])
                for (_, future, _), result in zip(batch, results, strict=True):
                    if future.done():
                        continue
                    if isinstance(result, BaseException):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._acting = None

    async def _results(self, context: C, items: Sequence[I]) -> Sequence[R | BaseException]:
        try:
            return await self._act(context, items)
        except BaseException as error:  # noqa: BLE001 (everyone who waits for this batch hears of it)
            return [error] * len(items)
