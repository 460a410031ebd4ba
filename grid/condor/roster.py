"""The pilots of a site as the server knows them, joined with their jobs."""

from __future__ import annotations

import logging
import time
from calendar import timegm
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grid.condor.coverage import BUSY, DRAINING, IDLE, QUEUED, STARTING, Pilot
from grid.condor.site import Site
from grid.condor.tracker import LOST, Job
from iceprod.client import Client, Refused

__all__ = ["Entry", "Roster", "read_time"]

_KEYS = ("grid_queue_id|queue_host|tasks|last_update|submit_date|host|drain|resources_available|version|"
         "heartbeat_seconds|batch")
_REMEMBERED = 20_000  # pilots by job
_SILENT_BEATS = 4  # missed heartbeats after which a pilot that HTCondor lost is taken for dead

log = logging.getLogger("grid.condor")


@dataclass(frozen=True)
class Entry:
    """What the server knows of one pilot."""

    pilot_id: str
    job: str
    tasks: int = 0
    registered: float = 0.0
    heard: str = ""  # the server's time of it, as text
    drains: bool = False
    free: dict[str, Any] = field(default_factory=dict)
    host: str = ""
    batch: str = ""
    beat_seconds: float = 0.0  # between heartbeats, as the server asked for


class Roster:
    """Reads the server's pilots and takes out those whose jobs are over."""

    def __init__(self, client: Client, site: Site, queue_host: str) -> None:
        self._client, self._site, self._queue_host = client, site, queue_host
        self._idle_since: dict[str, float] = {}
        self._heard: dict[str, tuple[str, float]] = {}  # what was heard last, and when on our clock
        self.entries: list[Entry] = []
        self._names: OrderedDict[str, str] = OrderedDict()  # pilots by job, also of those that are over

    def read(self) -> None:
        """Ask the server. Raises ClientError."""
        rows = self._client.get("/pilots", {"site": self._site.site, "keys": _KEYS})
        self.entries = [entry for pilot_id, row in rows.items()
                        if row.get("queue_host") == self._queue_host and (entry := _entry(pilot_id, row)).job]
        self._names.update((entry.job, entry.pilot_id) for entry in self.entries)
        while len(self._names) > _REMEMBERED:
            self._names.popitem(last=False)
        now, before = time.monotonic(), self._heard
        self._heard = {entry.pilot_id: (entry.heard, now) for entry in self.entries}
        for pilot_id, (text, when) in before.items():
            if self._heard.get(pilot_id, ("",))[0] == text:
                self._heard[pilot_id] = text, when

    def clean(self, jobs: Mapping[str, Job], restarted: set[str]) -> list[Entry]:
        """Take out pilots that are no more, so that their tasks go to others at once; who went.

        A pilot is no more when its job is not in the queue, when it came with another submit (of an earlier
        queue with the same numbers), when its job started again, or when HTCondor lost it and so did we. The
        server's times are compared with each other only, for its clock is not ours. Raises ClientError.
        """
        newest: dict[str, float] = {}
        for entry in self.entries:
            newest[entry.job] = max(entry.registered, newest.get(entry.job, 0.0))
        gone = [entry for entry in self.entries
                if self._is_gone(entry, jobs.get(entry.job))
                or (entry.job in restarted and entry.registered < newest[entry.job])]
        for entry in gone:
            self.delete(entry)
        self.entries = [entry for entry in self.entries if entry not in gone]
        return gone

    def tell_end(self, job: str, kind: str, reason: str) -> None:
        """Tell the server why a pilot's job is over: its tasks end so. Raises ClientError."""
        pilot_id = self._names.get(job)
        if pilot_id is not None:
            self._client.post(f"/pilots/{pilot_id}/end", {"kind": kind, "reason": reason}, repeat=True)
            self._names.pop(job, None)

    def delete(self, entry: Entry) -> None:
        """Take out one pilot. Raises ClientError."""
        try:
            self._client.delete(f"/pilots/{entry.pilot_id}")
        except Refused as error:
            if error.status != 404:
                raise

    @property
    def lacks_scanner(self) -> bool:
        """Whether most pilots found nothing there to reconstruct pixels with."""
        return 2 * sum(entry.free.get("kind") == "script" for entry in self.entries) > len(self.entries)

    def drain(self, ids: Iterable[str]) -> None:
        """Tell the pilots of some jobs to take no more tasks. Raises ClientError."""
        wanted = set(ids)
        for entry in self.entries:
            if entry.job in wanted:
                self._client.patch(f"/pilots/{entry.pilot_id}", {"drain": True})

    def pilots(self, jobs: Mapping[str, Job], now: float) -> list[Pilot]:
        """The living pilots, as the decision wants them."""
        known = {entry.job: entry for entry in self.entries}
        pilots = [self._pilot(job, known.get(id), now) for id, job in jobs.items()]
        idle = {pilot.id for pilot in pilots if pilot.state == IDLE}
        self._idle_since = {id: since for id, since in self._idle_since.items() if id in idle}
        return pilots

    def _pilot(self, job: Job, entry: Entry | None, now: float) -> Pilot:
        age = max(0.0, now - job.started) if job.started else 0.0
        state, seconds = self._state(job, entry, now, age)
        free = entry.free if entry is not None and state == BUSY else None
        return Pilot(job.id, job.shape, state, seconds, 0.0 if state == QUEUED else age, free, job.host,
                     job.rank)

    def _state(self, job: Job, entry: Entry | None, now: float, age: float) -> tuple[str, float]:
        """A pilot's state, and seconds in it where somebody asks."""
        if entry is None:
            if job.state == QUEUED:
                return QUEUED, now - job.submitted
            return (DRAINING if job.state == LOST else STARTING), age
        if entry.drains or job.state == LOST:
            return DRAINING, 0.0
        if entry.tasks:
            return BUSY, 0.0
        if entry.free.get("slots") == 0:
            return STARTING, 0.0  # it prepares for pixels
        since = self._idle_since.setdefault(job.id, now)
        return IDLE, now - since

    def _is_gone(self, entry: Entry, job: Job | None) -> bool:
        if job is None or (entry.batch and job.batch and entry.batch != job.batch):
            return True
        silent = time.monotonic() - self._heard[entry.pilot_id][1]
        period = max(self._site.pilot.heartbeat_seconds, entry.beat_seconds)
        return job.state == LOST and silent > _SILENT_BEATS * period


def _entry(pilot_id: str, row: dict[str, Any]) -> Entry:
    return Entry(pilot_id, str(row.get("grid_queue_id") or ""), len(row.get("tasks") or ()),
                 read_time(row.get("submit_date")), str(row.get("last_update", "")), bool(row.get("drain")),
                 row.get("resources_available") or {}, str(row.get("host") or ""),
                 str(row.get("batch") or ""), float(row.get("heartbeat_seconds") or 0.0))


def read_time(text: Any) -> float:
    """Seconds since 1970 of a UTC time as the server writes it; 0 for none."""
    try:
        whole, _, fraction = str(text).partition(".")
        return timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")
    except ValueError:
        return 0.0
