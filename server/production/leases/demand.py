"""What work waits, by requirement class: what a grid needs to know to submit pilots that fit.

Counts come from the index that claims use, and stop at a limit: whether 10 000 or a million tasks wait makes
no difference to anybody's next step, and costs the same. The answer is kept for a moment, however many ask.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from iceprod.requirements import parse_class
from server.production.common.documents import Document
from server.production.leases import sharing
from server.production.tasks.classes import class_table
from server.rest.context import Context

__all__ = ["AT_MOST", "demand", "register_wanted"]

AT_MOST = 10_000  # a larger count is given as this
KEPT_SECONDS = 1.0
LOOKED_AT = 50  # of the best tasks of a class, for what they really need
FRACTIONS = ("memory", "disk", "time")


@dataclass
class _Answer:
    """The latest counts of one process."""

    rows: list[Document] = field(default_factory=list)
    read_at: float = -1e9
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


Extra = Callable[[Context, str], Awaitable[Mapping[str, int]]]
"""Slots that somebody asked to have at a site beyond those that waiting tasks will get, by class."""

_askers: list[Extra] = []
_answers: WeakKeyDictionary[AsyncDatabase, _Answer] = WeakKeyDictionary()


async def demand(ctx: Context, site: str = "", grid_id: str = "") -> list[Document]:
    """Classes of which tasks wait or run, and how many; with `site`, without those that want another site.

    With `grid_id`, `waiting` is that grid's share of the tasks, and `all_waiting` how many there are.
    """
    answer = _answers.setdefault(ctx.db, _Answer())
    async with answer.lock:
        if time.monotonic() - answer.read_at > KEPT_SECONDS:
            answer.rows = await _count(ctx)
            answer.read_at = time.monotonic()
    rows = [row for row in answer.rows if not site or row["requirements"].get("site") in (None, "", site)]
    if grid_id:
        known = await sharing.candidates(ctx)
        rows = [{**row, "all_waiting": row["waiting"], "waiting": _share(row, grid_id, known)}
                for row in rows]
    return _with_extra(rows, await _extra(ctx, site)) if site else rows


def _share(row: Document, grid_id: str, known: list[sharing.Candidate]) -> int:
    wanted = row["requirements"].get("site")
    return sharing.share_of(grid_id, row["class_key"], str(wanted or ""), row["waiting"], known)


def register_wanted(extra: Extra) -> None:
    """Let another family ask for slots beyond those that its tasks would get."""
    _askers.append(extra)


async def _extra(ctx: Context, site: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for ask in _askers:
        total.update(await ask(ctx, site))
    return total


def _with_extra(rows: list[Document], extra: Counter[str]) -> list[Document]:
    """`wanted` is how many slots a class should have in all: for its tasks, and those asked for beyond."""
    known = {row["class_key"]: row for row in rows}
    for key, slots in extra.items():
        row = known.get(key) or _empty(key)
        tasks = row["waiting"] + row["queued"] + row["processing"]
        known[key] = {**row, "wanted": tasks + slots}
    return list(known.values())


def _empty(key: str) -> Document:
    return {"class_key": key, "requirements": parse_class(key), "waiting": 0, "queued": 0, "processing": 0,
            "priority": 0.0}


async def _count(ctx: Context) -> list[Document]:
    table = class_table(ctx)
    await table.look(ctx)
    rows = [await _row(ctx, key) for key in sorted(table.datasets)]
    return [row for row in rows if row["waiting"] or row["queued"] or row["processing"]]


async def _row(ctx: Context, key: str) -> Document:
    waiting = await _number(ctx, key, "waiting")
    query, shown = {"status": "waiting", "class_key": key}, {"priority": 1, "requirements": 1}
    best = await ctx.db.tasks.find(query, shown, sort=[("priority", -1)],
                                   limit=LOOKED_AT).to_list() if waiting else []
    return {"class_key": key, "requirements": parse_class(key), "waiting": waiting,
            "queued": await _number(ctx, key, "queued"), "processing": await _number(ctx, key, "processing"),
            "priority": best[0]["priority"] if best else 0.0,
            "least": _least([task["requirements"] for task in best])}


def _least(needs: list[Document]) -> dict[str, float]:
    """The least of what tasks really need, which may be less than their class's bin says."""
    return {name: min(float(need.get(name) or 0) for need in needs) for name in FRACTIONS
            if any(need.get(name) for need in needs)}


async def _number(ctx: Context, key: str, status: str) -> int:
    return int(await ctx.db.tasks.count_documents({"status": status, "class_key": key}, limit=AT_MOST))
