"""Routes of datasets."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from iceprod.states import DATASET
from server.common.errors import BadRequest
from server.production.common import access
from server.production.common.fields import Field, number, read_fields, takes
from server.production.common.handler import ProductionHandler
from server.production.datasets import datasets
from server.production.datasets.datasets import NewDataset
from server.production.people import users
from server.production.people.naming import Named, check_named, is_own_name
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

FIELDS = [
    Field("description", "str", required=True), Field("group", "str", required=True),
    Field("jobs_submitted", "int", required=True), Field("tasks_submitted", "int", required=True),
    Field("tasks_per_job", "int", required=True), Field("priority", "number", default=0.5),
    Field("debug", "bool", default=False), Field("jobs_immutable", "bool", default=False),
    Field("always_active", "bool", default=False), Field("status", "str", default=DATASET.start),
    Field("auth_groups_read", "list"), Field("username", "str"),
]


class Datasets(ProductionHandler):
    """All datasets that the caller may read."""

    @allow("admin", "client", "system", "user")
    async def get(self) -> None:
        """Datasets by id; filters status, groups, users, dataset (numbers) and keys, each a list with |."""
        query: dict[str, Any] = {}
        if wanted := self.states((*DATASET.states, "truncated"), "unknown status"):
            in_them = {"status": {"$in": wanted}}
            query |= {"$or": [in_them, {"truncated": True}]} if "truncated" in wanted else in_them
        for parameter, field in (("groups", "group"), ("users", "username")):
            if values := self.query_list(parameter):
                query[field] = {"$in": values}
        if wanted := self.query_list("dataset"):
            query["dataset"] = {"$in": [int(text) for text in wanted if re.fullmatch(r"\d{1,15}", text)]}
        readable = await access.readable_datasets(self.ctx, self.user)
        rows = datasets.find(self.ctx, query, self.keys("dataset_id"))
        await self.send_map("dataset_id", (row async for row in rows
                                           if readable is None or row["dataset_id"] in readable))

    @allow("admin", "user", "system")
    @takes(*FIELDS, closed=True)
    async def post(self) -> None:
        """Create a dataset; a user's own, whatever username says."""
        new = self.new_dataset()
        await check_named(self.ctx, self.user, Named(new.group, new.auth_groups_read or (), new.username))
        await users.ensure(self.ctx, new.username)
        dataset_id = await datasets.create_dataset(self.ctx, new)
        self.set_header("Location", f"/datasets/{dataset_id}")
        self.send({"result": dataset_id}, 201)

    def new_dataset(self) -> NewDataset:
        values = read_fields(self.body(), FIELDS, quote='"')
        readers = values.pop("auth_groups_read")
        owner = values["username"] or self.user.username
        if not is_own_name(self.user, owner):
            owner = self.user.username
        new = NewDataset(**{**values, "username": owner})
        if readers is None:
            return new
        if not all(isinstance(group, str) for group in readers):
            raise BadRequest('key "auth_groups_read" should be a list of str')
        return replace(new, auth_groups_read=tuple(readers))


class Dataset(ProductionHandler):
    """One dataset."""

    @allow("admin", "client", "system", "pilot", "user")
    async def get(self, dataset_id: str) -> None:
        await self.readable(dataset_id)
        self.send(await datasets.get(self.ctx, dataset_id, self.keys("dataset_id")))


class DatasetStatus(ProductionHandler):
    """A dataset's status."""

    @allow("admin", "client", "system", "user")
    @takes(Field("status", "str", required=True))
    async def put(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        body = self.body()
        if "status" not in body:
            raise BadRequest("missing status")
        if body["status"] != "truncated" and not DATASET.knows(body["status"]):
            raise BadRequest("bad status")
        await datasets.set_status(self.ctx, dataset_id, body["status"])
        self.send({})


class DatasetDescription(ProductionHandler):
    """A dataset's description."""

    @allow("admin", "client", "system", "user")
    @takes(Field("description", "str", required=True))
    async def put(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        body = self.body()
        if "description" not in body:
            raise BadRequest("missing description")
        if not isinstance(body["description"], str):
            raise BadRequest("bad description")
        await datasets.change(self.ctx, dataset_id, {"description": body["description"]})
        self.send({})


class DatasetPriority(ProductionHandler):
    """A dataset's priority."""

    @allow("admin", "client", "system", "user")
    @takes(Field("priority", "number", required=True))
    async def put(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        body = self.body()
        if "priority" not in body:
            raise BadRequest("missing priority")
        if not number(body["priority"]):
            raise BadRequest("priority is not a number")
        await datasets.change(self.ctx, dataset_id, {"priority": body["priority"]})
        self.send({})


class DatasetJobsSubmitted(ProductionHandler):
    """How many jobs a dataset makes."""

    @allow("admin", "client", "system", "user")
    @takes(Field("jobs_submitted", "int", required=True))
    async def put(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        body = self.body()
        if "jobs_submitted" not in body:
            raise BadRequest("missing jobs_submitted")
        await datasets.set_jobs_submitted(self.ctx, dataset_id, _whole(body["jobs_submitted"]))
        self.send({})


def _whole(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest("jobs_submitted is not an int")
    return value


class HardReset(ProductionHandler):
    """Revive a dataset from any status."""

    @allow("admin", "client", "system", "user")
    async def post(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        await datasets.hard_reset(self.ctx, dataset_id)
        self.send({})


class Truncate(ProductionHandler):
    """Make no more jobs of a dataset."""

    @allow("admin", "client", "system", "user")
    async def post(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        await datasets.truncate(self.ctx, dataset_id)
        self.send({})


class Summaries(ProductionHandler):
    """Ids of datasets by status."""

    @allow("admin", "client", "system", "user")
    async def get(self) -> None:
        readable = await access.readable_datasets(self.ctx, self.user)
        self.send(await datasets.summaries(self.ctx, readable))


ROUTES = [
    Route("/datasets", Datasets, "datasets"),
    Route("/datasets/{dataset_id}", Dataset, "datasets"),
    Route("/datasets/{dataset_id}/status", DatasetStatus, "datasets"),
    Route("/datasets/{dataset_id}/description", DatasetDescription, "datasets"),
    Route("/datasets/{dataset_id}/priority", DatasetPriority, "datasets"),
    Route("/datasets/{dataset_id}/jobs_submitted", DatasetJobsSubmitted, "datasets"),
    Route("/datasets/{dataset_id}/dataset_actions/hard_reset", HardReset, "datasets"),
    Route("/datasets/{dataset_id}/dataset_actions/truncate", Truncate, "datasets"),
    Route("/dataset_summaries/status", Summaries, "datasets"),
]
