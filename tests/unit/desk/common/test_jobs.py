"""Jobs: who does them, and what happens when their worker does not end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common import jobs
from server.desk.common.access import Visitor
from server.desk.common.jobs import Job
from server.rest.context import Context

WHO = Visitor(3, "eva", groups=frozenset({1}))


class Worker:
    """A worker that counts, and fails as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[int] = []
        self.error = error

    async def __call__(self, ctx: Context, job: Job) -> str:
        self.seen.append(job.number)
        await jobs.note(ctx, job, steps=int(job.progress.get("steps", 0)) + 1)
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return "completed: all"


async def row(ctx: Context, number: int) -> dict[str, object]:
    found = await ctx.db.desk_jobs.find_one({"_id": number})
    assert found is not None
    return dict(found)


async def test_each_job_is_done_once_by_whoever_is_there(ctx: Context) -> None:
    numbers = [await jobs.add(ctx, WHO, "test", {"n": n}) for n in range(12)]
    await jobs.add(ctx, WHO, "other", {})
    workers = [Worker() for _ in range(4)]
    await asyncio.gather(*(jobs.work(ctx, "test", worker) for worker in workers))
    assert sorted(number for worker in workers for number in worker.seen) == numbers
    assert {(await row(ctx, number))["status"] for number in numbers} == {"completed: all"}


async def test_a_job_that_cannot_be_done_says_why(ctx: Context) -> None:
    number = await jobs.add(ctx, WHO, "test", {})
    await jobs.work(ctx, "test", Worker(BadRequest("no such thing")))
    assert (await row(ctx, number))["status"] == "failed: no such thing"
    again = Worker()
    await jobs.work(ctx, "test", again)
    assert again.seen == []


async def test_a_job_whose_worker_died_is_taken_up_with_its_progress(ctx: Context) -> None:
    number = await jobs.add(ctx, WHO, "test", {})
    with pytest.raises(RuntimeError):
        await jobs.work(ctx, "test", Worker(RuntimeError("crash")))
    idle = Worker()
    await jobs.work(ctx, "test", idle)
    assert idle.seen == [], "its lease lasts"
    await ctx.db.desk_jobs.update_one({"_id": number}, {"$set": {"lease": now() - timedelta(seconds=1)}})
    await jobs.work(ctx, "test", Worker())
    found = await row(ctx, number)
    assert (found["status"], found["progress"]) == ("completed: all", {"steps": 2})


async def test_a_job_that_kills_its_workers_is_given_up(ctx: Context) -> None:
    number = await jobs.add(ctx, WHO, "test", {})
    for _ in range(jobs.MOST_TRIES):
        with pytest.raises(RuntimeError):
            await jobs.work(ctx, "test", Worker(RuntimeError("crash")))
        await ctx.db.desk_jobs.update_one({"_id": number}, {"$set": {"lease": now() - timedelta(seconds=1)}})
    last = Worker()
    await jobs.work(ctx, "test", last)
    assert last.seen == []
    assert str((await row(ctx, number))["status"]).startswith("failed: it did not end")


async def test_who_sees_jobs(ctx: Context) -> None:
    mine = await jobs.add(ctx, WHO, "test", {"blob": "hidden"}, [1])
    for who, numbers in ((WHO, [mine]), (Visitor(4, "a", groups=frozenset({1})), [mine]),
                         (Visitor(5, "b"), []), (Visitor(6, "c", frozenset({"System admin"})), [mine])):
        found = [jobs.shown(one) for one in await jobs.listed(ctx, who, ["test"], 10)]
        assert [one["id"] for one in found] == numbers
        assert "hidden" not in str(found)


async def test_a_job_that_gets_on_is_never_given_up(ctx: Context) -> None:
    """However often its server ends: only one that does not move at all is."""
    number = await jobs.add(ctx, WHO, "test", {})

    async def die(ctx: Context, job: jobs.Job) -> str:
        await jobs.advance(ctx, job, rows=int(job.progress.get("rows", 0)) + 1)
        raise RuntimeError

    for _ in range(3 * jobs.MOST_TRIES):
        with pytest.raises(RuntimeError):
            await jobs.work(ctx, "test", die)
        await ctx.db.desk_jobs.update_one({"_id": number}, {"$set": {"lease": now()}})
    row = await ctx.db.desk_jobs.find_one({"_id": number})
    assert (row["is_done"], row["progress"]) == (False, {"rows": 3 * jobs.MOST_TRIES})
