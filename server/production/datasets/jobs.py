"""Jobs: one run of all tasks of a dataset's configuration."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from iceprod.ids import new_id, timestamp
from iceprod.states import JOB
from server.common.errors import BadRequest, NotFound
from server.production.common import archived
from server.production.common.documents import Document, projection
from server.production.datasets import totals
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "counts", "create_job", "find", "get", "new_job", "page", "patch", "set_status",
           "summaries"]

INDEXES = [
    Index("jobs", "job_id", [("job_id", 1)], unique=True),
    Index("jobs", "dataset_job", [("dataset_id", 1), ("job_index", 1)], unique=True),
    Index("jobs", "dataset_status", [("dataset_id", 1), ("status", 1)]),
]

IDS = ("job_id", "dataset_id", "job_index")


def new_job(dataset_id: str, job_index: int, *, job_id: str = "", status: str = JOB.start,
            moment: str = "") -> Document:
    """A job's document, not yet stored; made at a moment, which many may share."""
    return {"job_id": job_id or new_id(), "dataset_id": dataset_id, "job_index": job_index, "status": status,
            "status_changed": moment or timestamp()}


def check_job_id(job_id: str) -> str:
    """The id in the form that ids have here. Raises BadRequest for anything but a UUID."""
    try:
        return uuid.UUID(job_id).hex
    except ValueError:
        raise BadRequest("job_id should be a valid uuid") from None


async def create_job(ctx: Context, job: Document) -> str:
    """Store a job; its id. Raises BadRequest when the dataset has a job of that index."""
    async with totals.making(ctx, job["dataset_id"]) as batch:
        try:
            await ctx.db.jobs.insert_one(dict(job))
        except DuplicateKeyError:
            taken = await ctx.db.jobs.find_one({"job_id": job["job_id"]}, {"_id": 1})
            raise BadRequest("duplicate job_id" if taken else "duplicate job_index") from None
        batch.jobs += 1
    return str(job["job_id"])


async def get(ctx: Context, job_id: str, dataset_id: str = "", keys: set[str] | None = None) -> Document:
    """One job, of one dataset when that is given. Raises NotFound."""
    query = {"job_id": job_id} | ({"dataset_id": dataset_id} if dataset_id else {})
    job = await ctx.db.jobs.find_one(query, projection(keys))
    if job is None:
        raise NotFound("Job not found")
    return job


async def find(ctx: Context, query: dict[str, Any], keys: set[str] | None = None) -> AsyncIterator[Document]:
    """Jobs as the API shows them."""
    async for job in ctx.db.jobs.find(query, projection(keys)):
        yield job


async def page(ctx: Context, query: dict[str, Any], keys: set[str] | None, after: str,
               limit: int) -> AsyncIterator[Document]:
    """A dataset's jobs in the order of their indexes, those that come after a job of it; 0: all of these.

    Raises BadRequest for an unknown `after`.
    """
    if after:
        last = await ctx.db.jobs.find_one({"dataset_id": query["dataset_id"], "job_id": after},
                                          {"_id": 0, "job_index": 1})
        if last is None:
            raise BadRequest("after: the dataset has no such job")
        query = {"$and": [query, {"job_index": {"$gt": last["job_index"]}}]}
    async for job in ctx.db.jobs.find(query, projection(keys), sort=[("job_index", 1)], limit=limit):
        yield job


async def patch(ctx: Context, job_id: str, fields: dict[str, Any]) -> Document:
    """Merge fields into a job, whatever its status; the job as it is then. Raises BadRequest, NotFound."""
    if not fields:
        raise BadRequest("Missing update data")
    before = await get(ctx, job_id)
    for name in IDS:
        if fields.get(name, before[name]) != before[name]:
            raise BadRequest(f"{name} cannot be changed")
    if "status" in fields:
        if not JOB.knows(fields["status"]):
            raise BadRequest("Bad status")
        fields = {**fields, "status_changed": timestamp()}
    job = await ctx.db.jobs.find_one_and_update({"job_id": job_id}, {"$set": fields}, {"_id": 0},
                                                return_document=ReturnDocument.AFTER)
    if job is None:
        raise NotFound("Job not found")
    return job


async def set_status(ctx: Context, dataset_id: str, job_id: str, status: str) -> bool:
    """Move a job to another status; whether that changed anything. Raises BadRequest, NotFound."""
    if not JOB.knows(status):
        raise BadRequest("Bad status")
    query = {"job_id": job_id, "dataset_id": dataset_id, "status": {"$in": JOB.sources(status)}}
    result = await ctx.db.jobs.update_one(query, {"$set": {"status": status, "status_changed": timestamp()}})
    if result.matched_count:
        return True
    if (await get(ctx, job_id, dataset_id))["status"] != status:
        raise BadRequest("Bad state transition for status")
    return False


async def summaries(ctx: Context, dataset_id: str) -> AsyncIterator[tuple[str, str]]:
    """The status and id of each of a dataset's jobs, in the order of the states."""
    for state in JOB.states:
        query = {"dataset_id": dataset_id, "status": state}
        async for job in ctx.db.jobs.find(query, {"_id": 0, "job_id": 1}):
            yield state, job["job_id"]


async def counts(ctx: Context, dataset_id: str) -> dict[str, int]:
    """How many of a dataset's jobs are in each status: those not complete from the index, as long as it is
    certain how many there are of all."""
    made = await totals.totals(ctx, dataset_id)
    if made is None and (kept := await archived.job_counts(ctx, dataset_id)):
        return kept
    numbers = {state: await ctx.db.jobs.count_documents({"dataset_id": dataset_id, "status": state})
               for state in JOB.states if state != "complete" or made is None}
    if made is not None:
        numbers["complete"] = max(0, made.jobs - sum(numbers.values()))
    return {state: numbers[state] for state in JOB.states if numbers[state]}
