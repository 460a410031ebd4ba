"""Why nothing of a dataset runs: what is told of a task (`iceprod why`), of the task that would run first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.production.common.documents import Document
from server.production.failures import explain
from server.production.tasks.classes import PARKED
from server.production.tasks.task_store import LEASED
from server.rest.context import Context

__all__ = ["Standstill", "why_nothing_runs"]

NO_TASKS = "no task was made yet; that takes some seconds after a submission"
_OPEN = ("waiting", "idle", "reset", "suspended", "failed")  # of these is asked, the first that there is


@dataclass(frozen=True)
class Standstill:
    """Why nothing runs, and the task that this is told of, if there is one."""

    reason: str
    task: Document | None = None

    @property
    def sentence(self) -> str:
        """The reason as a sentence of its own."""
        return f"{self.reason[:1].upper()}{self.reason[1:]}."


async def why_nothing_runs(ctx: Context, dataset: Document, counts: Mapping[str, int]) -> Standstill | None:
    """Why; None while a task runs, and when all is done. It looks at one task, however many there are."""
    if any(counts.get(status) for status in LEASED) or dataset["status"] == "complete":
        return None
    if error := dataset.get("materialisation_error"):
        return Standstill(f"jobs cannot be made: {error}")
    if not any(counts.values()):
        return Standstill(NO_TASKS)
    status = next((status for status in _OPEN if counts.get(status)), "")
    task = await _first(ctx, dataset["dataset_id"], status) if status else None
    if task is None:  # all that was made is done, or it changed just now
        return None
    told = await explain.story(ctx, task)
    return Standstill(str(told["reason"]), task)


async def _first(ctx: Context, dataset_id: str, status: str) -> Document | None:
    """A task in a status, from an index; of those that wait, rather one that waits for a pilot."""
    query: Document = {"dataset_id": dataset_id, "status": status}
    for more in ({"class_key": {"$gt": PARKED}}, {"class_key": {"$lt": PARKED}}, {}):
        if (task := await ctx.db.tasks.find_one({**query, **more}, {"_id": 0})) is not None:
            return task
    return None
