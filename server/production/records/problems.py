"""The errors of a dataset's tasks, the same ones together: what happened how often, and where to look."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from server.production.common.documents import Document
from server.rest.context import Context

__all__ = ["failed_errors", "form", "top_errors"]

MOST_TASKS = 20_000
EXAMPLES = 5
TEXT_LENGTH = 300

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{16,}\b|/\S+|\d+(\.\d+)?")


def form(reason: str) -> str:
    """A reason without what varies from task to task: numbers, ids, paths."""
    return _VARYING.sub("…", " ".join(reason.split()))[:TEXT_LENGTH]


@dataclass
class Problem:
    """One error and the tasks that had it."""

    example: str
    count: int = 0
    names: set[str] = field(default_factory=set)
    sites: set[str] = field(default_factory=set)
    states: dict[str, int] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)

    def add(self, task: Document) -> None:
        self.count += 1
        self.names.add(task["name"])
        self.sites.add(task.get("site", ""))
        self.states[task["status"]] = self.states.get(task["status"], 0) + 1
        if len(self.tasks) < EXAMPLES:
            self.tasks.append(task["task_id"])


async def top_errors(ctx: Context, dataset_id: str) -> list[Document]:
    """The last errors of a dataset's tasks, most frequent first."""
    return await _errors(ctx, {"dataset_id": dataset_id, "failures": {"$gt": 0}})


async def failed_errors(ctx: Context, dataset_id: str) -> list[Document]:
    """The same of the tasks that are failed just now, which an index finds."""
    return await _errors(ctx, {"dataset_id": dataset_id, "status": "failed"})


async def _errors(ctx: Context, query: Document) -> list[Document]:
    shown = {"_id": 0, "task_id": 1, "name": 1, "site": 1, "status": 1, "reason": 1}
    problems: dict[str, Problem] = {}
    async for task in ctx.db.tasks.find(query, shown, limit=MOST_TASKS):
        reason = task.get("reason") or "no reason was given"
        problems.setdefault(form(reason), Problem(reason[:TEXT_LENGTH])).add(task)
    ordered = sorted(problems.items(), key=lambda item: -item[1].count)
    return [
        {
            "error": text,
            "count": problem.count,
            "example": problem.example,
            "names": sorted(problem.names),
            "sites": sorted(problem.sites),
            "statuses": problem.states,
            "tasks": problem.tasks,
        }
        for text, problem in ordered
    ]
