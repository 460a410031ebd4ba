"""Pages of one task: where it is and why, what it used, and what it printed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from iceprod.ids import now
from iceprod.tokens import Caller
from server.common.errors import NotFound
from server.production.common.documents import Document
from server.production.datasets import datasets
from server.production.failures import explain
from server.production.records import log_text, logs, tails, task_stats
from server.production.records.tails import Tail
from server.production.tasks import task_store
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.web.common.handler import READERS
from server.web.production.attempts import attempts_of
from server.web.production.dataset_pages import DatasetPage

__all__ = ["ROUTES"]

LIVE_SECONDS, OPEN_SECONDS = 2, 5  # between two looks at a task that runs, or may do so soon
LATE_SECONDS = 60.0
SHORT_TAIL = 20_000  # characters of a log within another page
TAIL = 200_000  # characters of a log that its page shows
MOST_LOGS = 60
RESOURCES = ("cpu", "gpu", "memory", "disk", "time")


@dataclass(frozen=True)
class Moment:
    """Something that happened to a task."""

    time: str
    what: str
    detail: str = ""


def story(task: Document, found_logs: list[Document], stats: list[Document]) -> list[Moment]:
    """What is known to have happened to a task, the latest first.

    A task keeps its present status and its last end; its earlier attempts are told by what they left behind.
    """
    moments = [Moment(task["status_changed"], f"became {task['status']}", task.get("site") or "")]
    ended = task.get("ended")
    if ended:
        what = f"an attempt ended: {ended['outcome']}"
        moments.append(Moment(ended["time"], what, ended.get("reason", "")))
    attempts: dict[str, list[str]] = {}
    for log in found_logs:  # the logs of an attempt come together
        attempts.setdefault(log["timestamp"][:19], []).append(log["name"])
    moments += [Moment(time, "logs came", ", ".join(sorted(names))) for time, names in attempts.items()]
    moments += [Moment(row["create_date"], "measurements came") for row in stats]
    return sorted(moments, key=lambda moment: moment.time, reverse=True)


class Task(DatasetPage):
    """A task."""

    @allow(*READERS)
    async def get(self, dataset_id: str, task_id: str) -> None:
        dataset = await self.present(dataset_id)
        task = await self.ctx.db.tasks.find_one({"task_id": task_id, "dataset_id": dataset_id}, {"_id": 0})
        if task is None:
            raise NotFound("Task not found")
        query = {"dataset_id": dataset_id, "task_id": task_id}
        found_logs = await logs.find(self.ctx, query, {"log_id", "name", "timestamp", "left_out"},
                                     limit=MOST_LOGS)
        if self.part_wanted == "log":
            self.page("task_log.html", dataset=dataset, task=task, **await self._printed(task, found_logs))
            return
        stats = list((await task_stats.find(self.ctx, dataset_id, task_id, None)).values())
        why = await explain.explain(self.ctx, dataset_id, task_id)
        template = "task_now.html" if self.part_wanted == "now" else "task.html"
        self.page(template, dataset=dataset, task=task_store.public(task), why=why,
                  attempts=attempts_of(task, found_logs),
                  story=story(task, found_logs, stats), resources=_resources(task, why, stats),
                  may_write=await self.may_write(dataset_id), depends=await _depends(self.ctx, task),
                  pilots_shown=_sees_pilots(self.user), **await self._printed(task, found_logs))

    async def _printed(self, task: Document, found: list[Document]) -> dict[str, Any]:
        """What is printed just now, or the log to read first; and how often to look again."""
        if task["status"] == "processing":
            sent = await tails.read(self.ctx, task)
            return {"tails": {name: Shown.of(tail) for name, tail in sent.items()}, "shown_log": None,
                    "poll": LIVE_SECONDS}
        shown = await _newest_error_log(self.ctx, task["dataset_id"], found)
        return {"tails": {}, "shown_log": shown, "poll": _seconds_to_look(task, shown)}


@dataclass(frozen=True)
class Shown:
    """The end of what a task prints: bytes in all, those before the text, and the text."""

    size: int
    left_out: int
    text: str

    @classmethod
    def of(cls, tail: Tail) -> Shown:
        """As it is shown: from the beginning of a line on, unless all of it is there."""
        left_out = max(0, tail.size - len(tail.text.encode()))
        text = tail.text.partition("\n")[2] or tail.text if left_out else tail.text
        return cls(tail.size, left_out, text)


def _seconds_to_look(task: Document, shown: Document | None) -> float:
    """How soon a log may be there that is not yet; 0 when none will come."""
    if task["status"] not in ("complete", "failed", "suspended"):
        return OPEN_SECONDS
    ended = datetime.fromisoformat(task["status_changed"])
    is_recent = (now() - ended).total_seconds() < LATE_SECONDS  # an end is known a moment before its logs
    return LIVE_SECONDS if is_recent and shown is None else 0


def _sees_pilots(caller: Caller) -> bool:
    return bool(caller.roles & {"admin", "system"})


async def _depends(ctx: Context, task: Document) -> list[Document]:
    if not task["depends"]:
        return []
    shown = {"_id": 0, "task_id": 1, "dataset_id": 1, "name": 1, "status": 1}
    query = {"task_id": {"$in": task["depends"][:200]}}
    return await ctx.db.tasks.find(query, shown).to_list()


@dataclass(frozen=True)
class Resource:
    """What a task asks for of a resource, and what is known of its use; None where nothing is."""

    name: str
    asked: float | None
    last: float | None  # of this task's last measurement
    median: float | None  # of tasks like this one
    p95: float | None


def _resources(task: Document, why: Document, stats: list[Document]) -> list[Resource]:
    learned, last = why["used_by_such_tasks"], _measured(stats)
    rows = []
    for name in RESOURCES:
        such = learned.get(name, {})
        asked = task["requirements"].get(name)
        row = Resource(name, asked if isinstance(asked, int | float) else None, last.get(name),
                       such.get("median"), such.get("p95"))
        if any(value is not None for value in (row.asked, row.last, row.p95)):
            rows.append(row)
    return rows


def _measured(stats: list[Document]) -> dict[str, float]:
    """The numbers of the last measurement that has some."""
    for row in stats:
        measured: Any = row["stats"].get("resources") or row["stats"].get("resources_used") or row["stats"]
        if isinstance(measured, dict):
            numbers = {name: float(value) for name, value in measured.items()
                       if name in RESOURCES and isinstance(value, int | float)}
            if numbers:
                return numbers
    return {}


async def _newest_error_log(ctx: Context, dataset_id: str, found: list[Document]) -> Document | None:
    """The log to read first: the newest of standard error, else of anything, cut to its end."""
    order = sorted(found, key=lambda log: (log["name"] not in ("stderr", "stdlog"),))
    for log in order[:3]:
        text = await logs.get(ctx, log["log_id"], dataset_id)
        if text.get("data", "").strip():
            return {**text, "lines": marked_lines(text["data"][-SHORT_TAIL:])}
    return None


def marked_lines(text: str) -> list[tuple[str, bool]]:
    """The lines of a log, and whether each tells of an error."""
    wrong = set(log_text.error_lines(text).values())
    return [(line, line.strip()[:500] in wrong) for line in text.splitlines()]


class Log(DatasetPage):
    """A log: its end on a page, or all of it as text."""

    @allow(*READERS)
    async def get(self, dataset_id: str, log_id: str) -> None:
        dataset = await self.present(dataset_id)
        log = await logs.get(self.ctx, log_id, dataset_id)
        text = log.get("data", "")
        if self.part_wanted == "end":
            self.page("log_end.html", log=log, lines=marked_lines(text[-SHORT_TAIL:]))
            return
        if self.query_bool("raw"):
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish(text)
            return
        task = await task_store.get(self.ctx, log["task_id"], dataset_id) if log.get("task_id") else None
        self.page("log.html", dataset=dataset, log=log, task=task, lines=marked_lines(text[-TAIL:]),
                  left_out=max(0, len(text) - TAIL), length=len(text))


class FindTask(DatasetPage):
    """A task that is known by its id alone."""

    @allow(*READERS)
    async def get(self, task_id: str) -> None:
        task = await self.ctx.db.tasks.find_one({"task_id": task_id}, {"dataset_id": 1})
        if task is None:
            raise NotFound("Task not found")
        await self.readable(task["dataset_id"])
        await datasets.get(self.ctx, task["dataset_id"], {"dataset_id"})
        self.redirect(f"/web/datasets/{task['dataset_id']}/tasks/{task_id}")


ROUTES = [
    Route("/web/tasks/{task_id}", FindTask, "web"),
    Route("/web/datasets/{dataset_id}/tasks/{task_id}", Task, "web"),
    Route("/web/datasets/{dataset_id}/logs/{log_id}", Log, "web"),
]
