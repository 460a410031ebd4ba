"""Gauges of the production system: tasks by status, pilots, and what these offer and use."""

from __future__ import annotations

from collections import Counter
from typing import Final

from prometheus_client import Gauge

from iceprod.requirements import NUMBERS
from iceprod.states import DATASET, TASK
from server.production.common import heard
from server.production.common.documents import Document
from server.production.tasks import counting
from server.production.tasks.classes import PARKED
from server.rest.context import Context

__all__ = ["measure"]

LATEST: Final = "mostrecent"  # of all processes: each sets what the whole installation has

TASKS = Gauge("iceprod_tasks", "Tasks by status", ["status"], multiprocess_mode=LATEST)
DATASETS = Gauge("iceprod_datasets", "Datasets by status", ["status"], multiprocess_mode=LATEST)
PILOTS = Gauge("iceprod_pilots", "Pilots heard of in the last minutes", multiprocess_mode=LATEST)
RESOURCES = Gauge("iceprod_pilot_resources", "Resources of pilots", ["resource", "state"],
                  multiprocess_mode=LATEST)
BREAKERS = Gauge("iceprod_open_breakers", "Resources outside that do not answer, for which tasks wait",
                 multiprocess_mode=LATEST)
PARKED_TASKS = Gauge("iceprod_parked_tasks", "Waiting tasks that wait for a time or a resource first",
                     multiprocess_mode=LATEST)


async def measure(ctx: Context) -> int:
    """Set the gauges of this process; how many pilots there are."""
    tasks = await counting.of_all(ctx)
    for status in TASK.states:
        TASKS.labels(status).set(tasks.get(status, 0))
    datasets = await _datasets(ctx)
    for status in DATASET.states:
        DATASETS.labels(status).set(datasets.get(status, 0))
    BREAKERS.set(await ctx.db.breakers.count_documents({"breaker.is_open": True}))
    PARKED_TASKS.set(await ctx.db.tasks.count_documents({"status": "waiting", "class_key": PARKED}))
    return await _measure_pilots(ctx)


async def _measure_pilots(ctx: Context) -> int:
    states = ("available", "claimed")
    number, totals = 0, {state: Counter[str]() for state in states}
    async for pilot in heard.pilots(ctx, *(f"resources_{state}" for state in states)):
        number += 1
        for state in states:
            totals[state].update({name: amount for name, amount in pilot.get(f"resources_{state}", {}).items()
                                  if name in NUMBERS and isinstance(amount, int | float)})
    PILOTS.set(number)
    for state, total in totals.items():
        for name in NUMBERS:
            RESOURCES.labels(name, state).set(total[name])
    return number


async def _datasets(ctx: Context) -> dict[str, int]:
    stages: list[Document] = [{"$match": {"status": {"$in": list(DATASET.states)}}},
                              {"$group": {"_id": "$status", "n": {"$sum": 1}}}]
    return {row["_id"]: row["n"] async for row in await ctx.db.datasets.aggregate(stages)}
