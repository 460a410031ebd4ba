"""Routes of the actions that take long."""

from __future__ import annotations

from server.common.errors import BadRequest, Forbidden
from server.production.common.documents import Document
from server.production.common.handler import ProductionHandler
from server.production.datasets import configs, datasets
from server.production.submission import actions, checks
from server.production.tasks import requests
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class ActionHandler(ProductionHandler):
    """A handler of one kind of action."""

    action = ""

    @allow("admin", "client", "system", "user")
    async def get(self) -> None:
        """How many requests there are in each status."""
        self.send(await requests.counts(self.ctx, self.action))

    @allow("admin", "client", "system", "user")
    async def post(self) -> None:
        """Ask for the action; the answer is the request's id."""
        payload = await self.payload(self.body())
        self.send({"result": await requests.create(self.ctx, self.action, payload, self.user)}, 201)

    async def payload(self, body: Document) -> Document:
        raise NotImplementedError


class Submit(ActionHandler):
    """Submitting datasets."""

    action = "submit"

    async def payload(self, body: Document) -> Document:
        checked = await actions.check_submission(self.ctx, body, self.user)
        config = actions.parse_config(checked["config"])
        await checks.require(self.ctx, self.user, config, checked["jobs_submitted"],
                             lenient=body.get("lenient") is True)
        return checked


class EditConfig(ActionHandler):
    """Editing configurations."""

    action = "edit_config"

    async def payload(self, body: Document) -> Document:
        dataset_id = body.get("dataset_id")
        if not isinstance(dataset_id, str):
            raise BadRequest("missing key: dataset_id")
        if "config" not in body:
            raise BadRequest("missing key: config")
        await actions.may_write(self.ctx, self.user, dataset_id)
        config = actions.parse_config(body["config"])
        await configs.get(self.ctx, dataset_id)
        dataset = await datasets.get(self.ctx, dataset_id)
        await checks.require(self.ctx, self.user, config, max(1, dataset["jobs_submitted"]), dataset=dataset,
                             lenient=body.get("lenient") is True)
        return {"dataset_id": dataset_id, "config": actions.text_of(config)}


class StatusChange(ActionHandler):
    """Suspending and resetting."""

    what = ""

    async def payload(self, body: Document) -> Document:
        checked = actions.check_status_change(body, self.what)
        await actions.may_write(self.ctx, self.user, checked["dataset_id"])
        return checked


class DatasetStatus(StatusChange):
    """Suspending and resetting datasets."""

    action, what = "dataset_status", "dataset"


class JobStatus(StatusChange):
    """Suspending and resetting jobs."""

    action, what = "job_status", "job"


class TaskStatus(StatusChange):
    """Suspending and resetting tasks."""

    action, what = "task_status", "task"


class Materialization(ActionHandler):
    """Making jobs."""

    action = "materialization"

    @allow("admin", "client", "system", "user")
    async def post(self) -> None:
        """Make jobs of a dataset now; a request that waits already is answered instead of a new one."""
        await self.ask(self.body())

    async def ask(self, body: Document) -> None:
        payload = actions.check_materialization(body)
        await actions.may_write(self.ctx, self.user, payload["dataset_id"])
        known = await requests.pending(self.ctx, self.action, payload["dataset_id"])
        request_id = known or await requests.create(self.ctx, self.action, payload, self.user)
        self.send({"result": request_id}, 201)


class DatasetMaterialization(Materialization):
    """Making jobs of one dataset."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """How the latest request for this dataset stands."""
        await self.readable(dataset_id)
        latest = await requests.newest(self.ctx, self.action, dataset_id)
        answer = await requests.get(self.ctx, self.action, latest)
        answer.pop("username")
        self.send(answer)

    @allow("admin", "client", "system", "user")
    async def post(self, dataset_id: str) -> None:
        """Make jobs of the dataset now."""
        await self.ask({**self.body(required=False), "dataset_id": dataset_id})


class Request(ProductionHandler):
    """One request for an action."""

    @allow("admin", "client", "system", "user")
    async def get(self, action: str, request_id: str) -> None:
        """How the request stands; users see their own and those of datasets they may read."""
        request = await requests.get(self.ctx, action, request_id)
        owner = request.pop("username")
        if owner != self.user.username and not self.user.bypasses_datasets:
            dataset_id = request["payload"].get("dataset_id")
            if not dataset_id:
                raise Forbidden("authorization failed")
            await self.readable(dataset_id)
        self.send(request)


ROUTES = [
    Route("/actions/submit", Submit, "actions"),
    Route("/actions/edit_config", EditConfig, "actions"),
    Route("/actions/dataset_status", DatasetStatus, "actions"),
    Route("/actions/job_status", JobStatus, "actions"),
    Route("/actions/task_status", TaskStatus, "actions"),
    Route("/actions/materialization", Materialization, "actions"),
    Route("/actions/materialization/datasets/{dataset_id}", DatasetMaterialization, "actions"),
    Route("/actions/{action}/{request_id}", Request, "actions"),
]
