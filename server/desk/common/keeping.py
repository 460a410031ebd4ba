"""Keeping a lease in the database while the work that it is for goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from pymongo.errors import PyMongoError

__all__ = ["keeping"]


@contextlib.asynccontextmanager
async def keeping(extend: Callable[[], Awaitable[object]], seconds: float) -> AsyncIterator[None]:
    """Extend a lease every so many seconds meanwhile; where the database fails, the next time will do."""
    keeper = asyncio.create_task(_keep(extend, seconds))
    try:
        yield
    finally:
        keeper.cancel()


async def _keep(extend: Callable[[], Awaitable[object]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        with contextlib.suppress(PyMongoError):
            await extend()
