"""Submitting a dataset: by a form for simple ones, or by its configuration, checked while it is written."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import yaml

from config.json_text import JsonError, decode
from iceprod.tokens import Caller
from server.common.errors import BadRequest, TooManyRequests
from server.production.common import access
from server.production.common.documents import Document
from server.production.datasets import configs, datasets
from server.production.submission import actions, previews
from server.production.tasks import requests
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.web.common.handler import PageHandler

__all__ = ["ROUTES", "Filled", "config_of"]

MOST_YAML = 256 << 10  # characters: a second of reading
SUBMITTERS = ("user", "admin")
EXAMPLE = {"version": 3.2, "description": "two tasks, the second after the first", "tasks": [
    {"name": "generate", "requirements": {"cpu": 1, "memory": 1.0, "time": 0.5},
     "trays": [{"modules": [{"src": "/bin/echo", "args": "seed $(job)"}]}]},
    {"name": "reconstruct", "depends": ["generate"], "requirements": {"cpu": 1, "memory": 2.0, "time": 1.0},
     "trays": [{"modules": [{"src": "/bin/echo", "args": "reads what job $(job) generated"}]}]}]}


@dataclass(frozen=True)
class Filled:
    """What stands in the form, as it was typed."""

    description: str = ""
    group: str = "users"
    jobs: str = "1"
    priority: str = "0.5"
    how: str = "form"
    name: str = "task"
    src: str = ""
    args: str = ""
    cpu: str = "1"
    gpu: str = "0"
    memory: str = "1"
    disk: str = "1"
    time: str = "1"
    config: str = ""


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise BadRequest(f"{name}: {text[:40]!r} is not a number") from None
    if not 0 <= value < 1e6:
        raise BadRequest(f"{name}: must be between 0 and a million")
    return value


def config_of(filled: Filled) -> Document:
    """The configuration that a filled form means. Raises BadRequest."""
    if filled.how == "config":
        return {"description": filled.description, **_parsed(filled.config)}
    if not filled.src:
        raise BadRequest("program: what should each job run?")
    if not re.fullmatch(r"[\w.-]{1,100}", filled.name):
        raise BadRequest("name of the task: letters, digits, dots and dashes")
    needs: dict[str, Any] = {}
    for name in ("memory", "disk", "time"):
        needs[name] = _number(name, getattr(filled, name))
    for name in ("cpu", "gpu"):
        number = _number(name, getattr(filled, name))
        if number != int(number):
            raise BadRequest(f"{name}: must be a whole number")
        if number:
            needs[name] = int(number)
    module = {"src": filled.src, **({"args": filled.args} if filled.args else {})}
    return {"version": 3.2, "description": filled.description, "tasks": [
        {"name": filled.name, "requirements": needs, "trays": [{"modules": [module]}]}]}


class _Loader(yaml.SafeLoader):
    """Takes no aliases: a few of them inside one another make gigabytes of a short text."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken")
        return super().compose_node(parent, index)


def _parsed(text: str) -> Document:
    """JSON, or YAML, which is a superset but for few things. Raises BadRequest, with the line."""
    if len(text) > configs.MAX_BYTES:
        raise BadRequest(f"configuration: larger than {configs.MAX_BYTES >> 20} MB")
    if not text.strip():
        raise BadRequest("configuration: it is empty")
    is_yaml = not text.lstrip().startswith("{")
    if is_yaml and len(text) > MOST_YAML:
        raise BadRequest(f"configuration: YAML of more than {MOST_YAML >> 10} kB; write it as JSON")
    try:
        config = yaml.load(text, _Loader) if is_yaml else decode(text)
    except JsonError as error:
        raise BadRequest(f"configuration: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise BadRequest(f"configuration: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(config, dict):
        raise BadRequest("configuration: it is not an object of names and values")
    try:
        return msgspec.json.decode(msgspec.json.encode(config))  # YAML knows more types than JSON
    except (TypeError, msgspec.MsgspecError, RecursionError) as error:
        raise BadRequest(f"configuration: {error}") from None


class SubmitPage(PageHandler):
    """A page with the form of a submission."""

    def filled(self) -> Filled:
        """What was sent."""
        values = {one.name: self.field(one.name, str(one.default)) for one in fields(Filled)}
        return Filled(**values)

    def jobs_of(self, filled: Filled) -> int:
        """How many jobs. Raises BadRequest."""
        if not re.fullmatch(r"\d{1,12}", filled.jobs) or int(filled.jobs) < 1:
            raise BadRequest("jobs: must be a whole number of at least 1")
        return int(filled.jobs)

    async def preview(self, filled: Filled) -> Document:
        """What the submission would make, or what is wrong with it."""
        try:
            config = await asyncio.to_thread(config_of, filled)
            return await previews.preview(self.ctx, self.user, config, self.jobs_of(filled))
        except BadRequest as error:
            where, _, problem = error.reason.partition(": ")
            wrong = {"path": where if problem else "", "error": problem or where}
            return {"valid": False, "errors": [wrong], "warnings": []}

    def form(self, filled: Filled, found: Document | None = None) -> None:
        """Answer with the form."""
        self.page("submit.html", filled=filled, found=found, groups=_groups(self.user),
                  example=json.dumps(EXAMPLE, indent=2))


def _groups(caller: Caller) -> list[str]:
    """The groups that a caller may submit for."""
    more = ("users",) if caller.roles & {"admin", "system"} else ()
    return sorted({*caller.groups, *more})


class Submit(SubmitPage):
    """The form, empty or filled like an earlier dataset; and the submission itself."""

    @allow(*SUBMITTERS)
    async def get(self) -> None:
        groups = _groups(self.user)
        filled = Filled(group="users" if "users" in groups or not groups else groups[0])
        if like := self.query("like"):
            filled = await self._like(like)
        self.form(filled)

    async def _like(self, dataset_id: str) -> Filled:
        await access.require(self.ctx, self.user, dataset_id, "read")
        dataset = await datasets.get(self.ctx, dataset_id)
        config = await configs.get(self.ctx, dataset_id)
        return Filled(description=dataset["description"], group=dataset["group"],
                      jobs=str(dataset["jobs_submitted"]), priority=f"{dataset['priority']:g}", how="config",
                      config=json.dumps(config, indent=2, ensure_ascii=False))

    @allow(*SUBMITTERS)
    async def post(self) -> None:
        """Submit, unless something is wrong; with `check`, only look."""
        filled = self.filled()
        found = await self.preview(filled)
        if not found["valid"] or self.field("check", ""):
            self.set_status(200 if found["valid"] else 400)
            self.form(filled, found)
            return
        config = await asyncio.to_thread(config_of, filled)
        body = {"config": config, "description": filled.description, "group": filled.group,
                "jobs_submitted": self.jobs_of(filled),
                "extra_submit_fields": {"priority": _priority(filled)}}
        checked = await actions.check_submission(self.ctx, body, self.user)
        dataset_id = await _submit(self.ctx, checked, self.user)
        self.done("Submitted. Its first tasks are made within seconds.", f"/web/datasets/{dataset_id}")


def _priority(filled: Filled) -> float:
    value = _number("priority", filled.priority)
    if value > 1:
        raise BadRequest("priority: must be between 0 and 1")
    return value


async def _submit(ctx: Context, checked: Document, caller: Caller) -> str:
    """Ask for the submission and wait for it; the dataset has the id of the request.

    Raises BadRequest with what went wrong, TooManyRequests when it takes long.
    """
    request_id = await requests.create(ctx, "submit", checked, caller)
    for _ in range(100):
        request = await requests.get(ctx, "submit", request_id)
        if request["status"] == "complete":
            return request_id
        if request["status"] == "error":
            raise BadRequest(request["error_message"])
        await ctx.signals.wait("requests done", 0.1)
    raise TooManyRequests("the submission waits behind others; it will be among the datasets soon")


class Check(SubmitPage):
    """What the form as it stands would make: the part of the page that follows what is typed."""

    @allow(*SUBMITTERS)
    async def post(self) -> None:
        filled = self.filled()
        empty = not (filled.config if filled.how == "config" else filled.src)
        found = None if empty else await self.preview(filled)
        self.page("submit_check.html", found=found)


ROUTES = [
    Route("/web/submit", Submit, "web"),
    Route("/web/submit/check", Check, "web"),
]
