"""Making jobs and tasks out of a dataset's configuration, some at a time and just before they are needed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from iceprod.dataset_config import ConfigError, dependency_index, task_names, with_defaults
from iceprod.evaluation import requirements_of
from iceprod.ids import new_id
from iceprod.priorities import task_priority
from iceprod.requirements import RequirementError
from iceprod.tracing import spans, traces
from server.common.errors import BadRequest
from server.production.common.documents import Document
from server.production.datasets import configs, datasets, priorities
from server.production.tasks import task_store
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from server.services.leader import hold_lease

__all__ = ["BUFFER_JOBS", "Plan", "buffer", "materialise", "materialise_alone", "plan_for", "plan_of",
           "tasks_of_job"]

BUFFER_JOBS = 1000  # jobs that are made at once, and kept ready
LEASE_SECONDS = 120.0
TASKS_AT_ONCE = 4000  # written in one go
YIELD_JOBS = 100  # made before others have their turn, where no expressions are to be evaluated


@dataclass(frozen=True)
class Plan:
    """What every job of a dataset is made of."""

    dataset: Document
    config: Document
    names: list[str]
    depends: list[list[int]]  # indexes of earlier tasks of the same job
    elsewhere: list[list[str]]  # ids of tasks of other datasets
    same: dict[int, Document] = field(default_factory=dict)  # requirements that all jobs have, by task

    @cached_property
    def is_same(self) -> bool:
        """Whether requirements are the same for all jobs, for there are no expressions outside of trays."""
        tasks = [{name: value for name, value in task.items() if name != "trays"}
                 for task in self.config["tasks"]]
        parts = [tasks, self.config.get("steering"), self.config.get("options")]
        return b"$" not in msgspec.json.encode(parts)


async def plan_of(ctx: Context, dataset: Document) -> Plan:
    """How to make the jobs of a dataset. Raises BadRequest when its configuration does not tell."""
    found = await configs.find(ctx, dataset["dataset_id"])
    if found is None:
        raise BadRequest("the dataset has no configuration")
    return await plan_for(ctx, dataset, found)


async def plan_for(ctx: Context, dataset: Document, found: Document) -> Plan:
    """How to make the jobs of a dataset with a configuration. Raises BadRequest when that does not tell."""
    if not isinstance(found.get("tasks"), list):
        raise BadRequest("the configuration has no tasks")
    config = with_defaults(found)
    names = task_names(config)
    if len(names) != dataset["tasks_per_job"]:
        raise BadRequest(f"the configuration has {len(names)} tasks, "
                         f"but tasks_per_job is {dataset['tasks_per_job']}")
    depends: list[list[int]] = []
    elsewhere: list[list[str]] = []
    for index, task in enumerate(config["tasks"]):
        here, there = await _dependencies(ctx, names, index, task.get("depends", []))
        depends.append(here)
        elsewhere.append(there)
    return Plan(dataset, config, names, depends, elsewhere)


async def _dependencies(ctx: Context, names: list[str], index: int,
                        depends: list[Any]) -> tuple[list[int], list[str]]:
    here: list[int] = []
    there: list[str] = []
    for item in depends:
        try:
            earlier = dependency_index(names, index, item)
        except ConfigError as error:
            raise BadRequest(f"task {names[index]!r}: {error}") from None
        if earlier is not None:
            here.append(earlier)
        else:
            there += await _tasks_elsewhere(ctx, item)
    return here, there


async def _tasks_elsewhere(ctx: Context, depends: str) -> list[str]:
    """The tasks that ``dataset:task`` or a task id names. Raises BadRequest when there are none."""
    number, colon, name = depends.partition(":")
    if not colon:
        return [depends]
    known = {"dataset": int(number)} if number.isdigit() and len(number) < 16 else {"dataset_id": number}
    dataset = await ctx.db.datasets.find_one(known, {"dataset_id": 1})
    query: Document = {"dataset_id": dataset["dataset_id"] if dataset else "", "name": name}
    found = [task["task_id"] async for task in ctx.db.tasks.find(query, {"task_id": 1})]
    if not found:
        raise BadRequest(f"there is no task {depends!r} to depend on")
    return found


def _requirements(plan: Plan, job_index: int, task_index: int) -> dict[str, Any]:
    if (known := plan.same.get(task_index)) is not None:
        return known
    try:
        found = requirements_of(plan.config, plan.dataset, job_index, task_index)
    except RequirementError as error:
        raise BadRequest(f"task {plan.names[task_index]!r} of job {job_index}: {error}") from None
    if plan.is_same:
        plan.same[task_index] = found
    return found


def tasks_of_job(plan: Plan, job_index: int, dataset_priority: float, status: str = "") -> list[NewTask]:
    """The tasks of one job, in a status or as they depend on others.

    Raises BadRequest when their requirements have no sense.
    """
    ids = [new_id() for _ in plan.names]
    result: list[NewTask] = []
    size, jobs = len(plan.names), plan.dataset["jobs_submitted"]
    for index, name in enumerate(plan.names):
        depends = (*(ids[earlier] for earlier in plan.depends[index]), *plan.elsewhere[index])
        priority = task_priority(dataset_priority, index, size, job_index, jobs)
        requirements = _requirements(plan, job_index, index)
        result.append(NewTask(job_index, name, requirements, index, depends, priority, status=status,
                              task_id=ids[index]))
    return result


# -- making them


async def materialise(ctx: Context, dataset_id: str, num: int = BUFFER_JOBS, status: str = "") -> int:
    """Complete the jobs that were made in part, then make up to `num` more; how many jobs were made.

    The tasks wait, or are idle while they depend on others, unless a `status` is given.

    Raises NotFound, BadRequest when the dataset's configuration does not tell how.
    """
    dataset = await datasets.get(ctx, dataset_id)
    if dataset.get("truncated") or dataset["status"] in ("complete", "errors"):
        return 0
    plan = await plan_of(ctx, dataset)
    priority = await priorities.of_dataset(ctx, dataset)
    first = await _next_job_index(ctx, dataset_id)
    await _repair_last_jobs(ctx, plan, first, priority)
    last = min(first + num, dataset["jobs_submitted"])
    step = max(1, TASKS_AT_ONCE // len(plan.names))
    storing: list[asyncio.Task[None]] = []
    try:
        for start in range(first, last, step):  # while some are stored, the next are made
            specs = await _specs(plan, range(start, min(start + step, last)), priority, status)
            if len(storing) > 1:
                await storing.pop(0)
            storing.append(asyncio.create_task(_store(ctx, plan, specs, storing[-1] if storing else None)))
    finally:
        for one in storing:
            await one
    return max(0, last - first)


async def materialise_alone(ctx: Context, dataset_id: str, num: int = BUFFER_JOBS) -> int:
    """Like `materialise`, unless another server is at it. Two at once would do no harm, but double work."""
    name = f"materialise:{dataset_id}"
    if not await hold_lease(ctx, name, LEASE_SECONDS):
        return 0
    try:
        return await materialise(ctx, dataset_id, num)
    finally:
        await ctx.db.leases.delete_one({"_id": name, "holder": ctx.server_id})


async def _next_job_index(ctx: Context, dataset_id: str) -> int:
    last = await ctx.db.jobs.find_one({"dataset_id": dataset_id}, {"job_index": 1}, sort=[("job_index", -1)])
    return last["job_index"] + 1 if last else 0


async def _make_jobs(ctx: Context, plan: Plan, indexes: range, priority: float, status: str = "") -> None:
    await _store(ctx, plan, await _specs(plan, indexes, priority, status))


async def _specs(plan: Plan, indexes: range, priority: float, status: str) -> list[NewTask]:
    specs: list[NewTask] = []
    for index in indexes:
        specs += tasks_of_job(plan, index, priority, status)
        if not plan.is_same or index % YIELD_JOBS == 0:
            await asyncio.sleep(0)  # its expressions may have taken a while
    return specs


async def _store(ctx: Context, plan: Plan, specs: list[NewTask],
                 before: asyncio.Task[None] | None = None) -> None:
    """Store jobs, and their tasks once the tasks `before` are: only the last jobs can be incomplete."""
    stored = await task_store.create_tasks(ctx, plan.dataset["dataset_id"], specs, before)
    await _correct_depends(ctx, plan, specs, stored)


async def _repair_last_jobs(ctx: Context, plan: Plan, next_index: int, priority: float) -> None:
    """Make the missing tasks of the jobs whose making was cut short: the last ones.

    The very last comes last: as long as it is incomplete, others may be, too, should this be cut short again.
    """
    first = next_index
    while first > 0 and not await _is_whole(ctx, plan.dataset, first - 1):
        first -= 1
    step = max(1, TASKS_AT_ONCE // len(plan.names))
    for start in range(first, next_index, step):
        await _make_jobs(ctx, plan, range(start, min(start + step, next_index)), priority)


async def _is_whole(ctx: Context, dataset: Document, job_index: int) -> bool:
    """Whether all tasks of a job have been made."""
    of_it = {"dataset_id": dataset["dataset_id"], "job_index": job_index}
    return await ctx.db.tasks.count_documents(of_it) >= dataset["tasks_per_job"]


async def _correct_depends(ctx: Context, plan: Plan, specs: list[NewTask], stored: list[Document]) -> None:
    """Where a task was there before under another id, let its dependents name that one."""
    real = {spec.task_id: task["task_id"] for spec, task in zip(specs, stored, strict=True)
            if spec.task_id != task["task_id"]}
    if not real:
        return
    for spec, task in zip(specs, stored, strict=True):
        depends = [real.get(other, other) for other in spec.depends]
        if task["task_id"] == spec.task_id and depends != list(spec.depends):
            await ctx.db.tasks.update_one({"task_id": task["task_id"]}, {"$set": {"depends": depends}})


# -- the buffer


async def buffer(ctx: Context, only: set[str] | None = None) -> int:
    """Make the next jobs of datasets that run out of work (of `only` these, if any); how many were made."""
    made = 0
    query: Document = {"status": "processing", "truncated": {"$ne": True}}
    if only:
        query["dataset_id"] = {"$in": sorted(only)}
    for dataset in await ctx.db.datasets.find(query, {"_id": 0}).to_list():
        if await _needs_jobs(ctx, dataset):
            made += await _materialise_or_say(ctx, dataset)
    return made


async def _needs_jobs(ctx: Context, dataset: Document) -> bool:
    of_it = {"dataset_id": dataset["dataset_id"]}
    if not dataset["jobs_submitted"] or not await ctx.db.configs.find_one(of_it, {"_id": 1}):
        return False
    following = await _next_job_index(ctx, dataset["dataset_id"])
    if following and not await _is_whole(ctx, dataset, following - 1):
        return True  # their making was cut short
    if following >= dataset["jobs_submitted"]:
        return False
    active = await ctx.db.jobs.count_documents({**of_it, "status": "processing"}, limit=BUFFER_JOBS)
    return active < BUFFER_JOBS or not await ctx.db.tasks.find_one({**of_it, "status": "waiting"}, {"_id": 1})


def _of(dataset: Document) -> Document:
    return {"dataset_id": dataset["dataset_id"]}


async def _materialise_or_say(ctx: Context, dataset: Document) -> int:
    """Make jobs; what hinders is kept with the dataset, where its user sees it.

    With nothing left to run, the dataset ends with errors; jobs that are there go on.
    """
    problem, made = "", 0
    try:
        with traces.within(traces.of_document(dataset)), \
                spans.span("make jobs", attributes={"iceprod.dataset_id": dataset["dataset_id"]}):
            made = await materialise_alone(ctx, dataset["dataset_id"])
    except BadRequest as error:
        problem = error.reason
    if problem != dataset.get("materialisation_error", ""):
        await datasets.change(ctx, dataset["dataset_id"], {"materialisation_error": problem})
    if problem and not await ctx.db.jobs.find_one({**_of(dataset), "status": "processing"}, {"_id": 1}):
        await datasets.set_status(ctx, dataset["dataset_id"], "errors")
    return made
