"""The series of activity in the store: written in minutes, summed up to ten minutes and hours, forgotten.

A document of `activity` is a slot of one site, or of all (`site` empty): {step, slot, site, ends: {why: …},
samples, sums: {gauge: …}}. Whoever writes adds to the present minute, so any number of servers may; what sums
minutes up writes the same result however often it runs. So there are never more than some 450 documents for
each site, and never more than `MOST_SITES` sites.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pymongo import ReplaceOne, UpdateOne

from server.production.activity import slots
from server.production.activity.slots import LEVELS, SPANS, Slot
from server.production.common.documents import Document
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "MOST_SITES", "OTHERS", "WHOLE", "add", "of_sites", "of_whole", "sites_lately",
           "tend"]

INDEXES = [
    Index("activity", "site_slot", [("step", 1), ("site", 1), ("slot", 1)]),
    Index("activity", "slot", [("step", 1), ("slot", 1)]),
]

WHOLE = ""  # the site of the rows that sum over all sites
OTHERS = "other sites"  # whoever invents names of sites fills no disk
MOST_SITES = 60
STATE = "summed up"


def _id(step: int, begins: int, site: str) -> str:
    return f"{step}|{begins}|{site}"


async def add(ctx: Context, by_site: Mapping[str, Slot], moment: float | None = None) -> None:
    """Add to the minute of a moment (default: this one) what happened at each site, `WHOLE` among them."""
    begins = slots.begin_of(time.time() if moment is None else moment, LEVELS[0].step)
    writes = [_added(begins, site, slot) for site, slot in by_site.items()]
    if writes:
        await ctx.db.activity.bulk_write(writes, ordered=False)


def _added(begins: int, site: str, slot: Slot) -> UpdateOne:
    step = LEVELS[0].step
    numbers: dict[str, float] = {f"ends.{why}": n for why, n in slot.ends.items()}
    numbers |= {f"sums.{gauge}": total for gauge, total in slot.sums.items()}
    update = {"$inc": {**numbers, "samples": slot.samples},
              "$setOnInsert": {"step": step, "slot": begins, "site": site}}
    return UpdateOne({"_id": _id(step, begins, site)}, update, upsert=True)


def _slot(row: Document) -> Slot:
    return Slot(row["slot"], Counter(row.get("ends") or {}), row.get("samples", 0),
                Counter(row.get("sums") or {}))


# -- reading


async def sites_lately(ctx: Context) -> set[str]:
    """The sites that have had rows of their own in the last hours."""
    return set(await ctx.db.activity.distinct("site", {"step": LEVELS[0].step}))


async def of_whole(ctx: Context, span: str) -> list[Slot]:
    """What all sites together did in a span of `SPANS`, the oldest first."""
    return [_slot(row) async for row in ctx.db.activity.find(_query(span) | {"site": WHOLE},
                                                             sort=[("slot", 1)])]


async def of_sites(ctx: Context, span: str) -> dict[str, list[Slot]]:
    """The same for each site."""
    found: dict[str, list[Slot]] = {}
    async for row in ctx.db.activity.find(_query(span), sort=[("slot", 1)]):
        if row["site"] != WHOLE:
            found.setdefault(row["site"], []).append(_slot(row))
    return found


def _query(span: str) -> Document:
    seconds, step = SPANS[span]
    return {"step": step, "slot": {"$gte": slots.begin_of(time.time() - seconds, step)}}


# -- summing up, and forgetting


async def tend(ctx: Context, moment: float | None = None) -> int:
    """Sum up what is new, then delete what is old; how many documents went. May be stopped anywhere."""
    moment = time.time() if moment is None else moment
    for number in range(1, len(LEVELS)):
        await _sum_up(ctx, number, moment)
    gone = 0
    for number, level in enumerate(LEVELS):
        old = {"step": level.step, "slot": {"$lt": slots.oldest_kept(number, moment)}}
        gone += (await ctx.db.activity.delete_many(old)).deleted_count
    return gone


async def _sum_up(ctx: Context, number: int, moment: float) -> None:
    """Write the slots of a level anew from the finer ones, from those on that were not over the last time."""
    fine, step, key = LEVELS[number - 1].step, LEVELS[number].step, f"{STATE} {LEVELS[number].step}"
    state = await ctx.db.activity.find_one({"_id": key})
    until = slots.begin_of(moment, step) - step  # the one before may still get what was on its way
    # What is deleted was summed up before; a clock that was ahead once must not stop this until then.
    since = min(state["until"], until) if state else 0
    by_site: dict[str, list[Slot]] = {}
    async for row in ctx.db.activity.find({"step": fine, "slot": {"$gte": since}}):
        by_site.setdefault(row["site"], []).append(_slot(row))
    writes: list[Any] = [_replaced(step, site, slot) for site, found in by_site.items()
                         for slot in slots.coarser(found, step)]
    writes.append(UpdateOne({"_id": key}, {"$set": {"until": until}}, upsert=True))
    await ctx.db.activity.bulk_write(writes, ordered=True)


def _replaced(step: int, site: str, slot: Slot) -> ReplaceOne[Document]:
    key = _id(step, slot.begins, site)
    row = {"_id": key, "step": step, "slot": slot.begins, "site": site, "ends": dict(slot.ends),
           "samples": slot.samples, "sums": dict(slot.sums)}
    return ReplaceOne({"_id": key}, row, upsert=True)
