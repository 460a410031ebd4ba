"""What a black hole spent is given back: failures that were the host's fault leave no trace in budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from server.production.common.documents import Document
from server.production.tasks import bulk
from server.rest.context import Context

__all__ = ["give_back"]


async def give_back(ctx: Context, host: str, task_ids: Iterable[str]) -> int:
    """Take a host's failures out of the budgets of tasks, and revive those that it made fail; how many."""
    shown = {"_id": 0, "task_id": 1, "dataset_id": 1, "status": 1, "attempts": 1}
    tasks = await ctx.db.tasks.find({"task_id": {"$in": sorted(task_ids)}}, shown).to_list()
    revived = []
    for task in tasks:
        ours = [one for one in task.get("attempts") or () if one.get("host") == host and "rule" in one]
        if ours:
            kept = [one for one in task["attempts"] if one not in ours]
            update = {"$inc": _refund(ours), "$set": {"attempts": kept}}
            await ctx.db.tasks.update_one({"task_id": task["task_id"]}, update)
        if ours and task["status"] == "failed" and task["attempts"][-1] in ours:
            revived.append(task["task_id"])
    if revived:
        await bulk.reset_tasks(ctx, bulk.Selection(tasks=tuple(revived)))
    return len(tasks)


def _refund(attempts: list[Document]) -> dict[str, int]:
    """The changes that undo what these attempts spent."""
    spent: Counter[str] = Counter()
    for one in attempts:
        spent[f"failure_counts.{one['rule']}"] -= 1
        if one["blame"] != "outside":
            spent["failures"] -= 1
        if one["blame"] == "infrastructure":
            spent["infrastructure_failures"] -= 1
    return dict(spent)
