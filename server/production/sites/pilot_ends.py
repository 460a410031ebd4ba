"""What the batch system says about a pilot's end becomes the end of the tasks that it held.

A pilot that is held or killed hands its tasks back as best it can, or not at all: nobody's failure by itself.
Only the batch system knows why; its grid tells it here, before or after the pilot's own goodbye. What was
short then grows, up to the cap, and a task that kills its pilots again and again is given up in the end.
"""

from __future__ import annotations

import contextlib

from server.common.errors import NotFound
from server.production.common.documents import Document
from server.production.failures import policy
from server.production.failures.failures import Action, find_rule
from server.production.leases import ends
from server.production.leases.ends import Report
from server.production.sites import pilots
from server.rest.context import Context

__all__ = ["KINDS", "ended"]

SHORT = ("memory", "disk", "time")
CHARGED = (*SHORT, "killed", "held", "failed")
KINDS = (*CHARGED, "finished", "files", "start", "silent", "evicted", "lost", "removed", "vanished")
LIKELY = 0.8  # of what a task asked for; who used less is not to blame for what was short


async def ended(ctx: Context, pilot_id: str, kind: str, reason: str) -> int:
    """A pilot's job is over, for such a reason: end what it held so; how many tasks. May be repeated."""
    with contextlib.suppress(NotFound):  # it said goodbye itself
        await pilots.remove(ctx, pilot_id)
    tasks = await ctx.db.tasks.find({"evicted_by": pilot_id, "status": "waiting"}, {"_id": 0}).to_list()
    kind = await _meant(ctx, kind, reason)
    if kind not in CHARGED:
        why = f"its pilot ended ({kind}): {reason}"
        told = {"$set": {"reason": why[:2000]}, "$unset": {"evicted_by": ""}}
        await ctx.db.tasks.update_many({"evicted_by": pilot_id, "status": "waiting"}, told)
        return len(tasks)
    for task in _culprits(tasks, kind):
        words = f"{kind} limit exceeded, says the batch system" if kind in SHORT else f"its pilot was {kind}"
        await ends.reset(ctx, task["task_id"], Report(reason=f"{words}: {reason}"), by="the batch system")
    await ctx.db.tasks.update_many({"evicted_by": pilot_id}, {"$unset": {"evicted_by": ""}})
    return len(tasks)


async def _meant(ctx: Context, kind: str, reason: str) -> str:
    """The kind; for a job that a policy removed, what its reason says was short."""
    if kind not in ("removed", "held"):
        return kind
    rule = find_rule(reason, await policy.rules(ctx))
    return rule.resource if rule.action is Action.GROW and rule.resource else kind


def _culprits(tasks: list[Document], kind: str) -> list[Document]:
    """Who is to blame: those that used about what they asked for when that is known, else all."""
    if kind != "memory":
        return tasks
    used = {task["task_id"]: (task.get("attempts") or [{}])[-1].get("memory") or 0.0 for task in tasks}
    guilty = [task for task in tasks
              if used[task["task_id"]] >= LIKELY * (task["requirements"].get("memory") or 0.0) > 0]
    return guilty or tasks
