"""Changing many tasks or jobs of a dataset at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateOne

from iceprod.ids import timestamp
from iceprod.requirements import GPU_KINDS, RequirementError, check, class_key
from iceprod.states import JOB, TASK
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.tasks import completion, parked
from server.production.tasks.classes import class_table
from server.production.tasks.task_changes import moved
from server.rest.context import Context

__all__ = ["MOST", "Selection", "hard_reset_jobs", "hard_reset_tasks", "reset_jobs", "reset_tasks",
           "revive_jobs", "set_job_status", "set_requirements", "set_task_status", "suspend_jobs",
           "suspend_stopped", "suspend_tasks"]

MOST = 100_000
AT_ONCE = 1000
ACTIVE = ("idle", "waiting", "queued", "processing", "reset")


@dataclass(frozen=True)
class Selection:
    """Which tasks or jobs of a dataset: those listed, those of the listed jobs, or all. No dataset: any."""

    dataset_id: str = ""
    tasks: tuple[str, ...] | None = None
    jobs: tuple[str, ...] | None = None

    def queries(self) -> Iterator[Document]:
        """The selection in parts of a size that one query takes."""
        base: Document = {"dataset_id": self.dataset_id} if self.dataset_id else {}
        field, ids = ("task_id", self.tasks) if self.tasks is not None else ("job_id", self.jobs)
        if ids is None:
            yield base
            return
        for start in range(0, len(ids), AT_ONCE):
            yield {**base, field: {"$in": list(ids[start:start + AT_ONCE])}}


# -- tasks


async def _move(ctx: Context, selection: Selection, status: str, sources: Sequence[str],
                more: Document | None = None) -> int:
    """Put the tasks of a selection that are in one of the sources into a status; how many."""
    changed = 0
    update = moved(ctx, status)
    update["$set"] |= more or {}
    for query in selection.queries():
        wanted = {**query, "status": {"$in": list(sources)}}
        touched = await _jobs_of(ctx, wanted)
        await parked.release_all(ctx, wanted)
        result = await ctx.db.tasks.update_many(wanted, update)
        changed += result.modified_count
        await _follow(ctx, query, touched, status)
    return changed


async def _jobs_of(ctx: Context, query: Document) -> dict[str, str]:
    """The jobs (with their datasets) that have tasks like these."""
    shown = {"_id": 0, "job_id": 1, "dataset_id": 1}
    return {task["job_id"]: task["dataset_id"] async for task in ctx.db.tasks.find(query, shown)}


async def _follow(ctx: Context, query: Document, jobs: dict[str, str], status: str) -> None:
    """What follows when tasks were put into a status by hand: dependents, their jobs and datasets."""
    if status == "complete":
        await _follow_completed(ctx, {**query, "status": status})
    elif status in completion.OVER:
        ids = list(jobs)
        for start in range(0, len(ids), AT_ONCE):
            await completion.settle_jobs(ctx, {one: jobs[one] for one in ids[start:start + AT_ONCE]})
    elif status == "idle":
        await _promote_and_revive(ctx, query, jobs)
    elif status == "waiting":
        await _register(ctx, query)
        ctx.signals.notify("tasks")


async def _follow_completed(ctx: Context, query: Document) -> None:
    shown = {"_id": 0, "task_id": 1, "job_id": 1, "dataset_id": 1}
    found = ctx.db.tasks.find(query, shown)
    while batch := await found.to_list(AT_ONCE):
        await completion.follow_completed(ctx, batch)
        drawn = {"task_id": {"$in": [task["task_id"] for task in batch]}, "status": "complete"}
        await ctx.db.tasks.update_many(drawn, {"$unset": {"due": ""}})


async def _register(ctx: Context, query: Document) -> None:
    """See that the classes of waiting tasks are in the table."""
    shown = {"_id": 0, "dataset_id": 1, "class_key": 1}
    pairs = {(task["dataset_id"], task["class_key"])
             async for task in ctx.db.tasks.find({**query, "status": "waiting"}, shown)}
    await class_table(ctx).register(ctx, pairs)


async def _promote_and_revive(ctx: Context, query: Document, jobs: dict[str, str]) -> None:
    """Tasks were reset: those that are ready may run, and their jobs and datasets are processing again."""
    shown = {"_id": 0, "task_id": 1, "dataset_id": 1, "depends": 1, "status": 1, "class_key": 1}
    batch: list[Document] = []
    async for task in ctx.db.tasks.find({**query, "status": "idle"}, shown):
        batch.append(task)
        if len(batch) >= AT_ONCE:
            await completion.promote(ctx, batch)
            batch = []
    await completion.promote(ctx, batch)
    await _take_back(ctx, query)
    await revive(ctx, jobs)


async def _take_back(ctx: Context, query: Document) -> None:
    """Let tasks be idle again that were promoted while what they depend on was just being reset.

    A reset takes tasks one by one: one that is idle already may meet dependencies that are still complete.
    """
    shown = {"_id": 0, "task_id": 1, "depends": 1}
    promoted = ctx.db.tasks.find({**query, "status": "waiting", "depends": {"$ne": []}}, shown)
    while batch := await promoted.to_list(AT_ONCE):
        needed = sorted({other for task in batch for other in task["depends"]})
        done = await completion.completed(ctx, needed)
        early = [task["task_id"] for task in batch if not done.issuperset(task["depends"])]
        if early:
            await ctx.db.tasks.update_many(
                {"task_id": {"$in": early}, "status": "waiting"}, moved(ctx, "idle"))


async def revive(ctx: Context, jobs: dict[str, str]) -> None:
    """Let jobs that had ended, and datasets that had ended in errors, process again."""
    ids = list(jobs)
    for start in range(0, len(ids), AT_ONCE):
        await ctx.db.jobs.update_many(
            {"job_id": {"$in": ids[start:start + AT_ONCE]}, "status": {"$ne": "processing"}},
            {"$set": {"status": "processing", "status_changed": timestamp()}})
    await ctx.db.datasets.update_many(
        {"dataset_id": {"$in": sorted(set(jobs.values()))}, "status": "errors"},
        {"$set": {"status": "processing"}})


async def revive_jobs(ctx: Context, selection: Selection, *, complete: bool = False) -> None:
    """Let the jobs process again whose tasks in a selection are about to begin anew, `complete` ones too.

    It comes before the dataset is revived: one whose jobs are all suspended would be suspended again.
    """
    states = [state for state in TASK.states if complete or state != "complete"]
    for query in selection.queries():
        await revive(ctx, await _jobs_of(ctx, {**query, "status": {"$in": states}}))


async def suspend_tasks(ctx: Context, selection: Selection) -> int:
    """Suspend the tasks that may be; how many."""
    return await _move(ctx, selection, "suspended", TASK.sources("suspended"))


async def reset_tasks(ctx: Context, selection: Selection, status: str = TASK.start) -> int:
    """Let the tasks that may begin anew; how many."""
    return await _move(ctx, selection, status, TASK.sources(status))


async def hard_reset_tasks(ctx: Context, selection: Selection, status: str = TASK.start) -> int:
    """Let tasks begin anew as if they never ran, complete ones too; how many."""
    forgotten = {"failures": 0, "infrastructure_failures": 0, "evictions": 0, "free_evictions": 0, "site": "",
                 "reason": ""}
    return await _move(ctx, selection, status, TASK.states, forgotten)


async def set_task_status(ctx: Context, selection: Selection, status: str) -> None:
    """Put tasks into a status, whatever theirs is. Raises BadRequest, NotFound when there are none."""
    if not TASK.knows(status):
        raise BadRequest("Bad status")
    found = 0
    for query in selection.queries():
        found += await ctx.db.tasks.count_documents(query)
    if not found:
        raise NotFound("Tasks not found")
    await _move(ctx, selection, status, [state for state in TASK.states if state != status])


# -- jobs


async def _move_jobs(ctx: Context, selection: Selection, status: str, sources: Sequence[str]) -> int:
    changed = 0
    for query in selection.queries():
        result = await ctx.db.jobs.update_many(
            {**query, "status": {"$in": list(sources)}},
            {"$set": {"status": status, "status_changed": timestamp()}})
        changed += result.modified_count
    return changed


async def set_job_status(ctx: Context, selection: Selection, status: str) -> None:
    """Move jobs to a status, those that may. Raises BadRequest, NotFound when none did."""
    if not JOB.knows(status):
        raise BadRequest("Bad status")
    if not await _move_jobs(ctx, selection, status, [*JOB.sources(status), status]) \
            and not await _any_job(ctx, selection, status):
        raise NotFound("Jobs not found")


async def _any_job(ctx: Context, selection: Selection, status: str) -> bool:
    for query in selection.queries():
        if await ctx.db.jobs.find_one({**query, "status": status}, {"_id": 1}):
            return True
    return False


async def suspend_jobs(ctx: Context, selection: Selection) -> int:
    """Suspend the jobs that may be; how many."""
    return await _move_jobs(ctx, selection, "suspended", JOB.sources("suspended"))


async def reset_jobs(ctx: Context, selection: Selection) -> int:
    """Let the jobs that may process again; how many."""
    return await _move_jobs(ctx, selection, JOB.start, JOB.sources(JOB.start))


async def hard_reset_jobs(ctx: Context, selection: Selection) -> int:
    """Let jobs process again, complete ones too; how many."""
    return await _move_jobs(ctx, selection, JOB.start, [state for state in JOB.states if state != JOB.start])


# -- requirements


REQUIREMENTS = ("cpu", "gpu", "memory", "disk", "time", "os", "site", "restartable", *GPU_KINDS)
RAISED_ONLY = ("cpu", "gpu", "memory", "disk", "time")


async def set_requirements(ctx: Context, dataset_id: str, name: str, wanted: dict[str, Any], *,
                           replace: bool = False) -> int:
    """Set what all tasks of a name need; with `replace`, numbers only grow and what is not named goes.

    Returns how many tasks there are. Raises BadRequest, NotFound when there are none.
    """
    if not wanted and not replace:
        raise BadRequest("Missing body")
    if any(key not in REQUIREMENTS for key in wanted):
        raise BadRequest("Invalid resource types")
    for key, value in wanted.items():
        if value is None:
            raise BadRequest(f"Bad type for {key}, should not be null")
    try:
        check(wanted)
    except RequirementError as error:
        raise BadRequest(str(error)) from None
    if isinstance(wanted.get("os"), str):
        raise BadRequest("Bad type for os, should be list")
    query = {"dataset_id": dataset_id, "name": name}
    writes, found, pairs = list[UpdateOne](), 0, set[tuple[str, str]]()
    async for task in ctx.db.tasks.find(query, {"_id": 0, "task_id": 1, "requirements": 1}):
        new = _replaced(task["requirements"], wanted) if replace else {**task["requirements"], **wanted}
        pairs.add((dataset_id, class_key(new)))
        same = {"task_id": task["task_id"], "requirements": task["requirements"]}
        writes.append(UpdateOne(same, {"$set": {"requirements": new, "class_key": class_key(new)}}))
        found += 1
        if len(writes) >= AT_ONCE:
            await _write(ctx, writes, pairs)
            writes, pairs = [], set()
    if not found:
        raise NotFound("Tasks not found")
    if writes:
        await _write(ctx, writes, pairs)
    ctx.signals.notify("tasks")
    return found


async def _write(ctx: Context, writes: list[UpdateOne], pairs: set[tuple[str, str]]) -> None:
    await class_table(ctx).register(ctx, pairs)
    await ctx.db.tasks.bulk_write(writes, ordered=False)


def _replaced(old: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {key: max(value, old.get(key) or 0) if key in RAISED_ONLY and value is not None else value
            for key, value in wanted.items()}


# -- datasets that stopped


async def suspend_stopped(ctx: Context) -> int:
    """Suspend what still runs of datasets that were suspended or ended in errors; how many tasks."""
    changed = 0
    query = {"stopped": True}
    async for dataset in ctx.db.datasets.find(query, {"_id": 0, "dataset_id": 1, "status": 1}):
        of_it = Selection(dataset["dataset_id"])
        if dataset["status"] in ("suspended", "errors"):
            states = ACTIVE if dataset["status"] == "suspended" else ACTIVE[1:]
            changed += await _move_quietly(ctx, dataset["dataset_id"], states)
            await suspend_jobs(ctx, of_it)
        await ctx.db.datasets.update_one(
            {"dataset_id": dataset["dataset_id"], "status": dataset["status"]}, {"$unset": {"stopped": ""}})
    return changed


async def _move_quietly(ctx: Context, dataset_id: str, states: Sequence[str]) -> int:
    """Suspend tasks without settling their jobs, which are suspended too."""
    update = moved(ctx, "suspended")
    update["$set"].pop("due", None)
    update["$unset"]["due"] = ""
    query = {"dataset_id": dataset_id, "status": {"$in": list(states)}}
    return (await ctx.db.tasks.update_many(query, update)).modified_count
