"""Routes of the files of single tasks."""

from __future__ import annotations

from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.records import files
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class DatasetFiles(ProductionHandler):
    """The files of a dataset's tasks."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        await self.present(dataset_id)
        self.send({"files": await files.of_dataset(self.ctx, dataset_id)})

    @allow("admin", "client", "system", "user")
    @takes(Field("filename", "str", required=True), Field("movement", "str", required=True),
           Field("job_index", "int", required=True), Field("task_name", "str", required=True),
           Field("local", "str"))
    async def post(self, dataset_id: str) -> None:
        """Add a file to the task that job_index and task_name say."""
        await self.writable(dataset_id)
        body = self.body()
        required = {"filename": str, "movement": str, "job_index": int, "task_name": str}
        file = files.check(body, required)
        task_id = await files.task_named(self.ctx, dataset_id, body["job_index"], body["task_name"])
        await files.add(self.ctx, dataset_id, task_id, file)
        self.send({"result": task_id}, 201)


class TaskFiles(ProductionHandler):
    """The files of one task."""

    @allow("admin", "client", "system", "pilot", "user")
    async def get(self, dataset_id: str, task_id: str) -> None:
        await self.readable(dataset_id)
        self.send({"files": await files.of_task(self.ctx, task_id, dataset_id)})

    @allow("admin", "client", "system", "user")
    @takes(Field("filename", "str", required=True), Field("movement", "str", required=True),
           Field("local", "str"))
    async def post(self, dataset_id: str, task_id: str) -> None:
        """Add a file to the task."""
        await self.writable(dataset_id)
        file = files.check(self.body(), {"filename": str, "movement": str})
        await files.add(self.ctx, dataset_id, task_id, file)
        self.send({}, 201)

    @allow("admin", "client", "system", "user")
    async def delete(self, dataset_id: str, task_id: str) -> None:
        """Take all its files from the task."""
        await self.writable(dataset_id)
        await files.remove(self.ctx, dataset_id, task_id)
        self.send({})


ROUTES = [
    Route("/datasets/{dataset_id}/files", DatasetFiles, "files"),
    Route("/datasets/{dataset_id}/files/{task_id}", TaskFiles, "files"),
]
