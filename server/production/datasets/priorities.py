"""Priorities of stored datasets, and keeping those of tasks that wait up to date."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from pymongo import UpdateOne

from iceprod.ids import now
from iceprod.priorities import Share, dataset_priority, task_priority
from iceprod.states import TASK
from server.production.common.documents import Document
from server.rest.context import Context

__all__ = ["of_dataset", "update_all"]

UNFINISHED = [state for state in TASK.states if state not in ("complete", "failed", "suspended")]
CHANGED = 0.01  # a smaller change is not written
AT_ONCE = 1000


@dataclass(frozen=True)
class Load:
    """The datasets at work, and how many unfinished tasks each has."""

    datasets: list[Document]
    unfinished: dict[str, int]

    def tasks_of(self, datasets: list[Document]) -> int:
        return sum(self.unfinished.get(dataset["dataset_id"], 0) for dataset in datasets)


async def load(ctx: Context) -> Load:
    """What is at work now; one query for all datasets, however many. Ended tasks are not looked at."""
    shown = {"_id": 0, "dataset_id": 1, "username": 1, "group": 1, "priority": 1}
    found = await ctx.db.datasets.find({"status": "processing"}, shown).to_list()
    ids = [row["dataset_id"] for row in found]
    stages: list[Document] = [
        {"$match": {"dataset_id": {"$in": ids}, "status": {"$in": UNFINISHED}}},
        {"$group": {"_id": {"dataset_id": "$dataset_id", "status": "$status"}, "n": {"$sum": 1}}}]
    unfinished: Counter[str] = Counter()
    async for row in await ctx.db.tasks.aggregate(stages):
        unfinished[row["_id"]["dataset_id"]] += row["n"]
    return Load(found, unfinished)


async def of_dataset(ctx: Context, dataset: Document, present: Load | None = None) -> float:
    """The present priority of a dataset."""
    share = await _share(ctx, dataset, present or await load(ctx))
    return dataset_priority(float(dataset["priority"]), dataset["group"], dataset["jobs_submitted"],
                            _age_days(dataset["start_date"]), share)


def _age_days(start_date: str) -> float:
    try:
        return (now() - datetime.fromisoformat(start_date)).total_seconds() / 86400
    except (ValueError, TypeError):
        return 0.0


async def _share(ctx: Context, dataset: Document, present: Load) -> Share:
    mine = [d for d in present.datasets if d["username"] == dataset["username"]]
    group = [d for d in present.datasets if d["group"] == dataset["group"]]
    user = await ctx.db.users.find_one({"username": dataset["username"]}, {"priority": 1})
    asked = float(dataset["priority"])
    return Share(
        highest_of_user=max([asked, *(float(d["priority"]) for d in mine)]),
        highest_of_group=max([asked, *(float(d["priority"]) for d in group)]),
        user_weight=float((user or {}).get("priority", 0.5)),
        unfinished_of_user=present.tasks_of(mine),
        unfinished=present.tasks_of(present.datasets),
    )


async def update_all(ctx: Context) -> int:
    """Compute the priorities of tasks that wait anew, and write those that changed; how many."""
    written, present = 0, await load(ctx)
    async for dataset in ctx.db.datasets.find({"status": "processing"}, {"_id": 0}):
        written += await _update(ctx, dataset, await of_dataset(ctx, dataset, present))
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
