"""Routes that change many tasks or jobs at once."""

from __future__ import annotations

from typing import Any

from iceprod.states import JOB, TASK
from server.common.errors import BadRequest
from server.production.common.documents import Document
from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.tasks import bulk
from server.production.tasks.bulk import Selection
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

NEEDS = [Field("cpu", "int"), Field("gpu", "int"), Field("memory", "number"), Field("disk", "number"),
         Field("time", "number"), Field("os", "list"), Field("site", "str"),
         Field("gpus_minimum_capability", "number"), Field("gpus_minimum_memory", "number"),
         Field("gpus_device_name", "str"), Field("restartable", "bool")]


def _ids(body: Document, name: str) -> tuple[str, ...] | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"key {name} should be a list of str")
    if len(value) > bulk.MOST:
        raise BadRequest(f"Too many {name} specified (limit: 100k)")
    return tuple(value)


def _needed_ids(body: Document, name: str) -> tuple[str, ...]:
    ids = _ids(body, name)
    if not ids:
        raise BadRequest(f"Missing {name} in body")
    return ids


class BulkHandler(ProductionHandler):
    """A handler whose body selects tasks or jobs."""

    def selection(self, dataset_id: str) -> Selection:
        body = self.body(required=False)
        tasks, jobs = _ids(body, "tasks"), _ids(body, "jobs")
        if tasks is not None and jobs is not None:
            raise BadRequest("cannot select by tasks and jobs at once")
        return Selection(dataset_id, tasks, jobs)

    def only_jobs(self, dataset_id: str) -> Selection:
        return Selection(dataset_id, jobs=_ids(self.body(required=False), "jobs"))

    def answer(self, changed: int) -> None:
        """Answer ``{}``, as clients expect, and how many were changed in a header."""
        self.set_header("X-Changed", str(changed))
        self.send({})


class TaskBulkStatus(BulkHandler):
    """Put listed tasks into a status."""

    @allow("admin", "client", "system", "user")
    @takes(Field("tasks", "list", required=True))
    async def post(self, dataset_id: str, status: str) -> None:
        """Put the tasks into the status, whatever theirs is."""
        await self.writable(dataset_id)
        if not TASK.knows(status):
            raise BadRequest("Bad status")
        selection = Selection(dataset_id, _needed_ids(self.body(required=False), "tasks"))
        await bulk.set_task_status(self.ctx, selection, status)
        self.send({})


class AnyTaskBulkStatus(BulkHandler):
    """Put listed tasks of any datasets into a status."""

    @allow("admin", "client", "system")
    @takes(Field("tasks", "list", required=True))
    async def post(self, status: str) -> None:
        """Put the tasks into the status, whatever theirs is."""
        if not TASK.knows(status):
            raise BadRequest("Bad status")
        selection = Selection(tasks=_needed_ids(self.body(required=False), "tasks"))
        await bulk.set_task_status(self.ctx, selection, status)
        self.send({})


class TaskSuspend(BulkHandler):
    """Suspend tasks."""

    @allow("admin", "client", "system", "user")
    @takes(Field("tasks", "list"), Field("jobs", "list"))
    async def post(self, dataset_id: str) -> None:
        """Suspend the tasks that may be: those listed, those of the listed jobs, or all."""
        await self.writable(dataset_id)
        self.answer(await bulk.suspend_tasks(self.ctx, self.selection(dataset_id)))


class TaskReset(BulkHandler):
    """Let tasks begin anew."""

    @allow("admin", "client", "system", "user")
    @takes(Field("tasks", "list"), Field("jobs", "list"))
    async def post(self, dataset_id: str) -> None:
        """Let the tasks that may begin anew: those listed, those of the listed jobs, or all."""
        await self.writable(dataset_id)
        self.answer(await bulk.reset_tasks(self.ctx, self.selection(dataset_id)))


class TaskHardReset(BulkHandler):
    """Let tasks begin anew as if they never ran."""

    @allow("admin", "client", "system", "user")
    @takes(Field("tasks", "list"), Field("jobs", "list"))
    async def post(self, dataset_id: str) -> None:
        """Let the tasks begin anew, complete ones too: those listed, those of the listed jobs, or all."""
        await self.writable(dataset_id)
        self.answer(await bulk.hard_reset_tasks(self.ctx, self.selection(dataset_id)))


class TaskRequirements(ProductionHandler):
    """What all tasks of a name need."""

    @allow("admin", "client", "system", "user")
    @takes(*NEEDS)
    async def patch(self, dataset_id: str, name: str) -> None:
        """Set the given requirements."""
        await self._set(dataset_id, name, replace=False)

    @allow("admin", "client", "system", "user")
    @takes(*NEEDS)
    async def post(self, dataset_id: str, name: str) -> None:
        """Replace the requirements: numbers only grow, what is not given goes."""
        await self._set(dataset_id, name, replace=True)

    async def _set(self, dataset_id: str, name: str, *, replace: bool) -> None:
        await self.writable(dataset_id)
        wanted: dict[str, Any] = self.body(required=False)
        await bulk.set_requirements(self.ctx, dataset_id, name, wanted, replace=replace)
        self.send({})


class JobBulkStatus(BulkHandler):
    """Move listed jobs to a status."""

    @allow("admin", "client", "system", "user")
    @takes(Field("jobs", "list", required=True))
    async def post(self, dataset_id: str, status: str) -> None:
        """Move the jobs that may to the status."""
        await self.writable(dataset_id)
        if not JOB.knows(status):
            raise BadRequest("Bad status")
        selection = Selection(dataset_id, jobs=_needed_ids(self.body(required=False), "jobs"))
        await bulk.set_job_status(self.ctx, selection, status)
        self.send({})


class JobSuspend(BulkHandler):
    """Suspend jobs."""

    @allow("admin", "client", "system", "user")
    @takes(Field("jobs", "list"))
    async def post(self, dataset_id: str) -> None:
        """Suspend the jobs that may be: those listed, or all."""
        await self.writable(dataset_id)
        self.answer(await bulk.suspend_jobs(self.ctx, self.only_jobs(dataset_id)))


class JobReset(BulkHandler):
    """Let jobs process again."""

    @allow("admin", "client", "system", "user")
    @takes(Field("jobs", "list"))
    async def post(self, dataset_id: str) -> None:
        """Let the jobs that may process again: those listed, or all."""
        await self.writable(dataset_id)
        self.answer(await bulk.reset_jobs(self.ctx, self.only_jobs(dataset_id)))


class JobHardReset(BulkHandler):
    """Let jobs process again, complete ones too."""

    @allow("admin", "client", "system", "user")
    @takes(Field("jobs", "list"))
    async def post(self, dataset_id: str) -> None:
        """Let the jobs process again, complete ones too: those listed, or all."""
        await self.writable(dataset_id)
        self.answer(await bulk.hard_reset_jobs(self.ctx, self.only_jobs(dataset_id)))


ROUTES = [
    Route("/task_actions/bulk_status/{status}", AnyTaskBulkStatus, "bulk"),
    Route("/datasets/{dataset_id}/task_actions/bulk_status/{status}", TaskBulkStatus, "bulk"),
    Route("/datasets/{dataset_id}/task_actions/bulk_suspend", TaskSuspend, "bulk"),
    Route("/datasets/{dataset_id}/task_actions/bulk_reset", TaskReset, "bulk"),
    Route("/datasets/{dataset_id}/task_actions/bulk_hard_reset", TaskHardReset, "bulk"),
    Route("/datasets/{dataset_id}/task_actions/bulk_requirements/{name:any}", TaskRequirements, "bulk"),
    Route("/datasets/{dataset_id}/job_actions/bulk_status/{status}", JobBulkStatus, "bulk"),
    Route("/datasets/{dataset_id}/job_actions/bulk_suspend", JobSuspend, "bulk"),
    Route("/datasets/{dataset_id}/job_actions/bulk_reset", JobReset, "bulk"),
    Route("/datasets/{dataset_id}/job_actions/bulk_hard_reset", JobHardReset, "bulk"),
]
