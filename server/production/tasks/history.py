"""How a dataset got on: a few hundred counts of its tasks, and what they say about its end.

Every so often the tasks of a dataset that runs are counted. When there are too many counts, every second one
is dropped, so the list stays short however long the dataset runs. The document is {dataset_id, is_open,
samples: [[seconds since 1970, complete, failed, active, waiting], …]}; `is_open` until the last count after
the end was taken.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import DuplicateKeyError

from server.production.common.documents import Document
from server.production.tasks import counting
from server.rest.context import Context
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "SERVICES", "Efficiency", "Eta", "Sample", "efficiencies", "eta", "of_dataset",
           "record", "thinned"]

INDEXES = [
    Index("dataset_history", "dataset_id", [("dataset_id", 1)], unique=True),
    Index("dataset_history", "is_open", [("is_open", 1)]),
]

MOST = 240  # samples
COST_SHARE = 200.0  # the next count comes not before so many times what the last one took
Z80 = 1.2816  # between so many standard deviations lie 80 percent of a normal distribution
LOOK_BACK = 1 / 3  # of the time so far counts for the rate
WALLTIMES = 500  # tasks of one name that its efficiency is taken from


@dataclass(frozen=True)
class Sample:
    """How many tasks of a dataset were where; `moment` in seconds since 1970."""

    moment: float
    complete: int
    failed: int
    active: int  # leased or running
    waiting: int


@dataclass(frozen=True)
class Eta:
    """How fast a dataset goes, in tasks per second, and when it will be done: seconds from now."""

    rate: float
    middle: float
    low: float  # one in ten chances that it takes less
    high: float | None  # one in ten that it takes more; None when nobody can say


def thinned(samples: Sequence[Sample]) -> list[Sample]:
    """The samples, or every second one when there are too many; the first and the last always stay."""
    if len(samples) <= MOST:
        return list(samples)
    return [*samples[:-1:2], samples[-1]]


def eta(samples: Sequence[Sample], tasks: int) -> Eta | None:
    """When a dataset of so many tasks will be done; None while nothing was completed lately.

    The rate is that of the last third of the time; its error is taken from how much it varied between
    samples (the ratio estimator: Cochran, Sampling Techniques, 3rd ed., eq. 6.4), but it is no less than that
    of counting.
    """
    if len(samples) < 2:
        return None
    end = samples[-1].moment
    since = end - LOOK_BACK * (end - samples[0].moment)
    used = [sample for sample in samples if sample.moment >= since]
    used = used if len(used) >= 4 else list(samples[-4:])
    steps = [(b.moment - a.moment, b.complete - a.complete) for a, b in itertools.pairwise(used)]
    span, done = sum(dt for dt, _ in steps), sum(n for _, n in steps)
    if span <= 0 or done <= 0:
        return None
    rate, k = done / span, len(steps)
    varied = math.sqrt(k / (k - 1) * math.fsum((n - rate * dt) ** 2 for dt, n in steps)) if k > 1 else 0.0
    error = max(varied, math.sqrt(done)) / span
    left = max(0, tasks - samples[-1].complete - samples[-1].failed)
    slow = rate - Z80 * error
    return Eta(rate, left / rate, left / (rate + Z80 * error), left / slow if slow > 0 else None)


async def of_dataset(ctx: Context, dataset_id: str) -> list[Sample]:
    """What was counted so far, the oldest first."""
    document = await ctx.db.dataset_history.find_one({"dataset_id": dataset_id}, {"_id": 0, "samples": 1})
    return _samples(document)


def _samples(document: Document | None) -> list[Sample]:
    return [Sample(float(row[0]), *map(int, row[1:5])) for row in (document or {}).get("samples", [])]


async def record(ctx: Context) -> int:
    """Count the tasks of datasets that run, and once more of those that ended; how many were counted."""
    running = {row["dataset_id"] async for row in
               ctx.db.datasets.find({"status": "processing"}, {"_id": 0, "dataset_id": 1})}
    known = {row["dataset_id"]: row async for row in ctx.db.dataset_history.find({"is_open": True})}
    counted = 0
    for dataset_id in sorted(running | set(known)):
        before = known.get(dataset_id)
        if before is None and dataset_id in running:
            before = await ctx.db.dataset_history.find_one({"dataset_id": dataset_id})
        if dataset_id not in running or _is_due(before):
            counted += await _count(ctx, dataset_id, before, is_open=dataset_id in running)
    return counted


def _is_due(document: Document | None) -> bool:
    """Whether to count again: not too soon after a count that took long."""
    if document is None:
        return True
    return time.time() - document["counted"] >= COST_SHARE * document["cost"]


async def _count(ctx: Context, dataset_id: str, before: Document | None, *, is_open: bool) -> bool:
    started = time.monotonic()
    counts = await counting.of_dataset(ctx, dataset_id)
    cost, moment = time.monotonic() - started, time.time()
    new = Sample(moment, counts.get("complete", 0), counts.get("failed", 0),
                 counts.get("queued", 0) + counts.get("processing", 0), counts.get("waiting", 0))
    samples = thinned([*_samples(before), new])
    rows = [[s.moment, s.complete, s.failed, s.active, s.waiting] for s in samples]
    changes: dict[str, Any] = {"samples": rows, "is_open": is_open, "counted": moment, "cost": cost}
    unchanged = {"dataset_id": dataset_id, "counted": before["counted"] if before else None}
    try:
        result = await ctx.db.dataset_history.update_one(unchanged, {"$set": changes}, upsert=before is None)
    except DuplicateKeyError:  # another server was faster
        return False
    return bool(result.modified_count or result.upserted_id)


@dataclass(frozen=True)
class Efficiency:
    """What completed tasks of a name took: mean hours, and the share of all hours that was not lost."""

    tasks: int
    mean_hours: float | None
    efficiency: float


async def efficiencies(ctx: Context, dataset_id: str, names: Sequence[str]) -> dict[str, Efficiency]:
    """Walltimes by name of the task, from some of the tasks that are complete and some of those failed."""
    found = {}
    shown = {"_id": 0, "walltime": 1, "walltime_err": 1}
    for name in names:
        rows = {}
        for status in ("complete", "failed"):
            query = {"dataset_id": dataset_id, "name": name, "status": status}
            rows[status] = await ctx.db.tasks.find(query, shown, limit=WALLTIMES).to_list()
        done = rows["complete"]
        good = math.fsum(row.get("walltime", 0.0) for row in done)
        lost = math.fsum(row.get("walltime_err", 0.0) for row in [*done, *rows["failed"]])
        if good + lost > 0:
            mean = good / len(done) if done else None
            found[name] = Efficiency(len(done), mean, good / (good + lost))
    return found


SERVICES = [Service("record progress", lambda ctx: ctx.settings.services.repair_seconds, record)]
