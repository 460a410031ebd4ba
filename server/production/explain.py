"""Why a task does not run: what it waits for, how many come before it, and which pilots could take it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from iceprod.ids import now, timestamp
from iceprod.requirements import NUMBERS, fits
from server.context import Context
from server.errors import NotFound
from server.production.documents import Document

__all__ = ["explain"]

ALIVE_SECONDS = 300.0  # a pilot that was heard of so recently counts
MOST_COUNTED = 10_000
REASONS = {
    "queued": "a pilot has it and will start it",
    "processing": "it runs",
    "complete": "it is done",
    "failed": "it failed and needs somebody to look at it",
    "suspended": "it was suspended",
    "reset": "an attempt failed; what follows is about to be decided",
}


async def explain(ctx: Context, dataset_id: str, task_id: str) -> Document:
    """Why a task is where it is. Raises NotFound."""
    task = await ctx.db.tasks.find_one({"task_id": task_id, "dataset_id": dataset_id}, {"_id": 0})
    if task is None:
        raise NotFound("Task not found")
    answer: Document = {"task_id": task_id, "status": task["status"], "since": task["status_changed"],
                        "failures": task["failures"], "evictions": task["evictions"],
                        "last_reason": task.get("reason", "")}
    if task["status"] == "idle":
        return {**answer, **await _dependencies(ctx, task)}
    if task["status"] == "waiting":
        return {**answer, **await _rank(ctx, task), **await _pilots(ctx, task)}
    return {**answer, "reason": REASONS[task["status"]]}


async def _dependencies(ctx: Context, task: Document) -> Document:
    query = {"task_id": {"$in": task["depends"]}, "status": {"$ne": "complete"}}
    shown = {"_id": 0, "task_id": 1, "name": 1, "status": 1, "job_index": 1}
    open_ones = await ctx.db.tasks.find(query, shown, limit=100).to_list()
    reason = (f"it waits for {len(open_ones)} other tasks" if open_ones
              else "all it depends on is complete; it will wait for a pilot soon")
    return {"reason": reason, "depends_on": open_ones}


async def _rank(ctx: Context, task: Document) -> Document:
    """How many tasks of the same requirement class come before it."""
    before = {"status": "waiting", "class_key": task["class_key"], "priority": {"$gt": task["priority"]}}
    number = await ctx.db.tasks.count_documents(before, limit=MOST_COUNTED)
    return {"priority": task["priority"], "tasks_before": number, "at_least": number >= MOST_COUNTED}


async def _pilots(ctx: Context, task: Document) -> Document:
    heard_of = {"last_update": {"$gt": timestamp(now() - timedelta(seconds=ALIVE_SECONDS))}}
    shown = {"_id": 0, "resources": 1, "site": 1}
    offers = [_offer(pilot) async for pilot in ctx.db.pilots.find(heard_of, shown)]
    fitting = [offer for offer in offers if fits(task["requirements"], offer)]
    if not offers:
        return {"pilots": 0, "fitting_pilots": 0, "reason": "no pilot was heard of in the last minutes",
                "missing": []}
    if fitting:
        return {
            "pilots": len(offers),
            "fitting_pilots": len(fitting),
            "missing": [],
            "reason": f"{len(fitting)} of {len(offers)} pilots could take it; others come first",
        }
    missing = _missing(task["requirements"], offers)
    return {"pilots": len(offers), "fitting_pilots": 0, "missing": missing,
            "reason": f"no pilot offers enough {', '.join(row['resource'] for row in missing) or 'at once'}"}


def _offer(pilot: Document) -> Document:
    site = pilot.get("site")
    return {**pilot.get("resources", {}), **({"site": site} if site else {})}


def _missing(requirements: Document, offers: list[Document]) -> list[Document]:
    """The requirements that no single pilot meets, each with the most that is offered."""
    result: list[Document] = []
    for name, wanted in requirements.items():
        if any(fits({name: wanted}, {name: offer[name]}) for offer in offers if name in offer):
            continue
        values: list[Any] = [offer[name] for offer in offers if offer.get(name) is not None]
        best = max(values, default=None) if name in NUMBERS else sorted({str(value) for value in values})
        if values:
            result.append({"resource": name, "wanted": wanted, "offered": best})
    return result
