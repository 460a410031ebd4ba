"""A dataset does not end while its jobs are being made."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from server.production.datasets import datasets
from server.production.tasks import completion
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker


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
