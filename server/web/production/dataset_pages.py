"""Pages of datasets: the list, one dataset, its configuration, its tasks and jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from iceprod.states import DATASET, JOB, TASK
from server.common.errors import BadRequest
from server.production.common import access, archived
from server.production.common.documents import Document
from server.production.datasets import configs, datasets, jobs
from server.production.failures import standstill, usage
from server.production.records import log_search, problems
from server.production.tasks import history, task_store
from server.production.tasks.history import Sample
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.web.common import counters, listing
from server.web.common.charts import Chart, Line
from server.web.common.handler import READERS, PageHandler
from server.web.production import graph

__all__ = ["ROUTES", "DatasetPage", "task_query"]

PER_PAGE = 100
MOST_SKIPPED = 20_000  # rows that one page reads past
MOST_ERRORS = 12
MOST_RUNNING = 8
MOST_REQUESTS = 6


class DatasetPage(PageHandler):
    """A page about one dataset."""

    async def readable(self, dataset_id: str) -> Document:
        """The dataset. Raises Forbidden unless the caller may read it, NotFound."""
        await access.require(self.ctx, self.user, dataset_id, "read")
        return await datasets.get(self.ctx, dataset_id)

    async def present(self, dataset_id: str) -> Document:
        """As `readable`; and raise Gone when the dataset's jobs and tasks lie in an archive."""
        dataset = await self.readable(dataset_id)
        await archived.refuse_reading(self.ctx, dataset_id)
        return dataset

    async def writable(self, dataset_id: str) -> Document:
        """The dataset. Raises Forbidden unless the caller may change it, Conflict, NotFound."""
        await access.require(self.ctx, self.user, dataset_id, "write")
        await archived.refuse_change(self.ctx, dataset_id)
        return await datasets.get(self.ctx, dataset_id)

    async def may_write(self, dataset_id: str) -> bool:
        """Whether to show the caller what changes the dataset."""
        if self.user.bypasses_datasets:
            return True
        rules = await self.ctx.db.auths.find_one({"dataset_id": dataset_id})
        return rules is not None and access.is_allowed(rules, self.user, "write")

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        """A choice among known words in the query; empty when none was made. Raises BadRequest."""
        value = self.query(name) or ""
        if value and value not in known:
            raise BadRequest(f"{name}: {value[:40]!r} is none of {', '.join(known)}")
        return value


    def page_wanted(self) -> tuple[int, int]:
        """The number of the page that is asked for, and how many rows come before it. Raises BadRequest."""
        number = self.query_int("page", 1, minimum=1) or 1
        if (number - 1) * PER_PAGE > MOST_SKIPPED:
            raise BadRequest(f"page: pages go to {MOST_SKIPPED // PER_PAGE + 1}; choose what to show")
        return number, (number - 1) * PER_PAGE


# -- the list


class Datasets(PageHandler):
    """Datasets, the newest first."""

    @allow(*READERS)
    async def get(self) -> None:
        status, text = self.query("status") or "", (self.query("text") or "").strip()
        user, group = (self.query("user") or "").strip(), (self.query("group") or "").strip()
        if status and not DATASET.knows(status):
            raise BadRequest(f"status: {status[:40]!r} is none of {', '.join(DATASET.states)}")
        scans = self.query_bool("scans")
        wanted = listing.Wanted(_one(status), _one(user), _one(group), text, scans,
                                self.query_int("before", 0) or 0)
        found = await listing.datasets(self.ctx, self.user, wanted)
        rows = [(row, await counters.job_counts(self.ctx, row["dataset_id"])) for row in found.rows]
        chosen = {"status": status, "user": user, "group": group, "text": text,
                  **({"scans": "true"} if scans else {})}
        chosen = {name: value for name, value in chosen.items() if value}
        older = urlencode({**chosen, "before": found.next}) if found.next else ""
        self.page("datasets.html", rows=rows, older=older, chosen=chosen, states=DATASET.states,
                  is_first=not wanted.before, newest=urlencode(chosen))


def _one(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


# -- one dataset


class Dataset(DatasetPage):
    """A dataset: how far it is, how fast it goes, what fails."""

    @allow(*READERS)
    async def get(self, dataset_id: str) -> None:
        dataset = await self.readable(dataset_id)
        if self.part_wanted == "running":
            running = await _running(self.ctx, dataset_id)
            self.page("dataset_running.html", dataset=dataset, running=running, most=MOST_RUNNING)
            return
        by_job = await counters.job_counts(self.ctx, dataset_id)
        names = await counters.name_counts(self.ctx, dataset_id)
        tasks = _sum(names)  # the same numbers that stand in the table
        samples = await history.of_dataset(self.ctx, dataset_id)
        whole = max(dataset["tasks_submitted"], sum(tasks.values()), 1)
        why = await counters.kept(
            self.ctx, "standstill", lambda: standstill.why_nothing_runs(self.ctx, dataset, tasks), dataset_id)
        template = "dataset_now.html" if self.part_wanted == "now" else "dataset.html"
        self.page(
            template, dataset=dataset, tasks=tasks, jobs=by_job, names=names, whole=whole,
            chart=_chart(samples, whole), why=why,
            graph=graph.draw(graph.boxes(await _tasks_of_a_job(self.ctx, dataset_id), names),
                             f"/web/datasets/{dataset_id}"),
            eta=history.eta(samples, whole) if dataset["status"] == "processing" else None,
            efficiency=await history.efficiencies(self.ctx, dataset_id, list(names)),
            usage={row["name"]: row for row in await usage.of_dataset(self.ctx, dataset_id)},
            requests=await _requests(self.ctx, dataset_id), scan_id=await _scan_of(self.ctx, dataset_id),
            running=await _running(self.ctx, dataset_id), most=MOST_RUNNING,
            may_write=await self.may_write(dataset_id), states=TASK.states)


def _sum(names: dict[str, dict[str, int]]) -> dict[str, int]:
    """How many tasks are in each status, whatever their names."""
    totals = {status: sum(row.get(status, 0) for row in names.values()) for status in TASK.states}
    return {status: number for status, number in totals.items() if number}


async def _running(ctx: Context, dataset_id: str) -> list[Document]:
    """Some of the tasks that run, and one more when there are others."""
    shown = {"_id": 0, "task_id": 1, "name": 1, "job_index": 1, "site": 1, "status_changed": 1, "failures": 1}
    query = {"dataset_id": dataset_id, "status": "processing"}
    return await ctx.db.tasks.find(query, shown, limit=MOST_RUNNING + 1).to_list()


async def _tasks_of_a_job(ctx: Context, dataset_id: str) -> Document:
    """Of the configuration, what the graph is drawn from; kept in memory, for it hardly ever changes."""
    async def read() -> Document:
        config = await configs.find(ctx, dataset_id) or {}
        return {"tasks": [{name: task.get(name) for name in ("name", "depends")}
                          for task in config.get("tasks") or ()]}

    return await counters.kept(ctx, "graph", read, dataset_id)


class DatasetErrors(DatasetPage):
    """What goes wrong in a dataset; a part of its page that is loaded after it."""

    @allow(*READERS)
    async def get(self, dataset_id: str) -> None:
        await self.readable(dataset_id)
        failed = await problems.failed_errors(self.ctx, dataset_id)
        lines = await log_search.errors(self.ctx, dataset_id)
        self.page("dataset_errors.html", dataset_id=dataset_id, failed=failed[:MOST_ERRORS],
                  lines=lines["errors"][:MOST_ERRORS], more_failed=max(0, len(failed) - MOST_ERRORS))


async def _requests(ctx: Context, dataset_id: str) -> list[Document]:
    """The last changes that were asked for."""
    shown = {"_id": 0, "request_id": 1, "action": 1, "status": 1, "created": 1, "username": 1,
             "error_message": 1, "payload.action": 1, "payload.progress": 1}
    query = {"dataset_id": dataset_id, "action": {"$in": ["dataset_status", "job_status", "task_status"]}}
    return await ctx.db.requests.find(query, shown, sort=[("created", -1)], limit=MOST_REQUESTS).to_list()


async def _scan_of(ctx: Context, dataset_id: str) -> str:
    run = await ctx.db.scan_runs.find_one({"dataset_id": dataset_id}, {"_id": 0, "scan_id": 1})
    return str(run["scan_id"]) if run else ""


def _chart(samples: list[Sample], whole: int) -> Chart | None:
    if not samples:
        return None
    done = Line("complete", "good", [(s.moment, s.complete) for s in samples])
    failed = Line("failed", "bad", [(s.moment, s.failed) for s in samples])
    active = Line("running", "busy", [(s.moment, s.active) for s in samples])
    waiting = Line("waiting", "wait", [(s.moment, s.waiting) for s in samples])
    name = f"Tasks over time, of {whole}"
    return Chart("tasks", name, [done, active, waiting, failed], "tasks", whole=True)


class Config(DatasetPage):
    """The configuration of a dataset."""

    @allow(*READERS)
    async def get(self, dataset_id: str) -> None:
        dataset = await self.readable(dataset_id)
        text = json.dumps(await configs.get(self.ctx, dataset_id), indent=2, ensure_ascii=False)
        self.page("dataset_config.html", dataset=dataset, text=text)


# -- its tasks and jobs


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks of a dataset a page shows; an empty field means any."""

    status: str = ""
    name: str = ""
    job: int | None = None

    def words(self) -> dict[str, Any]:
        """As the query of an address."""
        chosen = {"status": self.status, "name": self.name, "job": self.job}
        return {name: value for name, value in chosen.items() if value not in ("", None)}


def task_query(dataset_id: str, wanted: TaskFilter) -> Document:
    """The database query for the tasks that a filter lets through."""
    query: Document = {"dataset_id": dataset_id}
    for field, value in (("status", wanted.status), ("name", wanted.name)):
        if value:
            query[field] = value
    if wanted.job is not None:
        query["job_index"] = wanted.job
    return query


async def number_of(ctx: Context, dataset_id: str, wanted: TaskFilter) -> int:
    """How many tasks a filter lets through, from counters."""
    if wanted.job is not None:
        return await ctx.db.tasks.count_documents(task_query(dataset_id, wanted))
    names = await counters.name_counts(ctx, dataset_id)
    rows = [names.get(wanted.name, {})] if wanted.name else list(names.values())
    return sum(number for row in rows for status, number in row.items()
               if not wanted.status or status == wanted.status)


class Tasks(DatasetPage):
    """Tasks of a dataset, to look at and to choose from."""

    @allow(*READERS)
    async def get(self, dataset_id: str) -> None:
        dataset = await self.present(dataset_id)
        status = self.choice("status", TASK.states)
        job = self.query_int("job") if self.query("job") else None
        wanted = TaskFilter(status, self.query("name") or "", job)
        number, skipped = self.page_wanted()
        rows = await _tasks(self.ctx, task_query(dataset_id, wanted), skipped)
        names = list(await counters.name_counts(self.ctx, dataset_id))
        self.page("tasks.html", dataset=dataset, rows=rows[:PER_PAGE], wanted=wanted, names=names,
                  states=TASK.states, number=number, is_last=len(rows) <= PER_PAGE,
                  total=await number_of(self.ctx, dataset_id, wanted), link=urlencode(wanted.words()),
                  may_write=await self.may_write(dataset_id))


async def _tasks(ctx: Context, query: Document, skip: int) -> list[Document]:
    """Tasks in the order of the index that finds them: no sorting, however many there are."""
    shown = {"_id": 0, "task_id": 1, "job_id": 1, "job_index": 1, "task_index": 1, "name": 1, "status": 1,
             "status_changed": 1, "failures": 1, "evictions": 1, "walltime": 1, "site": 1, "reason": 1}
    order = [] if len(query) > 1 else [("job_index", 1), ("task_index", 1)]
    cursor = ctx.db.tasks.find(query, shown, sort=order or None, skip=skip, limit=PER_PAGE + 1)
    return await cursor.to_list()


class Jobs(DatasetPage):
    """Jobs of a dataset."""

    @allow(*READERS)
    async def get(self, dataset_id: str) -> None:
        dataset = await self.present(dataset_id)
        status = self.choice("status", JOB.states)
        number, skipped = self.page_wanted()
        query = {"dataset_id": dataset_id, **({"status": status} if status else {})}
        order = None if status else [("job_index", 1)]
        cursor = self.ctx.db.jobs.find(query, {"_id": 0}, sort=order, skip=skipped, limit=PER_PAGE + 1)
        rows = await cursor.to_list()
        self.page("jobs.html", dataset=dataset, rows=rows[:PER_PAGE], status=status, states=JOB.states,
                  counts=await counters.job_counts(self.ctx, dataset_id), number=number,
                  is_last=len(rows) <= PER_PAGE)


class Job(DatasetPage):
    """One job with its tasks."""

    @allow(*READERS)
    async def get(self, dataset_id: str, job_id: str) -> None:
        dataset = await self.present(dataset_id)
        job = await jobs.get(self.ctx, job_id, dataset_id)
        query = {"dataset_id": dataset_id, "job_index": job["job_index"]}
        order = [("task_index", 1)]
        tasks = [task async for task in task_store.find(self.ctx, query, sort=order, limit=MOST_SKIPPED)]
        names = {task["task_id"]: task["name"] for task in tasks}
        self.page("job.html", dataset=dataset, job=job, tasks=tasks, names=names)


ROUTES = [
    Route("/web/datasets", Datasets, "web"),
    Route("/web/datasets/{dataset_id}", Dataset, "web"),
    Route("/web/datasets/{dataset_id}/errors", DatasetErrors, "web"),
    Route("/web/datasets/{dataset_id}/config", Config, "web"),
    Route("/web/datasets/{dataset_id}/tasks", Tasks, "web"),
    Route("/web/datasets/{dataset_id}/jobs", Jobs, "web"),
    Route("/web/datasets/{dataset_id}/jobs/{job_id}", Job, "web"),
]
