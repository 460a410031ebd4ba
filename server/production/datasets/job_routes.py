"""Routes of jobs."""

from __future__ import annotations

from typing import Any

from iceprod.states import JOB
from server.common.errors import BadRequest
from server.production.common.fields import Field, read_fields, takes
from server.production.common.handler import ProductionHandler
from server.production.datasets import jobs
from server.rest import sites
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

FIELDS = [Field("dataset_id", "str", required=True), Field("job_index", "int", required=True),
          Field("job_id", "str"), Field("status", "str", default=JOB.start)]


class Jobs(ProductionHandler):
    """Creating jobs one by one."""

    @allow("admin", "client", "system")
    @takes(*FIELDS, closed=True)
    async def post(self) -> None:
        """Create a job."""
        values = read_fields(self.body(), FIELDS)
        if not JOB.knows(values["status"]):
            raise BadRequest("unknown status")
        if values["job_index"] < 0:
            raise BadRequest("key job_index should be >= 0")
        job_id = jobs.check_job_id(values["job_id"]) if values["job_id"] is not None else ""
        job = jobs.new_job(values["dataset_id"], values["job_index"], job_id=job_id, status=values["status"])
        self.send({"result": await jobs.create_job(self.ctx, job)}, 201)


class Job(ProductionHandler):
    """One job, for services."""

    @allow("admin", "client", "system", "pilot")
    async def get(self, job_id: str) -> None:
        """The job; a pilot's own token reads those of tasks that it holds."""
        job = await jobs.get(self.ctx, job_id)
        if sites.bound_pilot(self.user):
            await self.readable(job["dataset_id"])
        self.send(job)

    @allow("admin", "client", "system")
    async def patch(self, job_id: str) -> None:
        """Merge fields into the job, whatever its status."""
        self.send(await jobs.patch(self.ctx, job_id, self.update_fields()))


class DatasetJobs(ProductionHandler):
    """The jobs of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """Jobs by id; filters job_index, status and keys.

        With limit so many, in the order of their indexes; the next ones with the last one's id as after.
        """
        await self.present(dataset_id)
        query: dict[str, Any] = {"dataset_id": dataset_id}
        if wanted := self.states(JOB.states, "Unknown status"):
            query["status"] = {"$in": wanted}
        if (index := self.index("job_index")) is not None:
            query["job_index"] = index
        limit, after = self.query_int("limit", 0, minimum=1), self.query("after")
        if limit or after:
            rows = jobs.page(self.ctx, query, self.keys("job_id"), after or "", limit or 0)
        else:
            rows = jobs.find(self.ctx, query, self.keys("job_id"))
        await self.send_map("job_id", rows)


class DatasetJob(ProductionHandler):
    """One job of a dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str, job_id: str) -> None:
        await self.present(dataset_id)
        self.send(await jobs.get(self.ctx, job_id, dataset_id, self.keys("job_id")))


class JobStatus(ProductionHandler):
    """A job's status."""

    @allow("admin", "client", "system", "user")
    @takes(Field("status", "str", required=True))
    async def put(self, dataset_id: str, job_id: str) -> None:
        await self.writable(dataset_id)
        body = self.body()
        if "status" not in body:
            raise BadRequest("Missing status in body")
        await jobs.set_status(self.ctx, dataset_id, job_id, body["status"])
        self.send({})


class JobSummaries(ProductionHandler):
    """Ids of a dataset's jobs by status."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        await self.present(dataset_id)
        await self.send_groups(jobs.summaries(self.ctx, dataset_id))


class JobCounts(ProductionHandler):
    """Numbers of a dataset's jobs by status."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        await self.readable(dataset_id)
        self.send(await jobs.counts(self.ctx, dataset_id))


ROUTES = [
    Route("/jobs", Jobs, "jobs"),
    Route("/jobs/{job_id}", Job, "jobs"),
    Route("/datasets/{dataset_id}/jobs", DatasetJobs, "jobs"),
    Route("/datasets/{dataset_id}/jobs/{job_id}", DatasetJob, "jobs"),
    Route("/datasets/{dataset_id}/jobs/{job_id}/status", JobStatus, "jobs"),
    Route("/datasets/{dataset_id}/job_summaries/status", JobSummaries, "jobs"),
    Route("/datasets/{dataset_id}/job_counts/status", JobCounts, "jobs"),
]
