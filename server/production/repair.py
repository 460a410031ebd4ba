"""Services that make true after a crash what requests normally see to at once."""

from __future__ import annotations

from iceprod.ids import timestamp
from server.context import Context
from server.production import completion, ends, leases
from server.production.documents import Document
from server.production.ends import Report
from server.services.leader import Service

__all__ = ["SERVICES", "sweep_leases", "sweep_tasks"]

AT_ONCE = 500


async def sweep_leases(ctx: Context) -> int:
    """Take back tasks whose leases have ended."""
    return await leases.expire(ctx)


async def sweep_tasks(ctx: Context) -> int:
    """Look at the tasks whose time has come: unfinished follow-ups, idle tasks that may be ready, resets."""
    late = {"due": {"$lt": timestamp()}}
    tasks = await ctx.db.tasks.find(late, {"_id": 0}, sort=[("due", 1)], limit=AT_ONCE).to_list()
    await _promote_idle(ctx, [task for task in tasks if task["status"] == "idle"])
    for task in tasks:
        if task["status"] in completion.OVER:
            await completion.follow(ctx, task)
        elif task["status"] == "reset":
            await ends.settle_reset(ctx, task, Report())
        elif task["status"] == "waiting":
            await _nothing_due(ctx, [task])
    return len(tasks)


async def _promote_idle(ctx: Context, tasks: list[Document]) -> None:
    """Promote those that are ready; the completion of what they depend on will promote the others."""
    if tasks:
        await completion.promote(ctx, tasks)
        await _nothing_due(ctx, tasks)


async def _nothing_due(ctx: Context, tasks: list[Document]) -> None:
    for task in tasks:
        seen = {"task_id": task["task_id"], "status": task["status"], "due": task["due"]}
        await ctx.db.tasks.update_one(seen, {"$unset": {"due": ""}})


def _sweep_seconds(ctx: Context) -> float:
    return ctx.settings.leases.sweep_seconds


SERVICES = [
    Service("expire leases", _sweep_seconds, sweep_leases),
    Service("repair tasks", _sweep_seconds, sweep_tasks),
]
