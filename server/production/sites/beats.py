"""Heartbeats: pilots say that they live and what they hold, and hear what they lost.

They come alone, or ride on whatever else a pilot sends. Those that come at the same time are written
together: however many there are, a batch costs three or four commands to the database. With many pilots a
batch waits a moment for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from pymongo import UpdateMany, UpdateOne

from iceprod.ids import timestamp
from server.common.errors import NotFound
from server.common.signals import Signals
from server.common.together import Together
from server.production.common.documents import Document
from server.production.leases import leases, load
from server.production.sites import pilots
from server.rest.context import Context

__all__ = ["beat", "is_known", "promise"]

MOST_AT_ONCE = 500  # beats
MOST_KNOWN = 20_000  # pilots that we know to be registered
_SHOWN = {"_id": 0, "pilot_id": 1, "drain": 1, "tasks": 1, "resources_available": 1, "resources_claimed": 1}


@dataclass(frozen=True)
class _Beat:
    """What one pilot says."""

    pilot_id: str
    tasks: dict[str, str]  # id → instance_id
    fields: Document


@dataclass(eq=False)
class _Books:
    """Which pilots one process knows to be registered."""

    known: LRUCache[str, bool] = field(default_factory=lambda: LRUCache(MOST_KNOWN))

    def __post_init__(self) -> None:
        self.together: Together[Context, _Beat, Document] = Together(
            self._write, MOST_AT_ONCE, load.gather_beats)

    async def _write(self, ctx: Context, batch: Sequence[_Beat]) -> list[Document | Exception]:
        period = await load.period(ctx)
        ids = {"$in": sorted({one.pilot_id for one in batch})}
        rows = {row["pilot_id"]: row async for row in ctx.db.pilots.find({"pilot_id": ids}, _SHOWN)}
        present = [one for one in batch if one.pilot_id in rows]
        await _write_pilots(ctx, present, rows, period)
        lost = await leases.extend_many(ctx, [(one.pilot_id, one.tasks) for one in present])
        return [self._answer(ctx, one, rows.get(one.pilot_id), lost) for one in batch]

    def _answer(self, ctx: Context, one: _Beat, row: Document | None,
                lost: set[tuple[str, str]]) -> Document | Exception:
        if row is None:
            self.known.pop(one.pilot_id, None)
            return NotFound("Pilot not found")
        self.known[one.pilot_id] = True
        stop = [task_id for task_id, instance in one.tasks.items() if (task_id, instance) in lost]
        return {**promise(ctx, one.pilot_id), "stop": stop, "drain": bool(row.get("drain"))}


async def _write_pilots(ctx: Context, batch: Sequence[_Beat], rows: dict[str, Document],
                        period: float) -> None:
    """Note that they live; what else they say is written when it is new.

    It is compared with what is stored, so a server that has just started writes no more than others.
    """
    common: Document = {"last_update": timestamp(), "beats": True, "heartbeat_seconds": period}
    same, writes, last = list[str](), list[UpdateMany | UpdateOne](), dict[str, Document]()
    for one in batch:  # one that comes twice is to stand there as it spoke last
        last[one.pilot_id] = {**last.get(one.pilot_id, {}), **one.fields, "tasks": sorted(one.tasks)}
    for pilot_id, said in last.items():
        if all(rows[pilot_id].get(name) == value for name, value in said.items()):
            same.append(pilot_id)
        else:
            writes.append(UpdateOne({"pilot_id": pilot_id}, {"$set": {**said, **common}}))
    if same:
        writes.append(UpdateMany({"pilot_id": {"$in": same}}, {"$set": common}))
    if writes:
        await ctx.db.pilots.bulk_write(writes, ordered=False)


_all: WeakKeyDictionary[Signals, _Books] = WeakKeyDictionary()


def _of(ctx: Context) -> _Books:
    books = _all.get(ctx.signals)
    if books is None:
        books = _all[ctx.signals] = _Books()
    return books


async def beat(ctx: Context, pilot_id: str, tasks: dict[str, str], fields: Document) -> Document:
    """A pilot is alive and holds `tasks` (id → instance_id): extend their leases and say which to stop.

    Raises BadRequest, NotFound for a pilot that is not registered.
    """
    pilots.check(fields)
    return await _of(ctx).together.do(ctx, _Beat(pilot_id, tasks, fields))


def is_known(ctx: Context, pilot_id: str) -> bool:
    """Whether this process has heard of the pilot, so it is registered."""
    return pilot_id in _of(ctx).known


def promise(ctx: Context, pilot_id: str) -> Document:
    """What every pilot is told: how long its leases last, how often to say that it lives."""
    return {"lease_seconds": load.lease_seconds(ctx, pilot_id),
            "grace_seconds": ctx.settings.leases.grace_hours * 3600,
            "heartbeat_seconds": load.heartbeat_period(load.known(ctx))}


