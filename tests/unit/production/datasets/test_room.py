"""The embedded store has an end: who would go beyond is told so before."""

from __future__ import annotations

import shutil
from collections import namedtuple

import msgspec
import pytest

from config.settings import Database
from server.common.errors import InsufficientStorage
from server.production.datasets import datasets, room
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def small(ctx: Context) -> Context:
    """A database that takes a hundred tasks."""
    settings = msgspec.structs.replace(ctx.settings, data="/", database=Database(most_tasks=100))
    return Context(settings, ctx.db, ctx.secret)


async def test_what_is_promised_counts_as_much_as_what_is_there(small: Context) -> None:
    make = Maker(small)
    first = await make.dataset(jobs=30, per_job=2)
    await make.tasks(first, *(NewTask(job, "gen", {"cpu": 1}) for job in range(10)))
    await make.dataset(jobs=40)
    with pytest.raises(InsufficientStorage, match=r"be 101 tasks.* takes 100 .*iceprod archive") as caught:
        await make.dataset(jobs=1)
    assert caught.value.code == 507
    assert await small.db.datasets.count_documents({}) == 2
    with pytest.raises(InsufficientStorage, match="tasks_submitted"):
        await datasets.set_jobs_submitted(small, first, 31)
    await datasets.truncate(small, first)  # 50 will not be made any more
    await make.dataset(jobs=50)


async def test_scans_are_always_taken(small: Context) -> None:
    make = Maker(small)
    await make.dataset(jobs=100)
    await make.dataset(jobs=0, per_job=1)


async def test_without_a_limit_the_disk_is_the_end(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = msgspec.structs.replace(ctx.settings, data="/", database=Database(most_tasks=0))
    make = Maker(Context(settings, ctx.db, ctx.secret))
    free = room.LEFT_FREE + 50 * room.BYTES_A_TASK
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free, 0, free))
    await make.dataset(jobs=50)
    with pytest.raises(InsufficientStorage, match=r"need about 1.0 GB of disk, 1.0 GB are free"):
        await make.dataset(jobs=1)


async def test_a_mongodb_has_its_own_end(small: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(room._embedded, small.db, False)
    await Maker(small).dataset(jobs=1_000_000_000)


async def test_tasks_of_before_there_were_counters_are_not_promised_a_second_time(small: Context) -> None:
    make = Maker(small)
    first = await make.dataset(jobs=60)
    await make.tasks(first, *(NewTask(job, "gen", {"cpu": 1}) for job in range(60)))
    await small.db.task_totals.update_one({"_id": first}, {"$set": {"whole": 0, "doubt": True}})
    await make.dataset(jobs=40)
    with pytest.raises(InsufficientStorage, match="be 101 tasks"):
        await make.dataset(jobs=1)
