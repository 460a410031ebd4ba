"""Why a task does not run: what it waits for, how many come before it, and which pilots could take it."""

from __future__ import annotations

from typing import Any

from iceprod.dataset_config import with_defaults
from iceprod.evaluation import payload
from server.common.errors import NotFound
from server.production.common.documents import Document
from server.production.datasets import configs
from server.production.failures import usage
from server.production.failures.offers import Suitors
from server.production.records import files
from server.production.tasks.classes import PARKED
from server.production.transfers import movable
from server.rest.context import Context

__all__ = ["explain", "sites_for", "story", "what_sites_say"]

MOST_COUNTED = 10_000
LARGEST = {"cpu": ("cores", "cores"), "gpu": ("gpus", "GPUs"), "memory": ("memory", "GB of memory"),
           "disk": ("disk", "GB of disk"), "time": ("hours", "h")}
"""How grids call what their largest pilot has, and how people do."""
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
    answer: Document = {
        "task_id": task_id, "dataset_id": dataset_id, "name": task["name"], "job_index": task["job_index"],
        "status": task["status"], "since": task["status_changed"], "failures": task["failures"],
        "infrastructure_failures": task.get("infrastructure_failures", 0), "evictions": task["evictions"],
        "failure_counts": task.get("failure_counts", {}), "last_reason": task.get("reason", ""),
        "verdict": task.get("verdict"), "attempts": task.get("attempts", []),
        "outside_failures": task.get("outside_failures", 0), "requirements": task["requirements"],
        "used_by_such_tasks": await usage.of_task(ctx, task)}
    if task["status"] not in ("complete", "failed", "suspended"):
        answer["files"] = await _files(ctx, task)
    return {**answer, **await story(ctx, task)}


async def _files(ctx: Context, task: Document) -> list[Document]:
    """The files that the task moves: which site can do that, and with which credential."""
    dataset = await ctx.db.datasets.find_one({"dataset_id": task["dataset_id"]}, {"_id": 0})
    config = await configs.find(ctx, task["dataset_id"])
    if dataset is None or config is None or task["task_index"] >= len(config.get("tasks") or ()):
        return []
    filled = with_defaults(config)
    brought = filled["tasks"][task["task_index"]].get("task_files")
    own = await files.of_task(ctx, task["task_id"]) if brought else []
    return await movable.files_of(ctx, dataset, payload(dataset, filled, task, own))


async def story(ctx: Context, task: Document) -> Document:
    """What there is to say in the task's state, `reason` in words."""
    status = task["status"]
    if status == "idle":
        return await _dependencies(ctx, task)
    if status == "waiting" and task["class_key"] == PARKED:
        return _parked(task)
    if status == "waiting":
        pilots, sites = (await Suitors.gather(ctx, task)).told(), await sites_for(ctx, task)
        if not pilots["fitting_pilots"] and sites:
            pilots["reason"] += f"; {what_sites_say(sites)}"
        return {**await _rank(ctx, task), **pilots, "sites": sites}
    if status in ("queued", "processing"):
        return await _lease(ctx, task)
    given_up = (task.get("verdict") or {}).get("given_up")
    because = f": {given_up}" if status == "failed" and given_up else ""
    return {"reason": REASONS[status] + because}


def _parked(task: Document) -> Document:
    """What a parked task waits for, and when and where it is tried next."""
    parked = task.get("parked") or {}
    until, avoid = parked.get("until"), task.get("avoid") or {}
    where = f", not on {avoid['host']} before {avoid['until'][:19]} UTC" if avoid else ""
    when = f"; next attempt after {until[:19]} UTC{where}" if until else ""
    return {"reason": parked.get("reason", "it is about to be released") + when,
            "next_attempt": until, "not_on_host": avoid.get("host"),
            "waits_for": parked.get("resource") or None}


async def _lease(ctx: Context, task: Document) -> Document:
    """Who has the task, until when, and when that pilot was last heard of."""
    pilot_id = task.get("pilot_id", "")
    pilot = await ctx.db.pilots.find_one({"pilot_id": pilot_id}) if pilot_id else None
    names = ("pilot_id", "host", "site", "last_update", "grid_queue_id")
    holder = {name: pilot.get(name, "") for name in names} if pilot else None
    reason = REASONS[task["status"]]
    waiting = ((pilot or {}).get("outputs_waiting") or {}).get(task["task_id"])
    if waiting:
        reason = f"its programs are done, its outputs wait to be stored ({str(waiting)[:300]})"
    if holder:
        reason += f" on {holder['host'] or 'a host without a name'}, last heard of at {holder['last_update']}"
    elif not pilot_id:
        reason += "; who has it sends no heartbeats"
    else:
        reason += "; its pilot is not registered any more, so the lease will run out"
    return {"reason": reason, "lease_until": task.get("due"), "pilot": holder, "site": task["site"]}


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


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


async def sites_for(ctx: Context, task: Document) -> list[Document]:
    """The sites that submit pilots, and why they cannot for this task (empty when they can)."""
    shown = {"_id": 0, "site": 1, "control": 1, "trouble": 1, "decision": 1, "largest": 1}
    rows = []
    async for grid in ctx.db.grids.find({"alive": True, "site": {"$exists": True}}, shown):
        refused = (grid.get("decision") or {}).get("unserved") or []
        why = next((one["why"] for one in refused if one.get("class_key") == task["class_key"]), "")
        state = (grid.get("control") or {}).get("state", "active")
        if (wanted := task["requirements"].get("site")) and wanted != grid["site"]:
            why = why or f"it asks for the site {wanted}"
        why = why or _beyond(task["requirements"], grid.get("largest") or {})
        why = why or grid.get("trouble") or ("" if state == "active" else f"the site is {state}")
        rows.append({"site": grid["site"], "why": why})
    return sorted(rows, key=lambda row: str(row["site"]))


def _beyond(requirements: Document, largest: Document) -> str:
    """What a site's largest pilot has too little of, in words; empty when it is large enough, or unknown."""
    short = [f"{_number(largest[name]):g} {unit}" for resource, (name, unit) in LARGEST.items()
             if name in largest and _number(requirements.get(resource)) > _number(largest[name])]
    return f"its pilots have at most {' and '.join(short)}" if short else ""


def what_sites_say(sites: list[Document]) -> str:
    """Who can send a pilot, or why nobody can."""
    able = [str(row["site"]) for row in sites if not row["why"]]
    if able:
        return f"{', '.join(able)} can send one"
    return "no site can send one: " + "; ".join(f"{row['site']}: {row['why']}" for row in sites)
