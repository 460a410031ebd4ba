"""How tasks end: every report is checked against the lease it comes from, and may come twice.

A report that carries the task's present instance_id, or none, is acted on. One that carries another is
refused, unless it repeats the very end that this instance already reported: then nothing changes and the
answer is the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NoReturn

from iceprod.ids import now, timestamp
from iceprod.requirements import class_key, grow
from iceprod.states import TASK
from server.common import metrics
from server.common.errors import BadRequest, NotFound
from server.production.activity.slots import COMPLETE
from server.production.common.documents import Document
from server.production.common.fields import number
from server.production.failures import attempts, parking, policy, quarantine, tallies, trusted
from server.production.failures.failures import (
    Action,
    Blame,
    Scene,
    Verdict,
    find_rule,
    grown_blindly,
    judge,
    pause,
)
from server.production.failures.places import NOWHERE, Place, place_of
from server.production.leases import leases
from server.production.leases.leases import returned
from server.production.tasks import alarms, completion, drawn, kinds
from server.production.tasks.classes import class_table
from server.production.tasks.task_store import LEASED, soon
from server.rest.context import Context

__all__ = ["Report", "complete", "completed", "evict", "fail", "learn", "reset", "settle_reset", "start"]

FOLLOW_UP_SECONDS = 10.0  # when the repair pass looks whether an end's consequences were drawn
ATTEMPTS = 8
REASON_LENGTH = 2000
MOST_HOURS = 1e9  # of an attempt; more is nonsense
ELSEWHERE_MINUTES = 10.0  # so long a task stays away from the host where it failed
ALIVE_MINUTES = 2.0  # another host counts when it was heard of so recently


@dataclass(frozen=True)
class Report:
    """What a pilot says of an attempt."""

    instance_id: str | None = None
    time_used: float = 0.0  # seconds
    site: str | None = None
    reason: str = ""
    resources: dict[str, Any] = field(default_factory=dict)

    @property
    def lost_hours(self) -> float:
        """How long an attempt ran that failed: by the clock, else by what it used; 0: nobody says."""
        used = self.resources.get("time")
        measured = float(used) if number(used) and 0 < used < MOST_HOURS else 0.0
        return self.time_used / 3600 or measured


async def _task(ctx: Context, task_id: str) -> Document:
    task = await ctx.db.tasks.find_one({"task_id": task_id}, {"_id": 0})
    if task is None:
        raise NotFound("Task not found")
    return task


def _mine(task_id: str, report: Report, states: tuple[str, ...] | list[str]) -> Document:
    query: Document = {"task_id": task_id, "status": {"$in": list(states)}}
    if report.instance_id is not None:
        query["instance_id"] = report.instance_id
    return query


def _is_repeat(task: Document, outcome: str, report: Report) -> bool:
    ended = task.get("ended") or {}
    return ended.get("outcome") == outcome and ended.get("instance_id") == (report.instance_id or "")


def _refuse(task: Document, report: Report) -> NoReturn:
    """Raise what a report that cannot be acted on deserves: it is stale, or it comes at a wrong time."""
    if report.instance_id is not None and task.get("instance_id") != report.instance_id:
        raise NotFound("Task not found: the instance_id is not that of its lease")
    raise BadRequest("Bad state transition for status")


async def _end_lease(ctx: Context, task_id: str, report: Report, update: Document) -> Document | None:
    """Write an end on condition that the task is its reporter's; the task before.

    A lease that ran out in silence is its reporter's again unless somebody else took the task.
    """
    for _ in range(2):
        mine = _mine(task_id, report, LEASED)
        before = await ctx.db.tasks.find_one_and_update(mine, update, {"_id": 0})
        if before is not None or not await _come_back(ctx, task_id, report):
            return before
    return None


async def _come_back(ctx: Context, task_id: str, report: Report) -> bool:
    return bool(report.instance_id and await leases.present(ctx, {(task_id, report.instance_id): ""}))


def _end(outcome: str, report: Report, moment: str = "") -> Document:
    return {"outcome": outcome, "instance_id": report.instance_id or "", "reason": _reason(report),
            "time": moment or timestamp()}


def _reason(report: Report) -> str:
    return report.reason[:REASON_LENGTH]


# -- start


async def start(ctx: Context, task_id: str, report: Report) -> Document:
    """A leased task begins to run; as it was before. Raises NotFound for another's lease, BadRequest."""
    changes: Document = {"status": "processing", "status_changed": timestamp()}
    if report.site is not None:
        changes["site"] = report.site
    before = await ctx.db.tasks.find_one_and_update(
        _mine(task_id, report, ("queued",)), {"$set": changes}, {"_id": 0})
    if before is not None:
        return before
    task = await _task(ctx, task_id)
    if task["status"] == "processing" and report.instance_id == task.get("instance_id"):
        return task
    _refuse(task, report)


# -- good ends


async def complete(ctx: Context, task_id: str, instance_id: str | None = None, *, time_used: float = 0.0,
                   site: str | None = None, resources: Document | None = None) -> Document:
    """A task is done; as it was before. Dependents, job and dataset follow in the same call.

    Raises NotFound for an unknown task or a stale instance_id, BadRequest when the task was not leased.
    """
    report = Report(instance_id, time_used, site, resources=resources or {})
    alarms.ring(ctx, FOLLOW_UP_SECONDS)
    changes = {**completed(report), "due": soon(FOLLOW_UP_SECONDS)}
    update = {"$set": changes, "$unset": {"pilot_id": "", "avoid": ""}}
    before = await _end_lease(ctx, task_id, report, update)
    if before is None:
        task = await _task(ctx, task_id)
        if task["status"] == "complete" and (instance_id is None or task.get("instance_id") == instance_id):
            return task
        _refuse(task, report)
    metrics.TASK_ENDS.labels("complete").inc()
    await completion.follow_one(ctx, {**before, **changes})
    await drawn.note(ctx, {**before, **changes})
    await learn(ctx, before, report)
    return before


def completed(report: Report, moment: str = "") -> Document:
    """The fields of a task that is done, at a moment (default: now)."""
    moment = moment or timestamp()
    changes: Document = {"status": "complete", "status_changed": moment,
                         "walltime": report.time_used / 3600, "ended": _end("complete", report, moment)}
    if report.site is not None:
        changes["site"] = report.site
    return changes


async def learn(ctx: Context, task: Document, report: Report, *, failed: str = "") -> None:
    """Count an end for its place, why it `failed`, and what it used; writes once in a few seconds."""
    counted, good = tallies.of(ctx), not failed
    place = await place_of(ctx, task.get("pilot_id", ""))
    counted.end(task, place, good, failed or COMPLETE)
    trusted.ended(ctx, place.host, task, report.time_used, good=good)
    if good:
        await parking.succeeded(ctx, task, now() - timedelta(seconds=report.time_used))
        hours = {"time": report.time_used / 3600} if report.time_used else {}
        counted.used(task, {**hours, **report.resources})
    if counted.is_due:
        await counted.flush(ctx)
    await quarantine.judge_suspects(ctx)


# -- bad ends


async def reset(ctx: Context, task_id: str, report: Report, *, by: str = "the pilot") -> Document:
    """An attempt failed: try again, with more of what was short, until the budget is spent; the task before.

    Raises NotFound for an unknown task or a stale instance_id, BadRequest when the task cannot fail now.
    """
    return await _end_badly(ctx, task_id, report, "reset", by)


async def fail(ctx: Context, task_id: str, report: Report) -> Document:
    """An attempt failed and no other is wanted; the task before. Raises like `reset`."""
    return await _end_badly(ctx, task_id, report, "failed")


async def _end_badly(ctx: Context, task_id: str, report: Report, outcome: str,
                     by: str = "the pilot") -> Document:
    sources = TASK.sources("failed") if outcome == "failed" else [s for s in TASK.states if s != "complete"]
    for _ in range(ATTEMPTS):
        task = await _task(ctx, task_id)
        if report.instance_id is not None and task.get("instance_id") != report.instance_id:
            if _is_repeat(task, outcome, report):
                return task
            if await _come_back(ctx, task_id, report):
                continue
            _refuse(task, report)
        if task["status"] not in sources:
            if _is_repeat(task, outcome, report):
                return task
            _refuse(task, report)
        place = await place_of(ctx, task.get("pilot_id", ""))
        verdict = await _verdict(ctx, task, report, place)
        status = await _status_after(ctx, task, verdict, outcome)
        row = attempts.of(task, report, outcome, place, verdict, by)
        if await _write_bad_end(ctx, task, report, verdict, row, status, place):
            await _after_bad_end(ctx, task, report, status, verdict, place)
            return task
    raise BadRequest("the task changes too often just now; try again")


async def _verdict(ctx: Context, task: Document, report: Report, place: Place) -> Verdict:
    rules = await policy.rules(ctx)
    alone = good = False
    if place.host and find_rule(report.reason, rules).action is Action.CONFIRM:
        alone = not await _has_others(ctx, place.host)
        good = alone and await tallies.is_good(ctx, place)
    scene = Scene(place.host, alone, good, timestamp())
    return judge(task, report.reason, ctx.settings.failures, rules, scene)


async def _status_after(ctx: Context, task: Document, verdict: Verdict, outcome: str) -> str:
    if outcome == "failed":
        return "failed"
    dataset = await ctx.db.datasets.find_one({"dataset_id": task["dataset_id"]}, {"debug": 1})
    if dataset and dataset.get("debug"):
        return "suspended"
    return "failed" if verdict.given_up else "waiting"


async def _write_bad_end(ctx: Context, task: Document, report: Report, verdict: Verdict, row: Document,
                         status: str, place: Place) -> bool:
    """Write the end on condition that the task is still as it was read; whether it was."""
    limits = ctx.settings.failures
    grown = grow(task["requirements"], report.resources, limits)
    requirements = grown_blindly(grown, task["requirements"], verdict.rule, limits)
    key = class_key(requirements)
    await class_table(ctx).register(ctx, [(task["dataset_id"], key)])
    changes: Document = {
        "status": status, "status_changed": timestamp(), "instance_id": "", "reason": _reason(report),
        "requirements": requirements, "class_key": key, "ended": _end(row["outcome"], report),
        "verdict": {**verdict.document(), **_grown(task["requirements"], requirements)}}
    lost = report.lost_hours
    counted = {"walltime_err": lost, "walltime_err_n": 1 if lost else 0,
               f"failure_counts.{verdict.rule.name}": 1, **_spent(verdict)}
    if report.site is not None:
        changes["site"] = report.site
    removed = {"pilot_id": "", "parked": ""}
    avoid = await _avoid(ctx, task, verdict) if status == "waiting" else None
    if avoid:
        changes["avoid"] = avoid
    else:
        removed["avoid"] = ""
    if verdict.rule.blame is Blame.OUTSIDE:
        changes["outside_since"] = task.get("outside_since") or timestamp()
    else:
        removed["outside_since"] = ""
    if status == "waiting":
        changes |= await _parked(ctx, task, report, verdict, place)
        if "due" not in changes:
            removed["due"] = ""
    else:
        alarms.ring(ctx, FOLLOW_UP_SECONDS)
        changes["due"] = soon(FOLLOW_UP_SECONDS)
    removed = {name: value for name, value in removed.items() if name not in changes}
    unchanged = {name: task.get(name) for name in ("task_id", "status", "instance_id", "failures")}
    update = {"$set": changes, "$inc": counted, "$unset": removed, "$push": attempts.pushed(row)}
    result = await ctx.db.tasks.update_one(unchanged, update)
    return bool(result.matched_count)


def _spent(verdict: Verdict) -> dict[str, int]:
    """What a failure takes from the task's budgets: nothing when something outside was away."""
    match verdict.rule.blame:
        case Blame.OUTSIDE:
            return {"outside_failures": 1}
        case Blame.INFRASTRUCTURE:
            return {"failures": 1, "infrastructure_failures": 1}
        case _:
            return {"failures": 1}


async def _parked(ctx: Context, task: Document, report: Report, verdict: Verdict, place: Place) -> Document:
    """The fields of a task that does not wait for a pilot at once, but for a resource or a while first."""
    if verdict.rule.blame is Blame.OUTSIDE:
        breaker = await parking.failed(ctx, task, place.host, report.reason)
        if breaker is not None:
            return parking.parked_for(breaker)
    seconds = pause(verdict.rule, verdict.count, ctx.settings.failures, random.random())
    why = f"back-off after failure {verdict.count} of the kind {verdict.rule.name!r}"
    if seconds <= 0:
        return {}
    alarms.ring(ctx, seconds)
    return parking.until(seconds, why)


def _grown(old: Document, new: Document) -> Document:
    """What grew, as {"grown": {resource: [old, new]}}."""
    grown = {name: [old.get(name), value] for name, value in new.items() if value != old.get(name)}
    return {"grown": grown} if grown else {}


async def _avoid(ctx: Context, task: Document, verdict: Verdict) -> Document | None:
    """The host to stay away from for a while, if the rule says so and there is another."""
    elsewhere = verdict.rule.action in (Action.ELSEWHERE, Action.CONFIRM)
    return await _elsewhere(ctx, task) if elsewhere else None


async def _elsewhere(ctx: Context, task: Document) -> Document | None:
    """That the next try be on another host than the present one, if there is another."""
    host = (await place_of(ctx, task.get("pilot_id", ""))).host
    if not host or not await _has_others(ctx, host):
        return None
    return {"host": host, "until": soon(60 * ELSEWHERE_MINUTES)}


async def _has_others(ctx: Context, host: str) -> bool:
    """Whether pilots on other hosts were heard of just now."""
    others = {"host": {"$ne": host}, "last_update": {"$gt": soon(-60 * ALIVE_MINUTES)}}
    return await ctx.db.pilots.find_one(others, {"_id": 1}) is not None


async def _after_bad_end(ctx: Context, task: Document, report: Report, status: str, verdict: Verdict,
                         place: Place) -> None:
    metrics.TASK_ENDS.labels(status if status != "waiting" else "reset").inc()
    if verdict.rule.blame is Blame.OUTSIDE and await parking.is_away(ctx, report.reason):
        trusted.dropped(ctx, place.host, task)  # no fault of the host's
    else:
        await learn(ctx, task, report, failed=verdict.rule.name)
    if status == "waiting":
        ctx.signals.notify("tasks")
        return
    if status == "failed":
        await kinds.announce_end(ctx, task, "failed", report.reason)
    await completion.follow(ctx, {**task, "status": status})


async def settle_reset(ctx: Context, task: Document, report: Report) -> None:
    """Decide about a task that a client put into the state "reset"."""
    verdict = await _verdict(ctx, task, report, NOWHERE)
    outcome = await _status_after(ctx, task, verdict, "reset")
    status = "idle" if outcome == "waiting" else outcome
    changes = {"status": status, "status_changed": timestamp(), "due": timestamp()}
    query = {"task_id": task["task_id"], "status": "reset"}
    result = await ctx.db.tasks.update_one(query, {"$set": changes})
    if not result.matched_count:
        return
    if status == "idle":
        await completion.promote(ctx, [{**task, **changes}])
    else:
        await completion.follow(ctx, {**task, **changes})


async def evict(ctx: Context, task_id: str, report: Report, *, elsewhere: bool = False) -> Document:
    """A pilot hands a task back, for no fault of anybody's; the task before. Raises like `reset`.

    With `elsewhere` another host shall have it next, if there is one.
    """
    task = await _task(ctx, task_id)
    if _is_repeat(task, "failed", report):  # it was one too many
        return task
    is_held = task["status"] in LEASED and report.instance_id in (None, task["instance_id"])
    counted = task["evictions"] - task.get("free_evictions", 0)
    one_too_many = counted >= ctx.settings.failures.max_evictions
    if is_held and one_too_many and kinds.kind_of(task) == kinds.DEFAULT:
        why = f"no pilot could keep it: handed back {task['evictions'] + 1} times, the last: {report.reason}"
        return await fail(ctx, task_id, replace(report, reason=why))
    place = await place_of(ctx, task.get("pilot_id", ""))
    update = returned(_reason(report) or "handed back by the pilot")
    update["$set"] |= {"ended": _end("evicted", report), "evicted_by": task.get("pilot_id", "")}
    update["$push"] = attempts.pushed(attempts.of(task, report, "evicted", place))
    if elsewhere and (avoid := await _elsewhere(ctx, task)):
        update["$set"]["avoid"] = avoid
    before = await _end_lease(ctx, task_id, report, update)
    if before is None:
        task = await _task(ctx, task_id)
        if _is_repeat(task, "evicted", report):
            return task
        _refuse(task, report)
    trusted.dropped(ctx, place.host, task)
    tallies.of(ctx).evicted(place.site or task["site"])
    metrics.TASK_ENDS.labels("evicted").inc()
    ctx.signals.notify("tasks")
    return before
