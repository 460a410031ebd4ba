"""Heartbeats: pilots say that they live and what they hold, and hear what they lost.

They come alone, or ride on whatever else a pilot sends. Those that come at the same time are written
together: however many there are, a batch costs three or four commands to the database. With many pilots a
batch waits a moment for others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pymongo import UpdateMany, UpdateOne

from iceprod.ids import timestamp
from server.common.errors import NotFound
from server.common.signals import Signals
from server.production.common.documents import Document
from server.production.leases import leases, load
from server.production.sites import pilots
from server.rest.context import Context

__all__ = ["beat", "is_known", "promise"]

MANY = 200  # pilots, of which a batch waits for others
GATHER_SECONDS = 0.25
MOST_KEPT = 20_000  # pilots of which we know what we wrote last


@dataclass(frozen=True, eq=False)
class _Beat:
    """What one pilot says; `heard` is set when it is written: whether it is to end."""

    pilot_id: str
    tasks: dict[str, str]  # id → instance_id
    fields: Document
    heard: asyncio.Future[Document]


@dataclass(eq=False)
class _Batches:
    """The beats of one process that are not written yet, and what it wrote last of each pilot."""

    waiting: list[_Beat] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None
    written: OrderedDict[str, Document] = field(default_factory=OrderedDict)

    async def write(self, ctx: Context) -> None:
        """Write what waits, until nothing does."""
        try:
            while self.waiting:
                if load.known(ctx) > MANY:
                    await asyncio.sleep(GATHER_SECONDS)
                batch, self.waiting = self.waiting, []
                try:
                    await self._write(ctx, batch)
                except Exception as error:  # noqa: BLE001 (each of those who wait hears of it)
                    for one in batch:
                        if not one.heard.done():
                            one.heard.set_exception(error)
        finally:
            self.writing = None

    async def _write(self, ctx: Context, batch: Sequence[_Beat]) -> None:
        period = await load.period(ctx)
        shown = {"_id": 0, "pilot_id": 1, "drain": 1, "heard_by": 1}
        ids = {"$in": sorted({one.pilot_id for one in batch})}
        rows = {row["pilot_id"]: row async for row in ctx.db.pilots.find({"pilot_id": ids}, shown)}
        present = [one for one in batch if one.pilot_id in rows]
        await self._write_pilots(ctx, present, rows, period)
        lost = await leases.extend_many(ctx, [(one.pilot_id, one.tasks) for one in present])
        for one in batch:
            if one.pilot_id in rows:
                drain = bool(rows[one.pilot_id].get("drain"))
                stop = [task_id for task_id, instance in one.tasks.items() if (task_id, instance) in lost]
                one.heard.set_result({**promise(ctx, one.pilot_id), "stop": stop, "drain": drain})
            else:
                self.written.pop(one.pilot_id, None)
                one.heard.set_exception(NotFound("Pilot not found"))

    async def _write_pilots(self, ctx: Context, batch: Sequence[_Beat], rows: dict[str, Document],
                            period: float) -> None:
        """Note that they live; what else they say is written when it is new."""
        common: Document = {"last_update": timestamp(), "beats": True, "heartbeat_seconds": period}
        same, writes = list[str](), list[UpdateMany | UpdateOne]()
        for one in batch:
            said = {**one.fields, "tasks": sorted(one.tasks)}
            if rows[one.pilot_id].get("heard_by") == ctx.server_id and self.written.get(one.pilot_id) == said:
                same.append(one.pilot_id)
                continue
            self._keep(one.pilot_id, said)
            new = {"$set": {**said, **common, "heard_by": ctx.server_id}}
            writes.append(UpdateOne({"pilot_id": one.pilot_id}, new))
        if same:
            writes.append(UpdateMany({"pilot_id": {"$in": same}}, {"$set": common}))
        if writes:
            await ctx.db.pilots.bulk_write(writes, ordered=False)

    def _keep(self, pilot_id: str, said: Document) -> None:
        self.written[pilot_id] = said
        self.written.move_to_end(pilot_id)
        while len(self.written) > MOST_KEPT:
            self.written.popitem(last=False)


_all: WeakKeyDictionary[Signals, _Batches] = WeakKeyDictionary()


async def beat(ctx: Context, pilot_id: str, tasks: dict[str, str], fields: Document) -> Document:
    """A pilot is alive and holds `tasks` (id → instance_id): extend their leases and say which to stop.

    Raises BadRequest, NotFound for a pilot that is not registered.
    """
    pilots.check(fields)
    batches = _all.setdefault(ctx.signals, _Batches())
    one = _Beat(pilot_id, tasks, fields, asyncio.get_running_loop().create_future())
    batches.waiting.append(one)
    if batches.writing is None:
        batches.writing = asyncio.create_task(batches.write(ctx))
    return await one.heard


def is_known(ctx: Context, pilot_id: str) -> bool:
    """Whether this process has written something of the pilot, so it is registered."""
    return pilot_id in _all.setdefault(ctx.signals, _Batches()).written


def promise(ctx: Context, pilot_id: str) -> Document:
    """What every pilot is told: how long its leases last, how often to say that it lives."""
    return {"lease_seconds": load.lease_seconds(ctx, pilot_id),
            "grace_seconds": ctx.settings.leases.grace_hours * 3600,
            "heartbeat_seconds": load.heartbeat_period(load.known(ctx))}


