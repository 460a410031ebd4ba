"""Routes of the acquisitions."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from server.common.errors import NotFound
from server.rest.routing import Route, allow
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.clock import asking
from server.sensor.common import sigmf
from server.sensor.common.errors import FieldErrors
from server.sensor.common.handler import PREFIX, SensorHandler
from server.sensor.schedule import entries

__all__ = ["ROUTES", "duration"]


class _Acquisitions(SensorHandler):
    """What the handlers of acquisitions share."""

    def shown(self, run: Acquisition) -> dict[str, Any]:
        """An acquisition as clients see it: fields of the API's first age, then those of later ones."""
        address = self.run_address(run.entry, run.task_id)
        archive, described = f"{address}archive", run.described()
        data = [{"recording_id": 1, "archive": archive, "metadata": described}] if run.size else []
        return {
            "url": address, "task_id": run.task_id, "created": run.created, "archive": archive,
            "sigmf_metadata": described, "self": address, "schedule_entry": self.entry_address(run.entry),
            "status": run.status.value, "detail": run.detail, "started": run.started,
            "finished": run.finished, "duration": duration(run), "data": data, "grid": run.grid,
            "action": run.action, "time": run.time, "missed": run.missed, "skipped": run.skipped,
            "asked_by": run.asked_by}


def duration(run: Acquisition) -> str | None:
    """How long a run took, as ``HH:MM:SS.ffffff`` (with days before it); None while it lasts."""
    if run.finished is None:
        return None
    spent = max(0.0, (_moment(run.finished) - _moment(run.started)).total_seconds())
    minutes, seconds = divmod(spent, 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    return (f"{days} " if days else "") + f"{hours:02}:{minutes:02}:{seconds:09.6f}"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Overview(SensorHandler):
    """How many acquisitions there are."""

    @allow("any")
    async def get(self) -> None:
        """Each entry with the number of its acquisitions."""
        numbers = await acquisitions.counts(self.ctx)
        self.send([{"url": self.run_address(entry.name), "acquisitions_available": numbers.get(entry.name, 0),
                    "schedule_entry": self.entry_address(entry.name)}
                   for entry in await entries.all_entries(self.ctx)])


class OfEntry(_Acquisitions):
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
        self.send([self.shown(run) for run in found])

    @allow("any")
    async def delete(self, schedule_entry_name: str) -> None:
        """Delete all acquisitions of an entry."""
        asking.check_owner(self.user, await entries.get(self.ctx, schedule_entry_name))
        found = await acquisitions.listed(self.ctx, schedule_entry_name)
        if not found:
            raise NotFound("Not found.")
        await acquisitions.remove(self.ctx, found)
        self.nothing()


class One(_Acquisitions):
    """One acquisition."""

    @allow("any")
    async def get(self, schedule_entry_name: str, task_id: str) -> None:
        """The acquisition with its metadata."""
        self.send(self.shown(await acquisitions.get(self.ctx, schedule_entry_name, task_id)))

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
        modified = _moment(run.finished or run.started).timestamp()
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
