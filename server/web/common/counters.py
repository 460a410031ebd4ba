"""Counts that pages show, kept in memory for a while: the longer the database took, the longer.

So a page on a dataset of millions of tasks costs the database a small share of its time, however often and by
however many people it is looked at; and counts of small datasets are as good as live. Nobody waits for a
count that takes long once it was made: the last one is shown while the next is under way.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.production.datasets import jobs
from server.production.tasks import counting
from server.rest.context import Context

__all__ = ["job_counts", "kept", "name_counts", "task_counts"]

T = TypeVar("T")
KEPT = 2000
SHARE = 50.0  # a count is kept for so many times what it cost
LONG_SECONDS = 0.1  # nobody waits for a count that takes longer, but for the first one
LEAST_SECONDS, MOST_SECONDS = 0.5, 120.0


@dataclass
class _Kept:
    value: Any
    until: float
    cost: float


@dataclass
class _Counters:
    """What one process counted, and the counts that are under way."""

    kept: OrderedDict[tuple[str, str], _Kept] = field(default_factory=OrderedDict)
    under_way: dict[tuple[str, str], asyncio.Future[Any]] = field(default_factory=dict)

    async def get(self, key: tuple[str, str], count: Callable[[], Awaitable[Any]]) -> Any:
        kept = self.kept.get(key)
        if kept and kept.until > time.monotonic():
            self.kept.move_to_end(key)
            return kept.value
        counting = self._begun(key, count)
        if kept and kept.cost > LONG_SECONDS and time.monotonic() - kept.until < MOST_SECONDS:
            return kept.value
        return await asyncio.shield(counting)

    def _begun(self, key: tuple[str, str], count: Callable[[], Awaitable[Any]]) -> asyncio.Future[Any]:
        if key not in self.under_way:  # several who ask at the same time make one count
            self.under_way[key] = asyncio.ensure_future(self._count(key, count))
            self.under_way[key].add_done_callback(_heard)
        return self.under_way[key]

    async def _count(self, key: tuple[str, str], count: Callable[[], Awaitable[Any]]) -> Any:
        started = time.monotonic()
        try:
            value = await count()
        finally:
            del self.under_way[key]
        cost = time.monotonic() - started
        until = started + cost + min(MOST_SECONDS, max(LEAST_SECONDS, SHARE * cost))
        self.kept[key] = _Kept(value, until, cost)
        while len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return value


def _heard(counting: asyncio.Future[Any]) -> None:
    """A count that nobody waited for may have failed; whoever asks next hears of it."""
    if not counting.cancelled():
        counting.exception()


_counters: WeakKeyDictionary[AsyncDatabase, _Counters] = WeakKeyDictionary()


def _of(ctx: Context) -> _Counters:
    return _counters.setdefault(ctx.db, _Counters())


async def kept(ctx: Context, what: str, make: Callable[[], Awaitable[T]], about: str = "") -> T:
    """Something else that costs, of one thing that it is about or of the whole house."""
    found: T = await _of(ctx).get((what, about), make)
    return found


async def job_counts(ctx: Context, dataset_id: str) -> dict[str, int]:
    """How many jobs of a dataset are in each status."""
    return await _of(ctx).get(("jobs", dataset_id), lambda: jobs.counts(ctx, dataset_id))


async def task_counts(ctx: Context, dataset_id: str) -> dict[str, int]:
    """How many tasks of a dataset are in each status."""
    return await _of(ctx).get(("tasks", dataset_id), lambda: counting.of_dataset(ctx, dataset_id))


async def name_counts(ctx: Context, dataset_id: str) -> dict[str, dict[str, int]]:
    """How many tasks of each name of a dataset are in each status."""
    return await _of(ctx).get(("names", dataset_id), lambda: counting.by_name(ctx, dataset_id))
