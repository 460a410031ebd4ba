"""What claims and ends of one task cost: commands to the database, counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from server.common import metrics
from server.production import repair
from server.production.common.documents import Document
from server.production.datasets import configs, datasets
from server.production.leases import leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.leases.many_ends import Ended, report_many
from server.production.tasks import completion, drawn, kinds
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker

CONFIG = {"version": 3, "tasks": [{"name": "a", "trays": [{"modules": [{"src": "/bin/true"}]}]}]}


@dataclass
class Counted:
    commands: float = 0.0


def _sent() -> float:
    [family] = metrics.DATABASE_COMMANDS.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


@contextlib.contextmanager
def counted() -> Iterator[Counted]:
    """How many commands were sent meanwhile."""
    before, found = _sent(), Counted()
    yield found
    found.commands = _sent() - before


async def claim(ctx: Context) -> tuple[Document, Document]:
    """A task, and what to run for it."""
    [task] = await leases.claim(ctx, Claim({"cpu": 1}, target="processing", pilot_id="p"))
    payloads = await kinds.payloads(ctx, [task])
    return task, payloads[task["task_id"]]


async def complete(ctx: Context, task: Document, **more: object) -> None:
    report = Report(task["instance_id"], 1.0, "S", resources={"time": 0.1})
    [answer] = await report_many(ctx, [Ended(task["task_id"], "complete", report, **more)])
    assert answer["status"] == 200


async def of_jobs(ctx: Context, make: Maker, jobs: int) -> str:
    dataset = await make.dataset(jobs=jobs)
    await configs.put(ctx, dataset, CONFIG)
    await ctx.db.pilots.insert_one({"pilot_id": "p", "host": "h", "site": "S"})
    await make.tasks(dataset, *(NewTask(job, "a") for job in range(jobs)))
    return dataset


async def test_a_claim_of_one_task_is_two_commands(ctx: Context, make: Maker) -> None:
    await of_jobs(ctx, make, 4)
    await claim(ctx)  # what it learns stays known for a moment
    with counted() as sent:
        _, payload = await claim(ctx)
    assert sent.commands == 2
    assert payload["task"]["trays"][0]["modules"][0]["src"] == "/bin/true"


async def test_an_end_is_three_commands(ctx: Context, make: Maker) -> None:
    dataset = await of_jobs(ctx, make, 4)
    tasks = [(await claim(ctx))[0] for _ in range(4)]
    await complete(ctx, tasks[0])
    with counted() as sent:
        await complete(ctx, tasks[1])
    assert sent.commands == 3
    with counted() as sent:
        await complete(ctx, tasks[2], stats={"outcome": "complete"})
    assert sent.commands == 4, "what it used is a document of its own"
    await complete(ctx, tasks[3])
    assert (await datasets.get(ctx, dataset))["status"] == "complete", "the last end looks, whatever it knew"


async def test_marks_of_ends_that_were_followed_go_together(ctx: Context, make: Maker) -> None:
    await of_jobs(ctx, make, 3)
    tasks = [(await claim(ctx))[0] for _ in range(3)]
    for task in tasks:
        await complete(ctx, task)
    marked = {"due": {"$exists": True}}
    assert await ctx.db.tasks.count_documents(marked) == 3
    newer = "9999-01-01T00:00:00.000000"
    await ctx.db.tasks.update_one({"task_id": tasks[0]["task_id"]}, {"$set": {"due": newer}})
    with counted() as sent:
        await drawn.flush(ctx)
    assert sent.commands == 1
    assert [row["due"] async for row in ctx.db.tasks.find(marked)] == [newer]


async def test_an_end_whose_server_died_is_followed_later(ctx: Context, make: Maker,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = await make.dataset(jobs=1, per_job=2)
    [first] = await make.tasks(dataset, NewTask(0, "a"))
    await make.tasks(dataset, NewTask(0, "b", task_index=1, depends=(first["task_id"],)))
    [task] = await leases.claim(ctx, Claim({}, pilot_id="p"))

    async def dies(ctx: Context, task: Document) -> None:
        raise ConnectionError("the server dies")

    end = Ended(task["task_id"], "complete", Report(task["instance_id"], 1.0, "S"))
    with monkeypatch.context() as patched:
        patched.setattr(completion, "follow_one", dies)
        with pytest.raises(ConnectionError):
            await report_many(ctx, [end])
    assert (await make.read(task["task_id"]))["status"] == "complete"
    long_ago = {"$set": {"due": "2000-01-01T00:00:00.000000"}}
    await ctx.db.tasks.update_one({"task_id": task["task_id"]}, long_ago)
    assert await repair.sweep_tasks(ctx) == 1
    [second] = await leases.claim(ctx, Claim({}, pilot_id="p"))
    assert second["name"] == "b"


async def test_a_changed_configuration_is_given_at_once(ctx: Context, make: Maker) -> None:
    dataset = await of_jobs(ctx, make, 2)
    await claim(ctx)
    await configs.put(ctx, dataset, {**CONFIG, "tasks": [
        {"name": "a", "trays": [{"modules": [{"src": "/bin/false"}]}]}]})
    _, payload = await claim(ctx)
    assert payload["task"]["trays"][0]["modules"][0]["src"] == "/bin/false"
