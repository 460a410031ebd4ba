"""Why nothing of a dataset runs: in the words that are told of a task."""

from __future__ import annotations

from typing import Any

from server.production.datasets import datasets
from server.production.failures.explain import explain
from server.production.failures.standstill import NO_TASKS, Standstill, why_nothing_runs
from server.production.leases import leases
from server.production.leases.leases import Claim
from server.production.tasks import counting
from server.production.tasks.classes import PARKED
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker


async def why(ctx: Context, dataset_id: str, **fields: Any) -> Standstill | None:
    dataset = await datasets.get(ctx, dataset_id)
    counts = await counting.of_dataset(ctx, dataset_id)
    return await why_nothing_runs(ctx, {**dataset, **fields}, counts)


async def test_it_is_what_is_told_of_the_task(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    task = await make.task(dataset)
    told = await why(ctx, dataset)
    assert told is not None
    assert told.reason == (await explain(ctx, dataset, task["task_id"]))["reason"]
    assert told.sentence == "No pilot was heard of in the last minutes."
    assert told.task is not None
    assert told.task["task_id"] == task["task_id"]


async def test_nothing_is_said_while_a_task_runs_or_when_all_is_done(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, NewTask(0, "a"), NewTask(1, "a"))
    await leases.claim(ctx, Claim(num=1, offer={"cpu": 1}))
    assert await why(ctx, dataset) is None
    assert await why(ctx, await make.dataset(), status="complete") is None


async def test_a_dataset_without_tasks_says_so(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    assert await why(ctx, dataset) == Standstill(NO_TASKS)
    told = await why(ctx, dataset, materialisation_error="no such variable")
    assert told == Standstill("jobs cannot be made: no such variable")


async def test_of_those_that_wait_one_that_waits_for_a_pilot_is_asked(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    parked, waiting = await make.tasks(dataset, NewTask(0, "a"), NewTask(1, "a"))
    await ctx.db.tasks.update_one({"task_id": parked["task_id"]}, {"$set": {"class_key": PARKED}})
    told = await why(ctx, dataset)
    assert told is not None
    assert told.task is not None
    assert told.task["task_id"] == waiting["task_id"]
    await ctx.db.tasks.delete_one({"task_id": waiting["task_id"]})
    told = await why(ctx, dataset)
    assert told is not None
    assert told.task is not None
    assert told.task["task_id"] == parked["task_id"]


async def test_what_failed_and_what_depends_is_told(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    (first,) = await make.tasks(dataset, NewTask(0, "a"))
    await make.tasks(dataset, NewTask(0, "b", task_index=1, depends=(first["task_id"],)))
    await ctx.db.tasks.update_one({"task_id": first["task_id"]}, {"$set": {"status": "failed"}})
    told = await why(ctx, dataset)
    assert told is not None
    assert told.reason == "it waits for 1 other tasks"
