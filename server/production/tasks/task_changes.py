"""Changing tasks by hand: one by PATCH or by a move of the state machine, and what follows from it."""

from __future__ import annotations

from iceprod.ids import timestamp
from iceprod.states import TASK
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.tasks import alarms, completion, parked, task_store
from server.production.tasks.task_store import soon
from server.rest.context import Context

__all__ = ["moved", "patch", "set_status"]

FOLLOW_UP_SECONDS = 10.0


def moved(ctx: Context, status: str) -> Document:
    """The update that puts tasks into a status by hand: whoever held a lease holds it no more."""
    changes: Document = {"status": status, "status_changed": timestamp(), "instance_id": ""}
    removed = {"pilot_id": ""}
    if status in completion.OVER:
        changes["due"] = _later(ctx, FOLLOW_UP_SECONDS)
    elif status in ("idle", "reset"):
        changes["due"] = _later(ctx, 2 * ctx.settings.services.repair_seconds)
    else:
        removed["due"] = ""
    if status == "reset":
        changes |= {"failures": 0, "infrastructure_failures": 0}
    return {"$set": changes, "$unset": removed}


def _later(ctx: Context, seconds: float) -> str:
    """When the repair pass has to look at what is done now."""
    alarms.ring(ctx, seconds)
    return soon(seconds)


async def set_status(ctx: Context, task_id: str, status: str, dataset_id: str = "", *,
                     instance_id: str | None = None) -> None:
    """Move a task to another status. Raises BadRequest for an illegal move, NotFound."""
    here: Document = {"task_id": task_id} | ({"dataset_id": dataset_id} if dataset_id else {})
    if instance_id is not None:
        here["instance_id"] = instance_id
    await parked.release_all(ctx, here)  # somebody wants it not to wait
    task = await ctx.db.tasks.find_one_and_update(
        {**here, "status": {"$in": TASK.sources(status)}}, moved(ctx, status), {"_id": 0})
    if task is not None:
        await after_move(ctx, {**task, "status": status})
        return
    present = await ctx.db.tasks.find_one(here, {"_id": 0, "status": 1})
    if present is None:
        raise NotFound("Task not found")
    if present["status"] != status:
        raise BadRequest("Bad state transition for status")


async def after_move(ctx: Context, task: Document) -> None:
    """What follows when a task was put into its present status by hand."""
    if task["status"] in completion.OVER:
        await completion.follow(ctx, task)
    elif task["status"] == "waiting":
        ctx.signals.notify("tasks")


async def patch(ctx: Context, task_id: str, fields: Document) -> Document:
    """Merge fields into a task, whatever its status; the task as it is then. Raises BadRequest, NotFound."""
    before, after = await task_store.patch(ctx, task_id, fields)
    if after["status"] != before["status"] and after["status"] in completion.OVER:
        await completion.follow(ctx, after)
    return task_store.public(after)
