"""Making jobs and tasks of configurations, and what pilots are given to run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from server.common.errors import BadRequest
from server.production import repair
from server.production.common.documents import Document
from server.production.datasets import configs, datasets
from server.production.leases import leases
from server.production.leases.leases import Claim
from server.production.submission import materialisation, scripts
from server.production.tasks import task_store
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker

CONFIG = {
    "version": 3.2, "description": "c", "options": {"mode": "fast"}, "steering": {"parameters": {"seed": 7}},
    "tasks": [
        {"name": "gen", "requirements": {"memory": 3, "time": "$eval(1+$(job))"},
         "data": [{"type": "permanent", "movement": "output", "remote": "x/$sprintf('%06d',$(job)).i3"}],
         "trays": [{"parameters": {"p": "$(seed)"},
                    "modules": [{"src": "run.py", "args": "--job $(job) --p $(p) --mode $(mode)"}]}]},
        {"name": "hits", "depends": ["gen"], "trays": [{"modules": [{"src": "b.py"}]}]}]}


async def submitted(ctx: Context, make: Maker, jobs: int = 5, config: dict = CONFIG) -> str:
    dataset = await make.dataset(jobs=jobs, per_job=len(config["tasks"]))
    await configs.put(ctx, dataset, config)
    return dataset


async def indexes(ctx: Context, dataset: str) -> list[tuple[int, int]]:
    tasks = await ctx.db.tasks.find({"dataset_id": dataset}).to_list()
    return sorted((task["job_index"], task["task_index"]) for task in tasks)


async def test_jobs_and_tasks(ctx: Context, make: Maker) -> None:
    dataset = await submitted(ctx, make)
    assert await materialisation.materialise(ctx, dataset, 3) == 3
    assert await materialisation.materialise(ctx, dataset, 1000) == 2
    assert await materialisation.materialise(ctx, dataset, 1000) == 0
    assert await indexes(ctx, dataset) == [(job, task) for job in range(5) for task in range(2)]
    tasks = await ctx.db.tasks.find(
        {"dataset_id": dataset, "job_index": 2}, sort=[("task_index", 1)]
    ).to_list()
    assert [task["status"] for task in tasks] == ["waiting", "idle"]
    assert tasks[1]["depends"] == [tasks[0]["task_id"]]
    assert tasks[0]["requirements"] == {"cpu": 1, "memory": 3, "disk": 1.0, "time": 3}
    assert tasks[0]["job_id"] == tasks[1]["job_id"]


async def test_several_at_once_make_no_job_twice(ctx: Context, make: Maker) -> None:
    dataset = await submitted(ctx, make, 20)
    await asyncio.gather(*(materialisation.materialise(ctx, dataset) for _ in range(4)))
    assert await indexes(ctx, dataset) == [(job, task) for job in range(20) for task in range(2)]
    by_id = {task["task_id"]: task async for task in ctx.db.tasks.find({"dataset_id": dataset})}
    for task in by_id.values():
        assert all(by_id[other]["job_index"] == task["job_index"] for other in task["depends"])


async def test_jobs_made_in_part_are_completed(ctx: Context, make: Maker) -> None:
    dataset = await submitted(ctx, make)
    await materialisation.materialise(ctx, dataset, 3)
    await ctx.db.tasks.delete_many({"dataset_id": dataset, "job_index": 2, "task_index": 0})
    await ctx.db.tasks.delete_many({"dataset_id": dataset, "job_index": 1, "task_index": 1})
    await materialisation.materialise(ctx, dataset, 0)
    assert await indexes(ctx, dataset) == [(job, task) for job in range(3) for task in range(2)]
    one = await ctx.db.tasks.find({"dataset_id": dataset, "job_index": 1}, sort=[("task_index", 1)]).to_list()
    assert one[1]["depends"] == [one[0]["task_id"]]


async def test_the_buffer_is_filled_when_it_runs_out(ctx: Context, make: Maker,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialisation, "BUFFER_JOBS", 2)
    dataset = await submitted(ctx, make, 5, {"tasks": [{"name": "a"}]})
    monkeypatch.setattr(materialisation.materialise_alone, "__defaults__", (2,))
    while (await datasets.get(ctx, dataset))["status"] == "processing":
        await repair.tend(ctx)
        made = await ctx.db.jobs.count_documents({"dataset_id": dataset})
        done = await ctx.db.jobs.count_documents({"dataset_id": dataset, "status": "complete"})
        assert made - done <= 4
        for task in await leases.claim(ctx, Claim({}, num=2)):
            from server.production.leases import ends
            await ends.complete(ctx, task["task_id"], task["instance_id"])
    assert await ctx.db.jobs.count_documents({"dataset_id": dataset, "status": "complete"}) == 5


@pytest.mark.parametrize(("config", "text"), [
    ({"tasks": [{"name": "a"}]}, "has 1 tasks"),
    ({"tasks": [{"name": "a", "depends": ["z"]}, {"name": "b"}]}, "no task 'z'"),
    ({"tasks": [{"name": "a", "requirements": {"memory": "$(unknown)"}}, {"name": "b"}]}, "memory")])
async def test_what_hinders_is_said(ctx: Context, make: Maker, config: dict, text: str) -> None:
    dataset = await make.dataset(per_job=2)
    await configs.put(ctx, dataset, config)
    with pytest.raises(BadRequest, match=text):
        await materialisation.materialise(ctx, dataset)
    await repair.tend(ctx)
    found = await datasets.get(ctx, dataset)
    assert text in found["materialisation_error"]
    assert found["status"] == "errors"


async def test_jobs_that_are_there_go_on_when_no_more_can_be_made(ctx: Context, make: Maker) -> None:
    dataset = await submitted(ctx, make, jobs=3)
    await materialisation.materialise(ctx, dataset, 2)
    await ctx.db.configs.delete_many({})
    needs = {"memory": "$eval(1-$(job))"}
    await configs.put(ctx, dataset, {"tasks": [{"name": "gen", "requirements": needs}, {"name": "hits"}]})
    await materialisation.buffer(ctx)
    found = await datasets.get(ctx, dataset)
    assert (found["status"], "Bad value for memory" in found["materialisation_error"]) == ("processing", True)
    await ctx.db.jobs.update_many({}, {"$set": {"status": "complete"}})
    await materialisation.buffer(ctx)
    assert (await datasets.get(ctx, dataset))["status"] == "errors"


async def test_dependence_on_a_task_of_another_dataset(ctx: Context, make: Maker) -> None:
    first = await submitted(ctx, make, 2)
    await materialisation.materialise(ctx, first)
    number = (await datasets.get(ctx, first))["dataset"]
    second = await submitted(ctx, make, 1, {"tasks": [{"name": "late", "depends": [f"{number}:hits"]}]})
    await materialisation.materialise(ctx, second)
    late = await ctx.db.tasks.find_one({"dataset_id": second})
    wanted = [task["task_id"] async for task in ctx.db.tasks.find({"dataset_id": first, "name": "hits"})]
    assert late
    assert sorted(late["depends"]) == sorted(wanted)


async def test_payload(ctx: Context, make: Maker) -> None:
    dataset = await submitted(ctx, make)
    await materialisation.materialise(ctx, dataset)
    task = await ctx.db.tasks.find_one({"dataset_id": dataset, "job_index": 3, "task_index": 0})
    assert task
    payload = (await scripts.payloads(ctx, [task]))[task["task_id"]]
    assert payload["task"]["trays"][0]["modules"][0]["args"] == "--job 3 --p 7 --mode fast"
    assert payload["task"]["data"][0]["remote"].endswith("/x/000003.i3")
    assert payload["options"]["job"] == 3
    assert payload["options"]["mode"] == "fast"
    assert payload["dataset"] == (await datasets.get(ctx, dataset))["dataset"]


@pytest.mark.parametrize(("iterations", "outcome"), [(300, "made"), (10_000, "told")])
async def test_a_costly_payload_is_made_aside_or_told(ctx: Context, make: Maker, iterations: int,
                                                      outcome: str) -> None:
    tray = {"iterations": iterations, "modules": [{"src": "b.py", "args": "$(iter) " + "x" * 5000}]}
    dataset = await submitted(ctx, make, config={**CONFIG, "tasks": [{"name": "gen", "trays": [tray]}]})
    await materialisation.materialise(ctx, dataset)
    tasks = await ctx.db.tasks.find({"dataset_id": dataset}).to_list()
    made = await scripts.payloads(ctx, [*tasks[:1], await make.task()])
    payload = made[tasks[0]["task_id"]]
    if outcome == "made":
        assert len(payload["task"]["trays"]) == iterations
    else:
        assert payload["error"].endswith("cannot be evaluated: its expressions make too much text")


async def test_a_dataset_without_configuration_has_no_payload(ctx: Context, make: Maker) -> None:
    assert await scripts.payloads(ctx, [await make.task()]) == {}


async def test_create_tasks_twice_changes_nothing(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    specs = [NewTask(n, "gen", task_id=f"{n:032d}") for n in range(3)]
    first = await task_store.create_tasks(ctx, dataset, specs)
    again = await task_store.create_tasks(ctx, dataset, [NewTask(n, "other") for n in range(3)])
    assert again == first
    assert await ctx.db.jobs.count_documents({"dataset_id": dataset}) == 3


@pytest.mark.parametrize("cuts", [(3,), (0,), (7, 9), (1, 2, 3, 9)])
async def test_jobs_whose_making_was_cut_short_are_completed(ctx: Context, make: Maker, cuts: tuple[int, ...],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """All jobs are there, but not their tasks; and the repair is cut short, too."""
    dataset = await submitted(ctx, make, jobs=5)
    for cut in cuts:
        with monkeypatch.context() as broken:
            broken.setattr(materialisation.task_store, "create_tasks", cut_after(cut))
            with pytest.raises(ConnectionAbortedError):
                await materialisation.buffer(ctx)
        assert await ctx.db.jobs.count_documents({"dataset_id": dataset}) == 5
        await ctx.db.leases.delete_many({})
    await materialisation.buffer(ctx)
    assert await indexes(ctx, dataset) == [(job, task) for job in range(5) for task in range(2)]
    assert await materialisation.buffer(ctx) == 0


def cut_after(number: int) -> Callable[..., Awaitable[list[Document]]]:
    """A `create_tasks` that makes all jobs, and then dies when so many tasks are there."""
    whole = task_store.create_tasks

    async def create_tasks(ctx: Context, dataset_id: str, specs: Sequence[NewTask],
                           before: Awaitable[None] | None = None) -> list[Document]:
        stored = await whole(ctx, dataset_id, specs, before)
        extra = await ctx.db.tasks.find({"dataset_id": dataset_id}, sort=[("job_index", 1), ("task_index", 1)]
                                        ).skip(number).to_list()
        await ctx.db.tasks.delete_many({"task_id": {"$in": [task["task_id"] for task in extra]}})
        assert stored
        raise ConnectionAbortedError

    return create_tasks


@pytest.mark.parametrize("text", ["plain", "12", "$(job)"])
async def test_payloads_of_a_batch_are_those_of_each_task(ctx: Context, make: Maker, text: str) -> None:
    config = {"version": 3.2, "description": "c", "options": {"mode": "fast"}, "tasks": [
        {"name": name, "trays": [{"modules": [{"src": "a.sh", "args": [text, "1.5"]}]}]} for name in "ab"]}
    dataset = await submitted(ctx, make, jobs=3, config=config)
    await materialisation.materialise(ctx, dataset)
    tasks = await ctx.db.tasks.find({"dataset_id": dataset}).to_list()
    together = await scripts.payloads(ctx, tasks)
    for task in tasks:
        assert together[task["task_id"]] == (await scripts.payloads(ctx, [task]))[task["task_id"]]
        assert together[task["task_id"]]["options"]["job"] == task["job_index"]
    first = {"plain": "plain", "12": "12", "$(job)": tasks[0]["job_index"]}[text]
    args = together[tasks[0]["task_id"]]["task"]["trays"][0]["modules"][0]["args"]
    assert args == [first, "1.5"]  # words stay as they are written
