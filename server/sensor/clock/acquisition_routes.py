"""Routes of the acquisitions."""

from __future__ import annotations

import asyncio
from datetime import datetime

from server.common.errors import NotFound
from server.rest.routing import Route, allow
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.showing import shown
from server.sensor.clock import asking
from server.sensor.common import sigmf
from server.sensor.common.errors import FieldErrors
from server.sensor.common.handler import PREFIX, SensorHandler
from server.sensor.schedule import entries

__all__ = ["ROUTES"]


class Overview(SensorHandler):
    """How many acquisitions there are."""

    @allow("any")
    async def get(self) -> None:
        """Each entry with the number of its acquisitions."""
        numbers = await acquisitions.counts(self.ctx)
        where = self.addresses
        self.send([{"url": where.run(entry.name), "acquisitions_available": numbers.get(entry.name, 0),
                    "schedule_entry": where.entry(entry.name)}
                   for entry in await entries.all_entries(self.ctx)])


class OfEntry(SensorHandler):
    """The acquisitions of an entry."""

    @allow("any")
    async def get(self, schedule_entry_name: str) -> None:
        """The acquisitions of an entry, the oldest first; 404 while there is none."""
        offset, limit = self.window()
        ordering = self.query("ordering") or "task_id"
        if ordering.lstrip("-") not in ("task_id", "created"):
            raise FieldErrors.of("ordering", f'"{ordering[:50]}" is not a valid choice: task_id, created.')
        found = await acquisitions.listed(self.ctx, schedule_entry_name, skip=offset, limit=limit,
                                          newest=ordering.startswith("-"))
        if not found and not await acquisitions.listed(self.ctx, schedule_entry_name, limit=1):
            raise NotFound("Not found.")
        self.send([shown(run, self.addresses) for run in found])

    @allow("any")
    async def delete(self, schedule_entry_name: str) -> None:
        """Delete all acquisitions of an entry."""
        asking.check_owner(self.user, await entries.get(self.ctx, schedule_entry_name))
        found = await acquisitions.listed(self.ctx, schedule_entry_name)
        if not found:
            raise NotFound("Not found.")
        await acquisitions.remove(self.ctx, found)
        self.nothing()


class One(SensorHandler):
    """One acquisition."""

    @allow("any")
    async def get(self, schedule_entry_name: str, task_id: str) -> None:
        """The acquisition with its metadata."""
        self.send(shown(await acquisitions.get(self.ctx, schedule_entry_name, task_id), self.addresses))

    @allow("any")
    async def delete(self, schedule_entry_name: str, task_id: str) -> None:
        """Delete the acquisition."""
        run = await acquisitions.get(self.ctx, schedule_entry_name, task_id)
        asking.check_owner(self.user, await entries.get(self.ctx, schedule_entry_name))
        await acquisitions.remove_one(self.ctx, run)
        self.nothing()


class Archive(SensorHandler):
    """The data of an acquisition."""

    @allow("any")
    async def get(self, schedule_entry_name: str, task_id: str) -> None:
        """A SigMF archive with metadata and data; 404 when the run left no data."""
        run = await acquisitions.get(self.ctx, schedule_entry_name, task_id)
        data = await acquisitions.data_of(self.ctx, run)
        modified = datetime.fromisoformat(run.finished or run.started).timestamp()
        content = await asyncio.to_thread(sigmf.archive, run.label, run.described(), data, modified)
        self.set_header("Content-Type", "application/x-tar")
        self.set_header("Content-Disposition", f'attachment; filename="{run.label}.sigmf"')
        self.finish(content)


_OF_ENTRY = f"{PREFIX}/acquisitions/{{schedule_entry_name:any}}/"

ROUTES = [
    Route(f"{PREFIX}/acquisitions/", Overview, "sensor", loose=True),
    Route(_OF_ENTRY, OfEntry, "sensor", loose=True),
    Route(_OF_ENTRY + "{task_id:any}/", One, "sensor", loose=True),
    Route(_OF_ENTRY + "{task_id:any}/archive", Archive, "sensor", loose=True),
]
