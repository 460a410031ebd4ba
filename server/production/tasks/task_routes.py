"""Routes of tasks: creating and reading them, and setting what they are and need."""

from __future__ import annotations

from typing import Any

from iceprod.states import TASK
from server.common.errors import BadRequest, NotFound
from server.production.common import access, archived
from server.production.common.fields import Field, read_fields, takes
from server.production.common.handler import ProductionHandler
from server.production.tasks import counting, first_tasks, task_changes, task_store
from server.production.tasks.task_store import NewTask
from server.rest import sites
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

FIELDS = [
    Field("dataset_id", "str", required=True), Field("job_id", "str", required=True),
    Field("task_index", "int", required=True), Field("job_index", "int", required=True),
    Field("name", "str", required=True), Field("depends", "list", required=True),
    Field("requirements", "dict", required=True), Field("status", "str", default=TASK.start),
    Field("priority", "number", default=1.0), Field("instance_id", "str"), Field("task_id", "str"),
    Field("site", "str"),
]


class Tasks(ProductionHandler):
    """All tasks, for services."""

    @allow("admin", "client", "system")
    async def get(self) -> None:
        """Tasks; filters status and site (its beginning), keys, sort (name=1 or name=-1, with |), limit."""
        query: dict[str, Any] = {}
        if site := self.query("site"):
            query["site"] = {"$gte": site, "$lt": site + "\U0010ffff"}
        wanted = self.states(TASK.states, "Unknown task status")
        keys, sort, limit = self.keys("task_id"), self.sorting(), self.query_int("limit", 0) or 0
        if first_tasks.applies(wanted, sort, limit):
            rows = first_tasks.first_tasks(self.ctx, wanted, query, keys, limit)
        else:
            query |= {"status": {"$in": wanted}} if wanted else {}
            rows = task_store.find(self.ctx, query, keys, sort=sort, limit=limit)
        await self.send_list("tasks", rows)

    def sorting(self) -> list[tuple[str, int]]:
        result: list[tuple[str, int]] = []
        for part in self.query_list("sort"):
            name, _, direction = part.partition("=")
            if not name.replace(".", "_").isidentifier() or direction not in ("1", "-1", ""):
                raise BadRequest(f"bad sort param: {part[:100]!r}. must be name=1 or name=-1")
            result.append((name, int(direction or 1)))
        return result

    @allow("admin", "client", "system")
    @takes(*FIELDS, closed=True)
    async def post(self) -> None:
        """Create a task."""
        values = read_fields(self.body(), FIELDS)
        if not TASK.knows(values["status"]):
            raise BadRequest("invalid status")
        if not all(isinstance(other, str) for other in values["depends"]):
            raise BadRequest("key depends should be a list of str")
        for name in ("task_index", "job_index"):
            if values[name] < 0:
                raise BadRequest(f"key {name} should be >= 0")
        new = NewTask(values["job_index"], values["name"], values["requirements"], values["task_index"],
                      tuple(values["depends"]), values["priority"], status=values["status"],
                      task_id=values["task_id"] or "")
        task = task_store.new_task(values["dataset_id"], values["job_id"], new)
        task |= {name: values[name] for name in ("instance_id", "site") if values[name]}
        self.send({"result": await task_store.create_task(self.ctx, task)}, 201)


class TaskIds(ProductionHandler):
    """Finding a task by how its id begins."""

    @allow("admin", "client", "system", "user")
    async def get(self, beginning: str) -> None:
        """A few tasks whose ids begin so (four characters at least), of datasets that the caller may read."""
        readable = await access.readable_datasets(self.ctx, self.user)
        self.send({"tasks": await task_store.beginning_with(self.ctx, beginning, readable)})


class Task(ProductionHandler):
    """One task, for services."""

    @allow("admin", "client", "system", "pilot")
    async def get(self, task_id: str) -> None:
        """The task; a pilot does not learn the leases of others."""
        task = await task_store.get(self.ctx, task_id, keys=self.keys("task_id"))
        if sites.is_mere_pilot(self.user) and not sites.bound_pilot(self.user):
            task.pop("instance_id", None)
        self.send(task)

    @allow("admin", "client", "system")
    async def patch(self, task_id: str) -> None:
        """Merge fields into the task, whatever its status."""
        self.send(await task_changes.patch(self.ctx, task_id, self.update_fields()))


class InternalStatus(ProductionHandler):
    """A task's status, set by services."""

    @allow("admin", "client", "system")
    @takes(Field("status", "str", required=True), Field("instance_id", "str"))
    async def put(self, task_id: str) -> None:
        """Move the task to another status, on condition of its instance_id when that is given."""
        body = self.body()
        status = _status(body)
        instance_id = body.get("instance_id")
        if instance_id is not None and not isinstance(instance_id, str):
            raise BadRequest("key instance_id should be of type str")
        await task_changes.set_status(self.ctx, task_id, status, instance_id=instance_id)
        self.send({})


class AllCounts(ProductionHandler):
    """Numbers of tasks by status over all datasets."""

    @allow("admin", "client", "system")
    async def get(self) -> None:
        """Numbers by status; filters status and gpu."""
        wanted = self.states(TASK.states, "Unknown task status")
        filters = self.gpu_filter()
        numbers = await (counting.matching(self.ctx, filters) if filters else counting.of_all(self.ctx))
        self.send({state: numbers[state] for state in wanted or TASK.states if state in numbers})

    def gpu_filter(self) -> dict[str, Any]:
        if self.query("gpu") is None:
            return {}
        if self.query_bool("gpu"):
            return {"requirements.gpu": {"$gte": 1}}
        return {"$or": [{"requirements.gpu": {"$exists": False}}, {"requirements.gpu": {"$lt": 1}},
                        {"requirements.gpu": None}]}


class DatasetTasks(ProductionHandler):
    """The tasks of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """Tasks by id; filters status and name, each a list with |, job_id, job_index, grid_id, and keys.

        With limit so many, in the order of jobs and tasks; the next ones with the last one's id as after.
        """
        await self.present(dataset_id)
        query: dict[str, Any] = {"dataset_id": dataset_id}
        if wanted := self.states(TASK.states, "Unknown task status"):
            query["status"] = {"$in": wanted}
        if names := self.query_list("name"):
            query["name"] = {"$in": [*names, self.query("name")]}  # a name may hold the sign itself
        if (job_id := self.query("job_id")) is not None:
            query["job_id"] = job_id
        if (index := self.index("job_index")) is not None:
            query["job_index"] = index
        if (grid_id := self.query("grid_id")) is not None:
            pilots = self.ctx.db.pilots.find({"grid_id": grid_id}, {"pilot_id": 1})
            query["pilot_id"] = {"$in": [pilot["pilot_id"] async for pilot in pilots]}
        limit, after = self.query_int("limit", 0, minimum=1), self.query("after")
        if limit or after:
            rows = task_store.page(self.ctx, query, self.keys("task_id"), after or "", limit or 0)
        else:
            rows = task_store.find(self.ctx, query, self.keys("task_id"))
        await self.send_map("task_id", rows)


class DatasetTask(ProductionHandler):
    """One task of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str, task_id: str) -> None:
        await self.readable(dataset_id)
        try:
            self.send(await task_store.get(self.ctx, task_id, dataset_id, self.keys("task_id")))
        except NotFound:
            await archived.refuse_reading(self.ctx, dataset_id)
            raise


class TaskStatus(ProductionHandler):
    """A task's status."""

    @allow("admin", "client", "system", "user")
    @takes(Field("status", "str", required=True))
    async def put(self, dataset_id: str, task_id: str) -> None:
        await self.writable(dataset_id)
        await task_changes.set_status(self.ctx, task_id, _status(self.body()), dataset_id)
        self.send({})


def _status(body: dict[str, Any]) -> str:
    if "status" not in body:
        raise BadRequest("Missing status in body")
    if not TASK.knows(body["status"]):
        raise BadRequest("Bad status")
    return str(body["status"])


class TaskSummaries(ProductionHandler):
    """Ids of a dataset's tasks by status."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        await self.present(dataset_id)
        await self.send_groups(task_store.summaries(self.ctx, dataset_id))


class TaskCounts(AllCounts):
    """Numbers of a dataset's tasks by status."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """Numbers by status; filters status and gpu."""
        await self.readable(dataset_id)
        wanted = self.states(TASK.states, "Unknown task status")
        filters = self.gpu_filter()
        numbers = await (counting.matching(self.ctx, {"dataset_id": dataset_id, **filters}) if filters
                         else counting.of_dataset(self.ctx, dataset_id))
        self.send({state: numbers[state] for state in wanted or TASK.states if state in numbers})


class TaskNameCounts(ProductionHandler):
    """Numbers of a dataset's tasks by name and status."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        await self.readable(dataset_id)
        self.send(await counting.by_name(self.ctx, dataset_id))


ROUTES = [
    Route("/tasks", Tasks, "tasks"),
    Route("/task_ids/{beginning}", TaskIds, "tasks"),
    Route("/tasks/{task_id}", Task, "tasks"),
    Route("/tasks/{task_id}/status", InternalStatus, "tasks"),
    Route("/task_counts/status", AllCounts, "tasks"),
    Route("/datasets/{dataset_id}/tasks", DatasetTasks, "tasks"),
    Route("/datasets/{dataset_id}/tasks/{task_id}", DatasetTask, "tasks"),
    Route("/datasets/{dataset_id}/tasks/{task_id}/status", TaskStatus, "tasks"),
    Route("/datasets/{dataset_id}/task_summaries/status", TaskSummaries, "tasks"),
    Route("/datasets/{dataset_id}/task_counts/status", TaskCounts, "tasks"),
    Route("/datasets/{dataset_id}/task_counts/name_status", TaskNameCounts, "tasks"),
]
