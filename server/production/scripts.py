"""What a pilot runs for a task of the kind "script": its part of the configuration, evaluated for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from iceprod.dataset_config import with_defaults
from iceprod.expressions import Scope, expand
from server.context import Context
from server.production import configs, files, kinds
from server.production.documents import Document
from server.production.materialisation import scope_of

__all__ = ["payload", "payloads"]


async def payloads(ctx: Context, tasks: list[Document]) -> dict[str, Any]:
    """What to run, by task id; nothing for tasks whose dataset has no configuration."""
    parts: dict[str, tuple[Document, Document] | None] = {}
    result: dict[str, Any] = {}
    for task in tasks:
        dataset_id = task["dataset_id"]
        if dataset_id not in parts:
            parts[dataset_id] = await _dataset_and_config(ctx, dataset_id)
        found = parts[dataset_id]
        if found is None or task["task_index"] >= len(found[1]["tasks"]):
            continue
        made = payload(found[0], found[1], task)
        if found[1]["tasks"][task["task_index"]].get("task_files"):
            made["task"]["data"] = [*made["task"].get("data", []), *await files.of_task(ctx, task["task_id"])]
        result[task["task_id"]] = made
    return result


async def _dataset_and_config(ctx: Context, dataset_id: str) -> tuple[Document, Document] | None:
    dataset = await ctx.db.datasets.find_one({"dataset_id": dataset_id}, {"_id": 0})
    config = await configs.find(ctx, dataset_id)
    if dataset is None or config is None or not isinstance(config.get("tasks"), list):
        return None
    return dataset, with_defaults(config)


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
