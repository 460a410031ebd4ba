"""Changing the priority of a scan, whether it waits or runs."""

from __future__ import annotations

from server.rest.context import Context
from server.scans.manifests import manifests

__all__ = ["change", "task_priority"]


async def change(ctx: Context, scan_id: str, priority: int) -> None:
    """Have a scan and its tasks that wait go by another priority; doing it again changes nothing.

    A scan that is being started at this moment may keep the old one: who cares calls again later.
    """
    await ctx.db.scan_backlog.update_one({"scan_id": scan_id}, {"$set": {"priority": priority}})
    await manifests.touch(ctx, scan_id, {"priority": {"$ne": priority}}, priority=priority)
    run = await ctx.db.scan_runs.find_one_and_update(
        {"scan_id": scan_id}, {"$set": {"priority": task_priority(priority)}})
    if run is not None:
        waiting = {"dataset_id": run["dataset_id"], "status": {"$in": ["idle", "waiting"]}}
        await ctx.db.tasks.update_many(waiting, {"$set": {"priority": task_priority(priority)}})
    ctx.signals.notify("scans")


def task_priority(priority: int) -> float:
    """The priority of a scan's tasks: above all production (at most 1), below it for a negative one."""
    return 2.0 + min(priority, 1_000_000) / 1000 if priority >= 0 else 1e-3
