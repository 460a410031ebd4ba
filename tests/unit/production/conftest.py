"""A database of its own for every test, on one embedded store for all of them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import msgspec
import pytest
from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Database, Failures, Leases, Settings
from server import production
from server.common import metrics
from server.production.common.documents import Document
from server.production.datasets import datasets
from server.production.datasets.datasets import NewDataset
from server.production.tasks.task_store import NewTask, create_tasks, soon
from server.rest.context import Context
from server.store.database import connect, ensure_indexes
from tests.support.store import embedded_store


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_store(tmp_path_factory.mktemp("production")) as url:
        yield url


@pytest.fixture
async def ctx(store_url: str) -> AsyncIterator[Context]:
    settings = msgspec.structs.replace(Settings(), leases=Leases(seconds=60.0),
                                      failures=Failures(backoff_seconds=0.0))
    db = connect(Database(url=store_url, name=f"t{uuid.uuid4().hex[:12]}"))
    await ensure_indexes(db, production.INDEXES)
    await long_up(db)
    yield Context(settings, db, "s" * 48)
    await db.client.drop_database(db.name)
    await db.client.close()


async def long_up(db: AsyncDatabase) -> None:
    """Have the pulse of a server that has been there all day."""
    pulse = {"_id": "pulse", "since": soon(-86400), "last": soon(0)}
    await db.pulses.replace_one({"_id": "pulse"}, pulse, upsert=True)


def commands() -> float:
    """How many commands were sent to the database so far, without those that go on reading an answer."""
    return sum(sample.value for metric in metrics.DATABASE_COMMANDS.collect() for sample in metric.samples
               if sample.name.endswith("_total") and "getMore" not in sample.labels.values())


class Maker:
    """Makes datasets with tasks, for tests."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def dataset(self, *, jobs: int = 10, per_job: int = 1, **fields: object) -> str:
        new = NewDataset("test", "users", jobs, jobs * per_job, per_job, username="alice")
        return await datasets.create_dataset(self.ctx, replace(new, **fields))

    async def tasks(self, dataset_id: str, *specs: NewTask) -> list[Document]:
        return await create_tasks(self.ctx, dataset_id, specs)

    async def task(self, dataset_id: str = "", **fields: object) -> Document:
        spec = replace(NewTask(0, "gen", {"cpu": 1, "memory": 2.0}), **fields)
        return (await self.tasks(dataset_id or await self.dataset(), spec))[0]

    async def read(self, task_id: str) -> Document:
        task = await self.ctx.db.tasks.find_one({"task_id": task_id})
        assert task is not None
        return task


@pytest.fixture
def make(ctx: Context) -> Maker:
    return Maker(ctx)
