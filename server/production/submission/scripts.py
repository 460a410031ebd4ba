"""What a pilot runs for a task of the kind "script": its part of the configuration, evaluated for it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from iceprod.dataset_config import with_defaults
from iceprod.evaluation import payload
from iceprod.expressions import Budget, TooCostly
from iceprod.requirements import DEFAULTS
from iceprod.tracing import traces
from server.production.common.documents import Document
from server.production.datasets import configs, datasets
from server.production.records import files
from server.production.tasks import kinds
from server.production.transfers import lending, needs
from server.rest.context import Context

__all__ = ["payload", "payloads"]

FRESH_SECONDS = 2.0  # so long a dataset and its configuration are believed, unless this process changed them
MOST_KEPT = 50  # datasets
AT_ONCE_STEPS, AT_ONCE_SIZE = 50_000, 1_000_000  # ten milliseconds


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
        brought = source.config["tasks"][task["task_index"]].get("task_files")
        own = await files.of_task(ctx, task["task_id"]) if brought else []
        try:
            made = await _made(source, task, own)
        except TooCostly as error:
            result[task["task_id"]] = {"error": f"the configuration cannot be evaluated: {error}"}
            continue
        hours = float((task.get("requirements") or {}).get("time") or DEFAULTS["time"])
        lent = await lending.lend(ctx, source.dataset, made, needs.needs_of(made), hours)
        trace = traces.of_document(source.dataset)
        result[task["task_id"]] = {
            **made, **({"access": lent} if lent else {}), **(trace.document() if trace else {})}
    return result


async def _made(source: _Source, task: Document, own: list[Document]) -> Document:
    """A task's payload, made aside when it takes longer than others should wait. Raises TooCostly."""
    try:
        return source.payload(task, own, Budget(AT_ONCE_STEPS, AT_ONCE_SIZE))
    except TooCostly:
        return await asyncio.to_thread(source.payload, task, own, Budget())


@dataclass
class _Source:
    """What the payloads of a dataset's tasks are made of; `config` with its defaults."""

    dataset: Document
    config: Document
    changes: int = 0  # of the dataset by this process, until it was read
    read_at: float = field(default_factory=time.monotonic)
    same: dict[int, dict[str, Any] | None] = field(default_factory=dict)  # by task_index: the first one's

    def payload(self, task: Document, own: list[Document], budget: Budget) -> dict[str, Any]:
        """A task's payload; without expressions in it, it differs from job to job in the job alone."""
        index = task["task_index"]
        if index not in self.same:
            parts = [self.config["tasks"][index], self.config.get("steering"), self.config.get("options")]
            self.same[index] = None if _has_expressions(parts) else payload(
                self.dataset, self.config, task, budget=budget)
        same = self.same[index]
        if same is None or own:
            return payload(self.dataset, self.config, task, own, budget)
        ids = {name: task[name] for name in ("task_id", "job_id") if name in same["options"]}
        options = {**same["options"], **ids, "job": task["job_index"], "task": task["name"]}
        return {**same, "job_index": task["job_index"], "name": task["name"], "options": options}


def _has_expressions(value: Any) -> bool:
    """Whether a text in it, or a key, has the sign of expressions."""
    if isinstance(value, str):
        return "$" in value
    if isinstance(value, dict):
        return any(_has_expressions(part) for item in value.items() for part in item)
    return isinstance(value, list) and any(_has_expressions(item) for item in value)


_kept: WeakKeyDictionary[AsyncDatabase, OrderedDict[str, _Source]] = WeakKeyDictionary()


async def _source(ctx: Context, dataset_id: str) -> _Source | None:
    """What was read just now, so that claims of one task each do not read it again for every task."""
    kept, changes = _kept.setdefault(ctx.db, OrderedDict()), datasets.changes(ctx, dataset_id)
    known = kept.pop(dataset_id, None)
    if known is None or known.changes != changes or time.monotonic() - known.read_at > FRESH_SECONDS:
        known = await _read(ctx, dataset_id, changes)
    if known is not None:
        kept[dataset_id] = known
        while len(kept) > MOST_KEPT:
            kept.popitem(last=False)
    return known


async def _read(ctx: Context, dataset_id: str, changes: int) -> _Source | None:
    dataset = await ctx.db.datasets.find_one({"dataset_id": dataset_id}, {"_id": 0})
    config = await configs.find(ctx, dataset_id)
    if dataset is None or config is None or not isinstance(config.get("tasks"), list):
        return None
    return _Source(dataset, with_defaults(config), changes)


kinds.register_kind(kinds.DEFAULT, payloads)
