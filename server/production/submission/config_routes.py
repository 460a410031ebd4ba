"""Routes of configurations."""

from __future__ import annotations

from typing import Any

from config.json_text import JsonError, decode
from iceprod import dataset_config
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.datasets import configs
from server.production.submission import checks, previews
from server.rest.handler import Handler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Config(ProductionHandler):
    """A dataset's configuration."""

    def examine(self, document: Any) -> None:
        """Nothing: it is kept as text, which takes any JSON."""

    @allow("admin", "client", "system", "pilot", "user")
    async def get(self, dataset_id: str) -> None:
        await self.readable(dataset_id)
        self.send(await configs.get(self.ctx, dataset_id))

    @allow("admin", "client", "system", "user")
    async def put(self, dataset_id: str) -> None:
        """Create or replace the configuration; with `lenient`, also one that may not do what was meant.

        Of one before version 3.1 only types are checked, unless `lenient` is given at all.
        """
        await self.writable(dataset_id)
        if len(self.request.body) > configs.MAX_BYTES:
            raise BadRequest(f"the configuration is larger than {configs.MAX_BYTES >> 20} MB")
        config = configs.checked(self.body(), dataset_id)
        if dataset_config.is_strict(config) or self.query("lenient") is not None:
            await self.require(config, dataset_id)
        else:
            await checks.require_named(self.ctx, self.user, config)
        await configs.put(self.ctx, dataset_id, config)
        self.send({})

    async def require(self, config: Document, dataset_id: str) -> None:
        dataset = await self.ctx.db.datasets.find_one({"dataset_id": dataset_id}, {"_id": 0}) or {}
        jobs = max(1, dataset.get("jobs_submitted", 1))
        await checks.require(self.ctx, self.user, config, jobs, lenient=self.query_bool("lenient"),
                             dataset=dataset)


class Validate(ProductionHandler):
    """Trying a configuration."""

    def examine(self, document: Any) -> None:
        """Nothing: it is not stored."""

    @allow("admin", "client", "system", "user")
    @takes(Field("config", "dict", required=True), Field("jobs_submitted", "int"), Field("lenient", "bool"),
           Field("group", "str"))
    async def post(self) -> None:
        """What is wrong with the configuration, or what its jobs and tasks would be; nothing is created.

        The configuration may also be given as text, as for a submission. `files` tells which site can move
        which file with which credential of yours or of the group's.
        """
        body = self.body()
        if len(self.request.body) > configs.MAX_BYTES:
            raise BadRequest(f"the configuration is larger than {configs.MAX_BYTES >> 20} MB")
        jobs = body.get("jobs_submitted", 1)
        if isinstance(jobs, bool) or not isinstance(jobs, int) or not 1 <= jobs < 1 << 53:
            raise BadRequest("key jobs_submitted should be of type int, and greater than 0")
        lenient = body.get("lenient", False)
        if not isinstance(lenient, bool):
            raise BadRequest("key lenient should be of type bool")
        group = body.get("group", "")
        if not isinstance(group, str):
            raise BadRequest("key group should be of type str")
        is_theirs = group in self.user.groups or self.user.bypasses_datasets
        owner = {"username": self.user.username, **({"group": group} if group and is_theirs else {})}
        config = _config(body.get("config"))
        self.send(await previews.preview(self.ctx, self.user, config, jobs, lenient=lenient, owner=owner))


class Schema(Handler):
    """JSON Schema of configurations, for editors that complete and check them."""

    @allow("everybody")
    async def get(self, version: str) -> None:
        """The schema of the version 3.1 or 3.2, with descriptions."""
        if version not in ("3.1", "3.2"):
            raise NotFound("there are schemas of the versions 3.1 and 3.2")
        self.send(dataset_config.schema(version))


def _config(value: Any) -> Document:
    if isinstance(value, str):
        try:
            value = decode(value)
        except JsonError as error:
            raise BadRequest(f"key config is not JSON-encoded: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("key config should be of type dict")
    return value


ROUTES = [
    Route("/config/validate", Validate, "config"),
    Route("/config/schema/{version:any}", Schema, "config"),
    Route("/config/{dataset_id}", Config, "config"),
]
