"""What follows from the end of a task: dependents are released, and job and dataset end in their turn.

`follow` runs in the request that ended the task. A task's `due` time is set with its end and removed once
this is done, so the repair pass finds the ends whose request was cut short, and no others. For a batch of
ends one note does the same for all of them (see `server.production.tasks.follow_ups`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from iceprod.ids import timestamp
from server.production.common.documents import Document
from server.production.datasets import datasets
from server.production.tasks.classes import class_table
from server.rest.context import Context

__all__ = ["completed", "follow", "follow_completed", "job_outcome", "promote",
           "settle_dataset", "settle_job"]

OVER = ("complete", "failed", "suspended")
PROMOTE_AT_ONCE = 1000


async def follow(ctx: Context, task: Document) -> None:
    """Draw the consequences of a task's end. May be repeated."""
    if task["status"] == "complete":
        await release_dependents(ctx, task["task_id"])
    await settle_job(ctx, task["job_id"], task["dataset_id"])
    same = {"task_id": task["task_id"], "status": task["status"]}
    await ctx.db.tasks.update_one(same, {"$unset": {"due": ""}})


async def follow_completed(ctx: Context, tasks: Sequence[Document]) -> None:
    """Draw the consequences of many completions together: of tasks with task_id, job_id and dataset_id.

    May be repeated.
    """
    if not tasks:
        return
    ids = [task["task_id"] for task in tasks]
    query = {"depends": {"$in": ids}, "status": "idle"}
    if waiting := await ctx.db.tasks.find(query, {"_id": 0}).to_list():
        await promote(ctx, waiting)
    await _settle_jobs(ctx, {task["job_id"]: task["dataset_id"] for task in tasks})


# -- dependents


async def release_dependents(ctx: Context, task_id: str) -> int:
    """Let the tasks that depend on a completed one wait for a pilot, if all they depend on is complete."""
    query = {"depends": task_id, "status": "idle"}
    return await promote(ctx, await ctx.db.tasks.find(query, {"_id": 0}).to_list())


async def promote(ctx: Context, tasks: Iterable[Document]) -> int:
    """Let the idle tasks among `tasks` wait whose dependencies are all complete; how many."""
    tasks = [task for task in tasks if task["status"] == "idle"]
    needed = sorted({other for task in tasks for other in task["depends"]})
    done = await completed(ctx, needed)
    ready = [task for task in tasks if all(other in done for other in task["depends"])]
    if not ready:
        return 0
    await class_table(ctx).register(ctx, {(task["dataset_id"], task["class_key"]) for task in ready})
    result = await ctx.db.tasks.update_many(
        {"task_id": {"$in": [task["task_id"] for task in ready]}, "status": "idle"},
        {"$set": {"status": "waiting", "status_changed": timestamp()}, "$unset": {"due": ""}})
    if result.modified_count:
        ctx.signals.notify("tasks")
    return result.modified_count


async def completed(ctx: Context, ids: list[str]) -> set[str]:
    done: set[str] = set()
    for start in range(0, len(ids), PROMOTE_AT_ONCE):
        query = {"task_id": {"$in": ids[start:start + PROMOTE_AT_ONCE]}, "status": "complete"}
        done |= {task["task_id"] async for task in ctx.db.tasks.find(query, {"task_id": 1})}
    return done


# -- jobs


def job_outcome(tasks: Iterable[Document]) -> str:
    """What a job with these tasks has come to: complete, errors, suspended, or processing.

    A task that waits for one that failed or is suspended will not run either; it does not keep the job alive.
    """
    tasks = list(tasks)
    stuck = {task["task_id"] for task in tasks if task["status"] in ("failed", "suspended")}
    while True:
        more = {task["task_id"] for task in tasks if task["status"] == "idle" and task["task_id"] not in stuck
                and stuck & set(task["depends"])}
        if not more:
            break
        stuck |= more
    if any(task["status"] not in OVER and task["task_id"] not in stuck for task in tasks):
        return "processing"
    states = {task["status"] for task in tasks}
    if states == {"complete"}:
        return "complete"
    return "errors" if "failed" in states else "suspended"


async def settle_job(ctx: Context, job_id: str, dataset_id: str) -> None:
    """End a job whose tasks have all been made and have all ended, then its dataset."""
    shown = {"_id": 0, "task_id": 1, "status": 1, "depends": 1}
    tasks = await ctx.db.tasks.find({"job_id": job_id}, shown).to_list()
    outcome = job_outcome(tasks) if tasks else "processing"
    if outcome == "processing":
        return
    dataset = await ctx.db.datasets.find_one({"dataset_id": dataset_id}, {"_id": 0})
    if dataset is None or len(tasks) < dataset.get("tasks_per_job", 0):
        return
    result = await ctx.db.jobs.update_one(
        {"job_id": job_id, "status": "processing"},
        {"$set": {"status": outcome, "status_changed": timestamp()}})
    if result.matched_count:
        await settle_dataset(ctx, dataset)


async def _settle_jobs(ctx: Context, jobs: Mapping[str, str]) -> None:
    """As `settle_job`, for many jobs (id → dataset)."""
    shown = {"_id": 0, "task_id": 1, "status": 1, "depends": 1, "job_id": 1}
    members: defaultdict[str, list[Document]] = defaultdict(list)
    async for task in ctx.db.tasks.find({"job_id": {"$in": sorted(jobs)}}, shown):
        members[task["job_id"]].append(task)
    over = {job_id: job_outcome(tasks) for job_id, tasks in members.items()}
    over = {job_id: outcome for job_id, outcome in over.items() if outcome != "processing"}
    if not over:
        return
    wanted = {"dataset_id": {"$in": sorted({jobs[job_id] for job_id in over})}}
    async for dataset in ctx.db.datasets.find(wanted, {"_id": 0}):
        of_it: defaultdict[str, list[str]] = defaultdict(list)
        for job_id, outcome in over.items():
            whole = len(members[job_id]) >= dataset.get("tasks_per_job", 0)
            if jobs[job_id] == dataset["dataset_id"] and whole:
                of_it[outcome].append(job_id)
        ended = 0
        for outcome, job_ids in of_it.items():
            result = await ctx.db.jobs.update_many(
                {"job_id": {"$in": job_ids}, "status": "processing"},
                {"$set": {"status": outcome, "status_changed": timestamp()}})
            ended += result.matched_count
        if ended:
            await settle_dataset(ctx, dataset)


# -- datasets


async def settle_dataset(ctx: Context, dataset: Document) -> str:
    """End a dataset whose jobs have all been made and have all ended; the status that it then has."""
    dataset_id = dataset["dataset_id"]
    if dataset.get("always_active") or dataset["status"] != "processing":
        return str(dataset["status"])
    of_it = {"dataset_id": dataset_id}
    at_work = {**of_it, "status": "processing"}
    if await ctx.db.jobs.find_one(at_work, {"_id": 1}):
        return "processing"
    made = await ctx.db.jobs.count_documents(of_it)
    if await ctx.db.jobs.find_one(at_work, {"_id": 1}):  # made since the first look
        return "processing"
    if not made or (made < dataset["jobs_submitted"] and not dataset.get("truncated")):
        datasets.announce(ctx, dataset_id)  # the next jobs can be made
        return "processing"
    outcome = "complete"
    for status, state in (("suspended", "suspended"), ("errors", "errors")):
        if await ctx.db.jobs.find_one({**of_it, "status": status}, {"_id": 1}):
            outcome = state
    await ctx.db.datasets.update_one({**of_it, "status": "processing"}, {"$set": datasets.moved(outcome)})
    datasets.announce(ctx, dataset_id)
    return outcome
