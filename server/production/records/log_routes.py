"""Routes of logs."""

from __future__ import annotations

import re
from typing import Any

from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.records import log_search, logs, tails
from server.rest import sites
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class LogHandler(ProductionHandler):
    """A handler that stores logs."""

    def log_fields(self) -> Document:
        body = self.body(required=False)
        names = ("data", "name", "dataset_id", "task_id")
        return {name: body[name] for name in names if body.get(name) is not None}


class Logs(LogHandler):
    """All logs, for services."""

    @allow("admin", "client", "system")
    async def get(self) -> None:
        """Logs by id; filters from, to (times), name, dataset_id, task_id, and keys, limit."""
        names = ("name", "dataset_id", "task_id")
        query: dict[str, Any] = {n: value for n in names if (value := self.query(n)) is not None}
        ends = (("$gte", "from"), ("$lte", "to"))
        span = {sign: value for sign, name in ends if (value := self.query(name))}
        if span:
            query["timestamp"] = span
        limit = self.query_int("limit", 1000, minimum=1) or 1000
        rows = await logs.find(self.ctx, query, self.keys("log_id"), limit=limit)
        self.send({row["log_id"]: row for row in rows})

    @allow("admin", "client", "system", "pilot")
    @takes(Field("data", "str", required=True), Field("name", "str"), Field("dataset_id", "str"),
           Field("task_id", "str"))
    async def post(self) -> None:
        """Store a log."""
        fields = self.log_fields()
        await sites.check_names(self.ctx, self.user, fields)
        if sites.bound_pilot(self.user) and "dataset_id" in fields:
            await self.writable(fields["dataset_id"])
        self.send({"result": await logs.create(self.ctx, fields)}, 201)


class Log(ProductionHandler):
    """One log, for services."""

    @allow("admin", "client", "system", "pilot")
    async def get(self, log_id: str) -> None:
        """The log; a pilot's token reads those of tasks that it holds."""
        log = await logs.get(self.ctx, log_id)
        await sites.check_names(self.ctx, self.user, log)
        self.send(log)

    @allow("admin", "client", "system")
    async def delete(self, log_id: str) -> None:
        await logs.remove(self.ctx, {"log_id": log_id})
        self.send({})


class DatasetLogs(LogHandler):
    """Logs of a dataset."""

    @allow("admin", "client", "system", "pilot", "user")
    @takes(Field("data", "str", required=True), Field("name", "str"), Field("task_id", "str"))
    async def post(self, dataset_id: str) -> None:
        """Store a log of the dataset."""
        await self.writable(dataset_id)
        fields = {**self.log_fields(), "dataset_id": dataset_id}
        self.send({"result": await logs.create(self.ctx, fields)}, 201)

    @allow("admin", "client", "system", "user")
    async def delete(self, dataset_id: str) -> None:
        """Delete all logs of the dataset."""
        await self.writable(dataset_id)
        await logs.remove(self.ctx, {"dataset_id": dataset_id})
        self.send({})


class DatasetLog(ProductionHandler):
    """One log of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str, log_id: str) -> None:
        await self.present(dataset_id)
        self.send(await logs.get(self.ctx, log_id, dataset_id))

    @allow("admin", "client", "system", "user")
    async def delete(self, dataset_id: str, log_id: str) -> None:
        await self.writable(dataset_id)
        await logs.remove(self.ctx, {"dataset_id": dataset_id, "log_id": log_id})
        self.send({})


class TaskLogs(ProductionHandler):
    """Logs of a task."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str, task_id: str) -> None:
        """Logs, newest first; order (asc or desc), group (the newest of each name), num (the first), keys."""
        await self.present(dataset_id)
        query = {"dataset_id": dataset_id, "task_id": task_id}
        number = self.query("num")
        if number is not None and not re.fullmatch(r"\d{1,9}", number):
            raise BadRequest("bad num param. must be int")
        order = self.query("order", "desc")
        if order not in ("asc", "desc"):
            raise BadRequest('bad order param. should be "asc" or "desc".')
        if self.query_bool("group"):
            rows = await logs.newest_by_name(self.ctx, query, self.keys("log_id"))
            rows = rows if order == "desc" else rows[::-1]
            rows = rows[:int(number)] if number else rows
        else:
            rows = await logs.find(self.ctx, query, self.keys("log_id"), newest_first=order == "desc",
                                   limit=int(number or 0))
        if not rows:
            raise NotFound("Log not found")
        self.send({"logs": rows})

    @allow("admin", "client", "system", "user")
    async def delete(self, dataset_id: str, task_id: str) -> None:
        """Delete all logs of the task."""
        await self.writable(dataset_id)
        await logs.remove_of_task(self.ctx, dataset_id, task_id)
        self.send({})


class TaskLogTail(ProductionHandler):
    """The end of what a task prints just now."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str, task_id: str) -> None:
        """By name (stdout, stderr): how many bytes were printed, and the last of them.

        A pilot sends them only while somebody asks, so the first comes some seconds after the first question
        and the next ones every two seconds. A task that does not run, or whose pilot is of an older version,
        has none; what is kept of an attempt comes with its end (logs).
        """
        await self.present(dataset_id)
        query = {"task_id": task_id, "dataset_id": dataset_id}
        shown = {"_id": 0, "task_id": 1, "instance_id": 1, "status": 1}
        task = await self.ctx.db.tasks.find_one(query, shown)
        if task is None:
            raise NotFound("Task not found")
        found = await tails.read(self.ctx, task) if task["status"] == "processing" else {}
        self.send({"status": task["status"], "instance_id": task.get("instance_id", ""),
                   "tails": {name: {"size": tail.size, "text": tail.text} for name, tail in found.items()}})


class LogErrors(ProductionHandler):
    """Errors in the logs of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """Lines that tell of errors, the same ones together, with counts of tasks; filter name."""
        await self.present(dataset_id)
        self.send(await log_search.errors(self.ctx, dataset_id, self.query("name")))


class LogSearch(ProductionHandler):
    """Searching the logs of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """Lines of the newest logs that hold text, the same ones together, with counts; filter name."""
        await self.present(dataset_id)
        text = (self.query("text") or "").strip()
        if not 2 <= len(text) <= 200:
            raise BadRequest("bad text param. must have 2 to 200 characters")
        self.send(await log_search.search(self.ctx, dataset_id, text, self.query("name")))


ROUTES = [
    Route("/datasets/{dataset_id}/log_errors", LogErrors, "logs"),
    Route("/datasets/{dataset_id}/log_search", LogSearch, "logs"),
    Route("/logs", Logs, "logs"),
    Route("/logs/{log_id}", Log, "logs"),
    Route("/datasets/{dataset_id}/logs", DatasetLogs, "logs"),
    Route("/datasets/{dataset_id}/logs/{log_id}", DatasetLog, "logs"),
    Route("/datasets/{dataset_id}/tasks/{task_id}/logs", TaskLogs, "logs"),
    Route("/datasets/{dataset_id}/tasks/{task_id}/log_tail", TaskLogTail, "logs"),
]
