"""What follows from the end of a task: dependents are released, and job and dataset end in their turn.

`follow` runs in the request that ended the task. A task's `due` time is set with its end and removed once
this is done, so the repair pass finds the ends whose request was cut short, and no others. For a batch of
ends one note does the same for all of them (see `server.production.tasks.follow_ups`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from iceprod.ids import timestamp
from server.production.common.documents import Document
from server.production.datasets import datasets
from server.production.tasks.classes import class_table
from server.rest.context import Context
from server.rest.hearing import listen

__all__ = ["completed", "follow", "follow_completed", "follow_one", "job_outcome", "promote",
           "settle_dataset", "settle_jobs"]

OVER = ("complete", "failed", "suspended")
PROMOTE_AT_ONCE = 1000
MOST_KEPT = 1000  # datasets
JOBS_ENDED, TOLD_TOGETHER = "jobs ended", 25  # what other servers are told


async def follow(ctx: Context, task: Document) -> None:
    """Draw the consequences of a task's end. May be repeated."""
    await follow_one(ctx, task)
    same = {"task_id": task["task_id"], "status": task["status"]}
    await ctx.db.tasks.update_one(same, {"$unset": {"due": ""}})


async def follow_one(ctx: Context, task: Document) -> None:
    """As `follow`, but the end stays marked."""
    dependents, members, dataset = await _around(ctx, task)
    if task["status"] == "complete" and dependents:
        await promote(ctx, dependents)
    await _settle_job(ctx, task["job_id"], members, dataset)


async def _around(ctx: Context, task: Document) -> tuple[list[Document], list[Document], Document | None]:
    """What depends on a task and is idle, all tasks of its job, and its dataset: in one command."""
    shown = {"_id": 0, "task_id": 1, "status": 1, "depends": 1}

    def other(collection: str, match: Document, part: str, *stages: Document) -> Document:
        marked = [{"$match": match}, *stages, {"$set": {"part": part}}]
        return {"$unionWith": {"coll": collection, "pipeline": marked}}

    rows: defaultdict[str, list[Document]] = defaultdict(list)
    cursor = await ctx.db.tasks.aggregate([
        {"$match": {"depends": task["task_id"], "status": "idle"}},
        other("tasks", {"job_id": task["job_id"]}, "job", {"$project": shown}),
        other("datasets", {"dataset_id": task["dataset_id"]}, "dataset"),
        {"$project": {"_id": 0}}])
    for row in await cursor.to_list():
        rows[row.pop("part", "dependents")].append(row)
    return rows["dependents"], rows["job"], next(iter(rows["dataset"]), None)


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
    await settle_jobs(ctx, {task["job_id"]: task["dataset_id"] for task in tasks})


# -- dependents


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


async def _settle_job(ctx: Context, job_id: str, tasks: list[Document], dataset: Document | None) -> None:
    outcome = job_outcome(tasks) if tasks else "processing"
    if outcome == "processing" or dataset is None or len(tasks) < dataset.get("tasks_per_job", 0):
        return
    result = await ctx.db.jobs.update_one(
        {"job_id": job_id, "status": "processing"},
        {"$set": {"status": outcome, "status_changed": timestamp()}})
    if not result.matched_count:
        return
    _note_ended(ctx, dataset["dataset_id"], [job_id])
    if not _known(ctx, dataset["dataset_id"]).is_another():
        await settle_dataset(ctx, dataset)


async def settle_jobs(ctx: Context, jobs: Mapping[str, str]) -> None:
    """End those of some jobs (id → dataset) whose tasks are all made and over, then their datasets."""
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
            _note_ended(ctx, dataset["dataset_id"], job_ids)
        if ended:
            await settle_dataset(ctx, dataset)


# -- datasets


BELIEVED_SECONDS, MOST_SEEN = 1.0, 50


@dataclass
class _AtWork:
    """What one process knows of a dataset's jobs: some that were at work when it looked.

    While one of them is, no other job's end can end the dataset, so nobody need look again. Who ends the last
    of them looks, in whatever process: each tells the others. When that is lost, the repair pass looks.
    """

    jobs: set[str] = field(default_factory=set)
    seen: float = 0.0
    ends: int = 0  # of jobs, as far as this process knows

    def ended(self, job_ids: Iterable[str]) -> None:
        """Jobs have ended."""
        self.jobs.difference_update(job_ids)
        self.ends += 1

    def is_another(self) -> bool:
        """Whether a job is known to be at work."""
        return bool(self.jobs) and time.monotonic() - self.seen < BELIEVED_SECONDS


_at_work: WeakKeyDictionary[AsyncDatabase, OrderedDict[str, _AtWork]] = WeakKeyDictionary()


def _known(ctx: Context, dataset_id: str) -> _AtWork:
    kept = _at_work.setdefault(ctx.db, OrderedDict())
    known = kept.setdefault(dataset_id, _AtWork())
    kept.move_to_end(dataset_id)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
    return known


def _note_ended(ctx: Context, dataset_id: str, job_ids: list[str]) -> None:
    _known(ctx, dataset_id).ended(job_ids)
    for start in range(0, len(job_ids), TOLD_TOGETHER):
        ctx.signals.tell(JOBS_ENDED, dataset_id, job_ids[start:start + TOLD_TOGETHER])


def _hear_ended(ctx: Context, dataset_id: str, job_ids: list[str]) -> None:
    """Jobs have ended in another process; if nobody knows of one at work any more, somebody has to look."""
    kept = _at_work.get(ctx.db)
    known = kept.get(dataset_id) if kept else None
    if known is None:
        return
    had_some = bool(known.jobs)
    known.ended(job_ids)
    if had_some and not known.jobs:
        looking = asyncio.create_task(_settle_quietly(ctx, dataset_id))
        _looking.add(looking)
        looking.add_done_callback(_looking.discard)


async def _settle_quietly(ctx: Context, dataset_id: str) -> None:
    with contextlib.suppress(PyMongoError):  # then the repair pass does it
        if dataset := await ctx.db.datasets.find_one({"dataset_id": dataset_id}, {"_id": 0}):
            await settle_dataset(ctx, dataset)


_looking: set[asyncio.Task[None]] = set()
listen(JOBS_ENDED, _hear_ended)


async def _look_for_work(ctx: Context, dataset_id: str) -> bool:
    """Whether a job of a dataset is at work; some that are, are remembered for a moment."""
    known, moment = _known(ctx, dataset_id), time.monotonic()
    known.jobs, ends = set(), known.ends
    at_work = {"dataset_id": dataset_id, "status": "processing"}
    found = await ctx.db.jobs.find(at_work, {"job_id": 1}, limit=MOST_SEEN).to_list()
    if known.ends == ends:  # else one of them may have ended meanwhile
        known.jobs, known.seen = {job["job_id"] for job in found}, moment
    return bool(found)


async def settle_dataset(ctx: Context, dataset: Document) -> str:
    """End a dataset whose jobs have all been made and have all ended; the status that it then has."""
    dataset_id = dataset["dataset_id"]
    if dataset.get("always_active") or dataset["status"] != "processing":
        return str(dataset["status"])
    of_it = {"dataset_id": dataset_id}
    if await _look_for_work(ctx, dataset_id):
        return "processing"
    made = await ctx.db.jobs.count_documents(of_it)
    if await _look_for_work(ctx, dataset_id):  # made since the first look
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
