"""Counters of a dataset's jobs and tasks: after whatever happens they are what a count says."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect, BulkWriteError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.production.datasets import jobs, totals
from server.production.datasets.totals import Totals
from server.production.leases import ends, leases
from server.production.leases.leases import Claim
from server.production.tasks import bulk, counting, task_changes, task_store
from server.production.tasks.bulk import Selection
from server.production.tasks.task_store import NewTask, create_tasks
from server.rest.context import Context
from tests.unit.production.conftest import Maker

NAMES = ("gen", "sim.det", "", "$filter")


class Crash(BaseException):
    """The process ends here."""


async def counted(ctx: Context, dataset_id: str) -> tuple[dict[str, int], dict[str, dict[str, int]], int]:
    """What a look at every document says: tasks by status, by name and status, and jobs."""
    by_name: dict[str, dict[str, int]] = {}
    by_status: dict[str, int] = {}
    async for task in ctx.db.tasks.find({"dataset_id": dataset_id}):
        of_name = by_name.setdefault(task["name"], {})
        for numbers in (of_name, by_status):
            numbers[task["status"]] = numbers.get(task["status"], 0) + 1
    return by_status, by_name, await ctx.db.jobs.count_documents({"dataset_id": dataset_id})


async def is_right(ctx: Context, dataset_id: str) -> bool:
    """Whether what the API says is what a look at every document says."""
    by_status, by_name, number = await counted(ctx, dataset_id)
    return (await counting.of_dataset(ctx, dataset_id) == by_status
            and await counting.by_name(ctx, dataset_id) == by_name
            and sum((await jobs.counts(ctx, dataset_id)).values()) == number
            and await counting.of_all(ctx) == by_status)


class Sequence:
    """Things that happen to one dataset, chosen by chance."""

    def __init__(self, ctx: Context, dataset_id: str, chance: random.Random) -> None:
        self.ctx, self.dataset_id, self.chance, self.next_job = ctx, dataset_id, chance, 0

    def specs(self) -> list[NewTask]:
        made = [NewTask(self.next_job + job, name, {"cpu": 1}, number, depends=())
                for job in range(self.chance.randint(1, 4)) for number, name in enumerate(NAMES)]
        self.next_job += self.chance.randint(0, 4)  # some are made again: that changes nothing
        return made

    async def make(self) -> None:
        await create_tasks(self.ctx, self.dataset_id, self.specs())

    async def end(self) -> None:
        offer = {"cpu": 8, "memory": 100.0, "disk": 100.0, "time": 100.0}
        wanted = Claim(offer, num=self.chance.randint(1, 6), target="processing")
        for task in await leases.claim(self.ctx, wanted):
            if self.chance.random() < 0.7:
                await ends.complete(self.ctx, task["task_id"], task["instance_id"])

    async def suspend(self) -> None:
        await bulk.suspend_tasks(self.ctx, Selection(self.dataset_id))

    async def reset(self) -> None:
        await bulk.hard_reset_tasks(self.ctx, Selection(self.dataset_id), "waiting")

    async def rename(self) -> None:
        if task := await self.ctx.db.tasks.find_one({"dataset_id": self.dataset_id}):
            await task_changes.patch(self.ctx, task["task_id"], {"name": self.chance.choice(NAMES)})

    async def prove(self) -> None:
        await totals.prove(self.ctx)

    async def crash(self) -> None:
        """A process ends while it makes tasks, before one of its writes, and others see it dead later."""
        left = self.chance.randint(0, 4)

        async def before_write(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        with pytest.MonkeyPatch.context() as patch:
            for module, name in ((task_store, "_insert_new"), (totals, "_begin"), (totals, "_end")):
                patch.setattr(module, name, _first(before_write, getattr(module, name)))
            with contextlib.suppress(Crash):
                while True:
                    await self.make()
        await _time_passes(self.ctx)

    async def step(self) -> None:
        await self.chance.choice([self.make, self.make, self.end, self.end, self.suspend, self.reset,
                                  self.rename, self.prove, self.crash])()


def _first(before: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    async def both(*arguments: Any) -> Any:
        await before(*arguments)
        return await then(*arguments)

    return both


async def _time_passes(ctx: Context) -> None:
    """So long that open batches are taken for dead."""
    async for row in ctx.db.task_totals.find({}):
        old = {f"open.{batch}": "2000-01-01T00:00:00" for batch in row["open"]}
        if old:
            await ctx.db.task_totals.update_one({"_id": row["_id"]}, {"$set": old})


@pytest.mark.parametrize("seed", range(4))
async def test_counters_are_right_after_any_sequence_of_changes_and_crashes(ctx: Context, make: Maker,
                                                                            seed: int) -> None:
    dataset_id = await make.dataset(jobs=1000, per_job=len(NAMES))
    sequence = Sequence(ctx, dataset_id, random.Random(seed))
    for _ in range(20):
        await sequence.step()
        assert await is_right(ctx, dataset_id)
    await totals.prove(ctx)
    known = await totals.totals(ctx, dataset_id)  # and a recount makes them certain again
    _, by_name, number = await counted(ctx, dataset_id)
    assert known == Totals(number, {name: sum(rows.values()) for name, rows in by_name.items()})
    assert await is_right(ctx, dataset_id)


async def test_counts_of_a_proven_dataset_do_not_look_at_complete_tasks(ctx: Context, make: Maker) -> None:
    dataset_id = await make.dataset()
    await make.tasks(dataset_id, *(NewTask(job, "gen", {"cpu": 1}, status="complete") for job in range(5)))
    await ctx.db.tasks.delete_many({"job_index": 0})  # behind the counters' back
    assert await counting.of_dataset(ctx, dataset_id) == {"complete": 5}


async def test_a_recount_mends_a_wrong_counter_and_says_so(ctx: Context, make: Maker,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    dataset_id = await make.dataset()
    await make.tasks(dataset_id, *(NewTask(job, "gen", {"cpu": 1}) for job in range(5)))
    await ctx.db.task_totals.update_one({"_id": dataset_id}, {"$inc": {"tasks.67656e": 3}})
    assert await totals.recount(ctx, dataset_id)
    assert await totals.totals(ctx, dataset_id) == Totals(5, {"gen": 5})
    assert "a counter was wrong" in caplog.text


async def test_a_recount_that_was_not_alone_keeps_nothing(ctx: Context, make: Maker,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_id = await make.dataset()
    await make.tasks(dataset_id, NewTask(0, "gen", {"cpu": 1}))
    count = totals._count

    async def slow(ctx: Context, dataset_id: str) -> Totals | None:
        found = await count(ctx, dataset_id)
        await make.tasks(dataset_id, NewTask(1, "gen", {"cpu": 1}))
        return found

    monkeypatch.setattr(totals, "_count", slow)
    assert not await totals.recount(ctx, dataset_id)
    assert await totals.totals(ctx, dataset_id) == Totals(2, {"gen": 2})


async def test_a_batch_that_was_given_up_and_ends_after_all_leaves_doubt(ctx: Context, make: Maker) -> None:
    dataset_id = await make.dataset()
    async with totals.making(ctx, dataset_id) as batch:
        await _time_passes(ctx)
        await totals.prove(ctx)  # finds it dead, and counts none
        await ctx.db.tasks.insert_one(task_store.new_task(dataset_id, "j", NewTask(0, "gen", {"cpu": 1})))
        batch.made(["gen"])
    assert await totals.totals(ctx, dataset_id) is None
    await totals.prove(ctx)
    assert await totals.totals(ctx, dataset_id) == Totals(0, {"gen": 1})


async def test_a_lost_answer_leaves_doubt(ctx: Context, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_id = await make.dataset()

    async def lost(*_: Any) -> None:
        raise AutoReconnect("gone")

    monkeypatch.setattr(task_store, "_insert_new", lost)
    with pytest.raises(AutoReconnect):
        await create_tasks(ctx, dataset_id, [NewTask(0, "gen", {"cpu": 1})])
    assert await totals.totals(ctx, dataset_id) is None


async def test_tasks_of_before_there_were_counters_are_counted(ctx: Context, make: Maker) -> None:
    dataset_id = await make.dataset()
    await ctx.db.tasks.insert_one(task_store.new_task(dataset_id, "j", NewTask(0, "gen", {"cpu": 1})))
    await make.tasks(dataset_id, NewTask(1, "gen", {"cpu": 1}))
    assert await counting.of_dataset(ctx, dataset_id) == {"waiting": 2}
    await totals.prove(ctx)
    assert await totals.totals(ctx, dataset_id) == Totals(1, {"gen": 2})


async def test_a_task_that_is_there_already_is_not_counted_twice(ctx: Context, make: Maker) -> None:
    task = await make.task()
    again = task_store.new_task(task["dataset_id"], task["job_id"], NewTask(0, "gen", {"cpu": 1}))
    with pytest.raises(BadRequest, match="duplicate task_index"):
        await task_store.create_task(ctx, again)
    await totals.prove(ctx)
    assert await totals.totals(ctx, task["dataset_id"]) == Totals(1, {task["name"]: 1})


async def test_nobody_believes_a_counter_while_an_older_program_may_make_tasks(ctx: Context,
                                                                               make: Maker) -> None:
    await ctx.db.meta.insert_one({"_id": "totals", "until": now() + timedelta(hours=1)})
    dataset_id = await make.dataset()
    await make.tasks(dataset_id, NewTask(0, "gen", {"cpu": 1}))
    await ctx.db.tasks.insert_one(task_store.new_task(dataset_id, "j", NewTask(1, "gen", {"cpu": 1})))
    assert await totals.prove(ctx) == 0
    assert (await counting.of_dataset(ctx, dataset_id), await counting.of_all(ctx)) == ({"waiting": 2},) * 2
    await ctx.db.meta.update_one({"_id": "totals"}, {"$set": {"until": now()}})
    totals._until.clear()
    assert await totals.prove(ctx) == 1
    known = await ctx.db.task_totals.find_one({"_id": dataset_id, "doubt": {"$exists": False}})
    assert known is not None
    assert known["whole"] == 2


async def test_datasets_that_only_an_older_program_filled_are_counted_after_the_upgrade(
        ctx: Context, make: Maker) -> None:
    """It knows of no counters, so nothing but an upgrade's end can begin them."""
    await ctx.db.meta.insert_one({"_id": "totals", "until": now() - timedelta(hours=1)})
    dataset_id = await make.dataset()
    await ctx.db.tasks.insert_one(task_store.new_task(dataset_id, "j", NewTask(0, "gen", {"cpu": 1})))
    archived = await make.dataset()
    await ctx.db.datasets.update_one({"dataset_id": archived}, {"$set": {"archived": True}})
    assert await totals.prove(ctx) == 1
    assert await totals.totals(ctx, dataset_id) == Totals(0, {"gen": 1})
    assert await totals.whole(ctx) == 1
    assert await totals.totals(ctx, archived) is None


async def test_tasks_that_a_majority_did_not_acknowledge_leave_doubt(ctx: Context, make: Maker,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """The next primary may not have them, so nobody is told that they are made."""
    dataset_id = await make.dataset()

    async def late(*_: Any, **__: Any) -> None:
        raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]})

    monkeypatch.setattr(AsyncCollection, "insert_many", late)
    with pytest.raises(BulkWriteError):
        await create_tasks(ctx, dataset_id, [NewTask(0, "gen", {"cpu": 1})])
    assert await totals.totals(ctx, dataset_id) is None
