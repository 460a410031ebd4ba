"""Jobs and datasets end when they shall: not while jobs are being made, and many together."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from server.production.common.documents import Document
from server.production.datasets import datasets
from server.production.tasks import bulk, completion, counting
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker, commands


async def test_jobs_that_are_made_between_two_looks_are_seen(ctx: Context, make: Maker,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_id = await make.dataset(jobs=2)
    count = AsyncCollection.count_documents

    async def made_just_now(jobs: Any, *args: Any, **kwargs: Any) -> int:
        if jobs.name == "jobs":
            await make.tasks(dataset_id, NewTask(0, "a"), NewTask(1, "a"))
        return await count(jobs, *args, **kwargs)

    monkeypatch.setattr(AsyncCollection, "count_documents", made_just_now)
    assert await completion.settle_dataset(ctx, await datasets.get(ctx, dataset_id)) == "processing"
    assert (await datasets.get(ctx, dataset_id))["status"] == "processing"


async def test_many_completed_by_hand_are_followed_together(ctx: Context, make: Maker) -> None:
    """Dependents wait, jobs and dataset end, and how many there are costs no commands."""
    costs = set[float]()
    for jobs in (3, 30):
        dataset = await make.dataset(jobs=jobs, per_job=2)
        first = await make.tasks(dataset, *(NewTask(n, "gen") for n in range(jobs)))
        second = await make.tasks(dataset, *(NewTask(n, "hits", task_index=1, depends=(one["task_id"],))
                                             for n, one in enumerate(first)))
        before = commands()
        await bulk.set_task_status(ctx, chosen(dataset, first), "complete")
        assert await counting.of_dataset(ctx, dataset) == {"complete": jobs, "waiting": jobs}
        await bulk.set_task_status(ctx, chosen(dataset, second), "complete")
        assert await counting.of_dataset(ctx, dataset) == {"complete": 2 * jobs}
        costs.add(commands() - before)
        assert await jobs_of(ctx, dataset) == {"complete"}
        assert (await datasets.get(ctx, dataset))["status"] == "complete"
        assert await ctx.db.tasks.find_one({"due": {"$exists": True}}) is None
    assert len(costs) == 1


def chosen(dataset_id: str, tasks: list[Document]) -> bulk.Selection:
    return bulk.Selection(dataset_id, tasks=tuple(task["task_id"] for task in tasks))


async def jobs_of(ctx: Context, dataset_id: str) -> set[str]:
    return {job["status"] async for job in ctx.db.jobs.find({"dataset_id": dataset_id}, {"status": 1})}
