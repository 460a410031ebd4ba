"""Priorities of stored datasets, and keeping those of tasks that wait up to date."""

from __future__ import annotations

from datetime import datetime

from pymongo import UpdateOne

from iceprod.ids import now
from iceprod.priorities import Share, dataset_priority, task_priority
from iceprod.states import TASK
from server.context import Context
from server.production.documents import Document

__all__ = ["of_dataset", "update_all"]

UNFINISHED = [state for state in TASK.states if state not in ("complete", "failed", "suspended")]
CHANGED = 0.01  # a smaller change is not written
AT_ONCE = 1000


async def of_dataset(ctx: Context, dataset: Document) -> float:
    """The present priority of a dataset."""
    return dataset_priority(float(dataset["priority"]), dataset["group"], dataset["jobs_submitted"],
                            _age_days(dataset["start_date"]), await _share(ctx, dataset))


def _age_days(start_date: str) -> float:
    try:
        return (now() - datetime.fromisoformat(start_date)).total_seconds() / 86400
    except (ValueError, TypeError):
        return 0.0


async def _share(ctx: Context, dataset: Document) -> Share:
    active = {"status": "processing"}
    shown = {"_id": 0, "dataset_id": 1, "username": 1, "group": 1, "priority": 1}
    others = await ctx.db.datasets.find(active, shown).to_list()
    mine = [d for d in others if d["username"] == dataset["username"]]
    group = [d for d in others if d["group"] == dataset["group"]]
    user = await ctx.db.users.find_one({"username": dataset["username"]}, {"priority": 1})
    asked = float(dataset["priority"])
    return Share(
        highest_of_user=max([asked, *(float(d["priority"]) for d in mine)]),
        highest_of_group=max([asked, *(float(d["priority"]) for d in group)]),
        user_weight=float((user or {}).get("priority", 0.5)),
        unfinished_of_user=await _unfinished(ctx, [d["dataset_id"] for d in mine]),
        unfinished=await _unfinished(ctx, [d["dataset_id"] for d in others]),
    )


async def _unfinished(ctx: Context, dataset_ids: list[str]) -> int:
    if not dataset_ids:
        return 0
    query = {"dataset_id": {"$in": dataset_ids}, "status": {"$in": UNFINISHED}}
    return await ctx.db.tasks.count_documents(query)


async def update_all(ctx: Context) -> int:
    """Compute the priorities of tasks that wait anew, and write those that changed; how many."""
    written = 0
    async for dataset in ctx.db.datasets.find({"status": "processing"}, {"_id": 0}):
        written += await _update(ctx, dataset, await of_dataset(ctx, dataset))
    return written


async def _update(ctx: Context, dataset: Document, priority: float) -> int:
    query = {"dataset_id": dataset["dataset_id"], "status": {"$in": ["idle", "waiting"]}, "kind": "script"}
    shown = {"_id": 0, "task_id": 1, "task_index": 1, "job_index": 1, "priority": 1}
    writes: list[UpdateOne] = []
    written = 0
    async for task in ctx.db.tasks.find(query, shown):
        new = task_priority(priority, task["task_index"], dataset["tasks_per_job"], task["job_index"],
                            dataset["jobs_submitted"])
        if abs(new - task["priority"]) > CHANGED:
            writes.append(UpdateOne({"task_id": task["task_id"]}, {"$set": {"priority": new}}))
        if len(writes) >= AT_ONCE:
            await ctx.db.tasks.bulk_write(writes, ordered=False)
            written += len(writes)
            writes = []
    if writes:
        await ctx.db.tasks.bulk_write(writes, ordered=False)
    return written + len(writes)
