"""What a pilot runs for a task of the kind "script": its part of the configuration, evaluated for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from iceprod.dataset_config import with_defaults
from iceprod.expressions import Scope, expand
from server.production.common.documents import Document
from server.production.datasets import configs
from server.production.records import files
from server.production.submission.materialisation import scope_of
from server.production.tasks import kinds
from server.rest.context import Context

__all__ = ["payload", "payloads"]


async def payloads(ctx: Context, tasks: list[Document]) -> dict[str, Any]:
    """What to run, by task id; nothing for tasks whose dataset has no configuration."""
    sources: dict[str, _Source | None] = {}
    result: dict[str, Any] = {}
    for task in tasks:
        dataset_id = task["dataset_id"]
        if dataset_id not in sources:
            sources[dataset_id] = await _source(ctx, dataset_id)
        source = sources[dataset_id]
        if source is None or task["task_index"] >= len(source.config["tasks"]):
            continue
        made = source.payload(task)
        if source.config["tasks"][task["task_index"]].get("task_files"):
            data = [*made["task"].get("data", []), *await files.of_task(ctx, task["task_id"])]
            made["task"] = {**made["task"], "data": data}
        result[task["task_id"]] = made
    return result


@dataclass
class _Source:
    """What the payloads of a dataset's tasks are made of, for one batch; `config` with its defaults."""

    dataset: Document
    config: Document
    same: dict[int, dict[str, Any] | None] = field(default_factory=dict)  # by task_index: the first one's

    def payload(self, task: Document) -> dict[str, Any]:
        """A task's payload; without expressions in it, it differs from job to job in the job alone."""
        index = task["task_index"]
        if index not in self.same:
            parts = [self.config["tasks"][index], self.config.get("steering"), self.config.get("options")]
            self.same[index] = None if _has_expressions(parts) else payload(self.dataset, self.config, task)
        same = self.same[index]
        if same is None:
            return payload(self.dataset, self.config, task)
        job = task["job_index"]
        return {**same, "job_index": job, "name": task["name"], "options": {**same["options"], "job": job}}


def _has_expressions(value: Any) -> bool:
    """Whether a text in it, or a key, has the sign of expressions."""
    if isinstance(value, str):
        return "$" in value
    if isinstance(value, dict):
        return any(_has_expressions(part) for item in value.items() for part in item)
    return isinstance(value, list) and any(_has_expressions(item) for item in value)


async def _source(ctx: Context, dataset_id: str) -> _Source | None:
    dataset = await ctx.db.datasets.find_one({"dataset_id": dataset_id}, {"_id": 0})
    config = await configs.find(ctx, dataset_id)
    if dataset is None or config is None or not isinstance(config.get("tasks"), list):
        return None
    return _Source(dataset, with_defaults(config))


def payload(dataset: Document, config: Document, task: Document) -> dict[str, Any]:
    """What a pilot needs to run one task; `config` with its defaults filled in."""
    index = task["task_index"]
    scope = scope_of(config, dataset, task["job_index"], index)
    steering = config.get("steering") or {}
    return {
        "dataset": dataset["dataset"], "dataset_id": dataset["dataset_id"], "job_index": task["job_index"],
        "task_index": index, "name": task["name"], "options": {**_options(config, scope), **scope.options},
        "steering": expand({name: steering[name] for name in ("parameters", "data", "batchsys")
                            if name in steering}, scope),
        "task": _expand_task(config["tasks"][index], scope),
    }


def _options(config: Document, scope: Scope) -> Document:
    """The submitter's own options; the system's come before them."""
    options = config.get("options")
    return expand(options, scope) if isinstance(options, dict) else {}


def _expand_task(task: Document, scope: Scope) -> Document:
    """A task's configuration with its expressions evaluated; modules see their own parameters first."""
    result = expand({name: value for name, value in task.items() if name != "trays"}, scope)
    result["trays"] = [_expand_tray(tray, scope) for tray in task.get("trays") or []]
    return result


def _nearer(scope: Scope, parameters: object) -> Scope:
    """The scope of a part inside: its own parameters come before those around it."""
    own = parameters if isinstance(parameters, dict) else {}
    return replace(scope, parameters={**scope.parameters, **own})


def _expand_tray(tray: Document, scope: Scope) -> Document:
    inner = _nearer(scope, tray.get("parameters"))
    result = expand({name: value for name, value in tray.items() if name != "modules"}, inner)
    result["modules"] = [expand(module, _nearer(inner, module.get("parameters")))
                         for module in tray.get("modules") or []]
    return result


kinds.register_kind(kinds.DEFAULT, payloads)
