"""Many ends in one request: every one is checked against its lease, the good ones are written together.

A batch costs about ten commands to the database however long it is, one end alone three; failures, which
are rare and must be judged one by one, cost a few each. What a task printed and used comes with its end,
under ids that follow from task and instance, so the same batch sent twice stores nothing twice.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from pymongo import UpdateMany
from pymongo.errors import BulkWriteError

from iceprod.ids import timestamp
from server.common import metrics
from server.common.errors import ApiError, BadRequest
from server.common.signals import Signals
from server.common.together import Together
from server.production.common.documents import Document
from server.production.leases import ends, load
from server.production.leases.ends import Report
from server.production.records import logs
from server.production.tasks import alarms, completion, drawn, follow_ups, kinds
from server.production.tasks.task_store import LEASED, soon
from server.rest.context import Context
from server.store.duplicates import are_duplicates

__all__ = ["MOST", "OUTCOMES", "Ended", "read_ended", "report_many"]

MOST = 1000
LOG_NAMES = ("stdout", "stderr", "stdlog")
LONGEST_LOG = 1_000_000  # characters
OUTCOMES = ("complete", "reset", "failed", "evict")
NAMESPACE = uuid.UUID("2a9a6f3c-5d0b-4f6e-9d53-5a2a1a0c7f11")
_READ = ("task_id", "dataset_id", "job_id", "name", "kind", "status", "instance_id", "pilot_id", "site")


@dataclass(frozen=True)
class Ended:
    """One end of a batch, with what the task printed (by name of the log) and what a pilot measured."""

    task_id: str
    outcome: str
    report: Report
    logs: Mapping[str, str] = field(default_factory=dict)
    stats: Document = field(default_factory=dict)


@dataclass(frozen=True)
class _Batch:
    """What one request reports, and whose tasks it may speak of."""

    ends: Sequence[Ended]
    only_site: str
    only_pilot: str

    def may_speak_of(self, task: Document | None) -> bool:
        return (task is not None and (not self.only_site or task["site"] == self.only_site)
                and (not self.only_pilot or task.get("pilot_id", self.only_pilot) == self.only_pilot))


_batches: WeakKeyDictionary[Signals, Together[Context, _Batch, list[Document]]] = WeakKeyDictionary()


async def report_many(ctx: Context, batch: Sequence[Ended], *, only_site: str = "",
                      only_pilot: str = "") -> list[Document]:
    """Act on every report; for each, in order, {task_id, status, reason}: 200, or an error as if alone.

    With `only_site`, tasks that were leased to another site are not found; with `only_pilot`, those that
    another pilot holds. What others report meanwhile is done together.
    """
    together = _batches.get(ctx.signals)
    if together is None:
        together = _batches[ctx.signals] = Together(_report_batches, pause=load.gather_seconds)
    return await together.do(ctx, _Batch(batch, only_site, only_pilot))


async def _report_batches(ctx: Context, batches: Sequence[_Batch]) -> list[list[Document] | Exception]:
    rows = [(one, ended) for one in batches for ended in one.ends]
    results = iter(await _report(ctx, rows))
    return [[next(results) for _ in one.ends] for one in batches]


async def _report(ctx: Context, rows: Sequence[tuple[_Batch, Ended]]) -> list[Document]:
    if len(rows) == 1 and (answer := await _complete_one(ctx, *rows[0])) is not None:
        return [answer]
    batch = [ended for _, ended in rows]
    tasks = await _read(ctx, [ended.task_id for ended in batch])
    answers: dict[int, tuple[int, str]] = {}
    together: dict[str, int] = {}
    for number, (by, ended) in enumerate(rows):
        task = tasks.get(ended.task_id)
        if task is None or not by.may_speak_of(task):
            answers[number] = 404, "Task not found"
        elif ended.outcome == "complete" and ended.task_id not in together and _is_held(task, ended.report):
            together[ended.task_id] = number
    done = await _complete(ctx, [(tasks[task_id], batch[n].report) for task_id, n in together.items()])
    answers |= {together[task_id]: (200, "") for task_id in done}
    for number, ended in enumerate(batch):
        if number not in answers:
            answers[number] = await _alone(ctx, ended)
    good = [ended for number, ended in enumerate(batch) if answers[number][0] == 200]
    await _store_details(ctx, good, tasks)
    return [{"task_id": ended.task_id, "status": answers[number][0], "reason": answers[number][1]}
            for number, ended in enumerate(batch)]


async def _read(ctx: Context, ids: list[str]) -> dict[str, Document]:
    shown = {"_id": 0, **dict.fromkeys(_READ, 1)}
    return {task["task_id"]: task async for task in ctx.db.tasks.find({"task_id": {"$in": ids}}, shown)}


def _is_held(task: Document, report: Report) -> bool:
    """Whether the task is its reporter's, and of the kind that nobody else must hear of."""
    held = task["status"] in LEASED and task["instance_id"] == report.instance_id
    return held and kinds.kind_of(task) == kinds.DEFAULT


async def _alone(ctx: Context, ended: Ended) -> tuple[int, str]:
    """Act on one report by itself; status and reason of the answer."""
    report, task_id = ended.report, ended.task_id
    try:
        if ended.outcome == "complete":
            before = await ends.complete(ctx, task_id, report.instance_id, time_used=report.time_used,
                                         site=report.site, resources=report.resources)
            if before["status"] != "complete":
                await kinds.announce_end(ctx, before, "complete", report.reason)
        elif ended.outcome == "reset":
            await ends.reset(ctx, task_id, report)
        elif ended.outcome == "failed":
            await ends.fail(ctx, task_id, report)
        else:
            await ends.evict(ctx, task_id, report)
    except ApiError as error:
        return error.code, error.reason
    return 200, ""


# -- good ends


async def _complete_one(ctx: Context, by: _Batch, ended: Ended) -> Document | None:
    """Complete one task that is its reporter's, in as few commands as may be; None when it is not so simple.

    The end itself is marked for the repair pass, instead of a note of it.
    """
    if ended.outcome != "complete":
        return None
    report = ended.report
    mine = {"task_id": ended.task_id, "status": {"$in": list(LEASED)}, "instance_id": report.instance_id,
            "kind": {"$in": [None, kinds.DEFAULT]}}
    if by.only_site:
        mine["site"] = by.only_site
    if by.only_pilot:
        mine["pilot_id"] = {"$in": [None, by.only_pilot]}
    alarms.ring(ctx, ends.FOLLOW_UP_SECONDS)
    marked = {**ends.completed(report), "due": soon(ends.FOLLOW_UP_SECONDS)}
    task = await ctx.db.tasks.find_one_and_update(
        mine, {"$set": marked, "$unset": {"pilot_id": "", "avoid": ""}},
        {"_id": 0, **dict.fromkeys(_READ, 1)})
    if task is None:
        return None
    metrics.TASK_ENDS.labels("complete").inc()
    await asyncio.gather(completion.follow_one(ctx, {**task, **marked}),
                         _store_details(ctx, [ended], {ended.task_id: task}))
    await drawn.note(ctx, {**task, **marked})
    await ends.learn(ctx, task, report)
    return {"task_id": ended.task_id, "status": 200, "reason": ""}


async def _complete(ctx: Context, held: Sequence[tuple[Document, Report]]) -> set[str]:
    """Complete tasks together; the ids of those that were still held when it was written."""
    if not held:
        return set()
    note = await follow_ups.note(ctx, [task["task_id"] for task, _ in held])
    result = await ctx.db.tasks.bulk_write(_updates(held), ordered=False)
    if result.matched_count < len(held):  # some were taken back just now
        mine = {task["task_id"]: report.instance_id for task, report in held}
        rows = ctx.db.tasks.find({"task_id": {"$in": sorted(mine)}, "status": "complete"},
                                 {"task_id": 1, "instance_id": 1})
        ids = {row["task_id"] async for row in rows if row["instance_id"] == mine[row["task_id"]]}
        held = [(task, report) for task, report in held if task["task_id"] in ids]
    metrics.TASK_ENDS.labels("complete").inc(len(held))
    await completion.follow_completed(ctx, [task for task, _ in held])
    await follow_ups.done(ctx, note)
    for task, report in held:
        await ends.learn(ctx, task, report)
    return {task["task_id"] for task, _ in held}


def _updates(held: Sequence[tuple[Document, Report]]) -> list[UpdateMany]:
    """The updates that complete them: one for all those of one lease whose ends say the same."""
    moment = timestamp()
    alike: dict[tuple[object, ...], tuple[Report, list[str]]] = {}
    for task, report in held:
        key = report.instance_id, report.time_used, report.site, report.reason
        alike.setdefault(key, (report, []))[1].append(task["task_id"])
    return [_update(ids, report, moment) for report, ids in alike.values()]


def _update(ids: list[str], report: Report, moment: str) -> UpdateMany:
    mine = {"task_id": {"$in": ids}, "status": {"$in": list(LEASED)}, "instance_id": report.instance_id}
    return UpdateMany(mine, {"$set": ends.completed(report, moment),
                             "$unset": {"due": "", "pilot_id": "", "avoid": ""}})


# -- what comes with an end


async def _store_details(ctx: Context, batch: Iterable[Ended], tasks: Mapping[str, Document]) -> None:
    rows: defaultdict[str, list[Document]] = defaultdict(list)
    moment = timestamp()
    for ended in batch:
        task_id, instance = ended.task_id, ended.report.instance_id or ""
        common = {"task_id": task_id, "dataset_id": tasks[task_id]["dataset_id"]}
        rows["logs"] += [{**common, "name": name, "data": text, "log_id": _id(task_id, instance, name),
                          "timestamp": moment} for name, text in ended.logs.items()]
        if ended.stats:
            rows["task_stats"].append({**common, "task_stat_id": _id(task_id, instance, "stats"),
                                       "create_date": moment, "stats": ended.stats})
    if rows["logs"]:
        rows["log_errors"] = await logs.errors_of(rows["logs"])
    for collection, documents in rows.items():
        await _insert_new(ctx, collection, documents)


def _id(*parts: str) -> str:
    return uuid.uuid5(NAMESPACE, "|".join(parts)).hex


async def _insert_new(ctx: Context, collection: str, documents: list[Document]) -> None:
    if not documents:
        return
    try:
        await ctx.db[collection].insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if not are_duplicates(error):
            raise


# -- reading a batch


def read_ended(row: Any, position: int, report: Report) -> Ended:
    """One row of a batch whose report was read already. Raises BadRequest with the row's position."""
    where = f"reports[{position}]"
    task_id, outcome = row.get("task_id"), row.get("outcome")
    if not isinstance(task_id, str) or report.instance_id is None:
        raise BadRequest(f"{where}: needs task_id and instance_id")
    if outcome not in OUTCOMES:
        raise BadRequest(f"{where}.outcome: must be one of {', '.join(OUTCOMES)}")
    logs, stats = row.get("logs") or {}, row.get("stats") or {}
    if not isinstance(logs, dict) or not all(name in LOG_NAMES and isinstance(text, str)
                                             and len(text) <= LONGEST_LOG for name, text in logs.items()):
        raise BadRequest(f"{where}.logs: must be texts of at most {LONGEST_LOG} characters, named "
                         f"{', '.join(LOG_NAMES)}")
    if not isinstance(stats, dict):
        raise BadRequest(f"{where}.stats: must be an object")
    return Ended(task_id, outcome, report, logs, stats)

