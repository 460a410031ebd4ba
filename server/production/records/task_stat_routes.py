"""Routes of task statistics."""

from __future__ import annotations

from server.common.errors import BadRequest
from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.records import task_stats
from server.rest.handler import encode
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

FLUSH_ROWS = 1000


class ReportStats(ProductionHandler):
    """Statistics that a pilot reports."""

    @allow("admin", "client", "system", "pilot")
    @takes(Field("dataset_id", "str", required=True))
    async def post(self, task_id: str) -> None:
        """Store what the pilot measured: any JSON with dataset_id."""
        body = self.body(required=False)
        dataset_id = body.pop("dataset_id", None)
        if dataset_id is None:
            raise BadRequest("Missing dataset_id in body")
        if not isinstance(dataset_id, str):
            raise BadRequest("key dataset_id should be of type str")
        self.send({"result": await task_stats.create(self.ctx, task_id, dataset_id, body)}, 201)


class TaskStats(ProductionHandler):
    """Statistics of a task."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str, task_id: str) -> None:
        """Reports by id, the newest alone with last; keys."""
        await self.present(dataset_id)
        rows = await task_stats.find(self.ctx, dataset_id, task_id, self.keys("task_stat_id"),
                                     last=self.query_bool("last"))
        self.send(rows)


class TaskStat(ProductionHandler):
    """One report of a task."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str, task_id: str, task_stat_id: str) -> None:
        await self.present(dataset_id)
        self.send(await task_stats.get(self.ctx, dataset_id, task_id, task_stat_id))


class BulkStats(ProductionHandler):
    """All reports of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """Reports, one JSON document a line; last, after (a time), keys, buffer_size (lines sent at once)."""
        await self.present(dataset_id)
        rows = task_stats.bulk(self.ctx, dataset_id, self.keys("task_stat_id"), last=self.query_bool("last"),
                               after=self.query("after") or "")
        flush_rows = self.query_int("buffer_size", FLUSH_ROWS, minimum=1) or FLUSH_ROWS
        self.set_header("Content-Type", "application/x-ndjson")
        count = 0
        async for row in rows:
            self.write(encode(row) + b"\n")
            count += 1
            if count % min(flush_rows, FLUSH_ROWS) == 0:
                await self.flush()
        await self.finish()


class DatasetStats(ProductionHandler):
    """Walltimes of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """Walltimes of the completed tasks by name."""
        await self.present(dataset_id)
        self.send(await task_stats.dataset_summary(self.ctx, dataset_id))


ROUTES = [
    Route("/tasks/{task_id}/task_stats", ReportStats, "task stats"),
    Route("/datasets/{dataset_id}/tasks/{task_id}/task_stats", TaskStats, "task stats"),
    Route("/datasets/{dataset_id}/tasks/{task_id}/task_stats/{task_stat_id}", TaskStat, "task stats"),
    Route("/datasets/{dataset_id}/task_stats", DatasetStats, "task stats"),
    Route("/datasets/{dataset_id}/bulk/task_stats", BulkStats, "task stats"),
]
