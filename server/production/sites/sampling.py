"""Samples of what pilots offer and what waits, for the series of activity, which is kept small here."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.production.activity import ended, host_hours, series
from server.production.activity.slots import Slot
from server.production.common import heard
from server.production.common.documents import Document
from server.rest.context import Context
from server.services.leader import Service

__all__ = ["SERVICES", "gauges_of", "record"]

PERIOD = 20.0  # seconds: a minute has its samples though one comes late
TEND_SECONDS = 60.0  # between two times that coarser slots are summed up, and old ones forgotten

_tended: WeakKeyDictionary[AsyncDatabase, float] = WeakKeyDictionary()


async def record(ctx: Context) -> int:
    """Sample cores, tasks and the queue of all sites; sum up and forget what is old; how many sites."""
    samples = await _by_site(ctx)
    whole = Slot(0, samples=1)
    for slot in samples.values():
        whole.sums.update(slot.sums)
    whole.sums["waiting"] = await ctx.db.tasks.count_documents({"status": "waiting"})
    await series.add(ctx, {**_bounded(samples), series.WHOLE: whole})
    if time.monotonic() - _tended.get(ctx.db, float("-inf")) >= TEND_SECONDS:
        _tended[ctx.db] = time.monotonic()
        await series.tend(ctx)
        await host_hours.clean(ctx)
    return len(samples)


async def _by_site(ctx: Context) -> dict[str, Slot]:
    sites: dict[str, Slot] = {}
    async for pilot in heard.pilots(ctx, "site", "resources.cpu", "resources_available.cpu", "tasks"):
        name = str(pilot.get("site") or ended.UNKNOWN)[:ended.MOST_NAME]
        sites.setdefault(name, Slot(0, samples=1)).sums.update(gauges_of(pilot))
    return sites


def gauges_of(pilot: Document) -> Counter[str]:
    """What a pilot adds to the gauges of its site."""
    offered = _number((pilot.get("resources") or {}).get("cpu"))
    free = (pilot.get("resources_available") or {}).get("cpu")
    busy = 0.0 if free is None else min(offered, max(0.0, offered - _number(free)))
    return Counter({"offered": offered, "busy": busy, "running": len(pilot.get("tasks") or ())})


def _bounded(samples: dict[str, Slot]) -> dict[str, Slot]:
    """The sites that offer most by their names, all others together."""
    order = sorted(samples, key=lambda name: (-samples[name].sums["offered"], name))
    found = {name: samples[name] for name in order[:series.MOST_SITES]}
    if rest := order[series.MOST_SITES:]:
        others = found.setdefault(series.OTHERS, Slot(0, samples=1))
        for name in rest:
            others.sums.update(samples[name].sums)
    return found


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


SERVICES = [Service("record activity", lambda ctx: PERIOD, record)]
