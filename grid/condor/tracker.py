"""Where the pilots of a site stand, from the event log and from the queue itself.

The event log tells at once, the queue tells everything: they are compared at the start, now and then, and
when the log is unclear or HTCondor was away. A pilot starts only once: one that was evicted, held or
lost is over, and its job is removed.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grid.base import GridError, PilotClass
from grid.condor import ends, jobs
from grid.condor.ends import End
from grid.condor.events import Event, EventLogs, What
from grid.condor.schedd import Ad, Schedd
from grid.condor.site import Site

__all__ = ["LOST", "QUEUED", "RUNNING", "Job", "Tracker"]

QUEUED, RUNNING, LOST = "queued", "running", "lost"

_IDLE, _RUNS, _REMOVED, _COMPLETED, _HELD = 1, 2, 3, 4, 5  # JobStatus
_ATTRIBUTES = [*jobs.SHAPE, jobs.TRAITS, "JobStatus", "QDate", "JobStartDate", "JobCurrentStartDate",
               "NumJobStarts", "NumShadowStarts", "RemoteHost", "EnteredCurrentStatus", "HoldReason",
               "HoldReasonCode",
               "HoldReasonSubCode", "RemoveReason", "ExitCode", "ExitBySignal", "ExitSignal", "UserLog",
               "LastRemoteHost", "CompletionDate", "JobPrio", jobs.AVOIDED, "IceProdBatch", "ServerTime"]
_WITHOUT_LOG_SECONDS = 5.0
_SPOOLING, _SPOOL_SECONDS = 16, 300.0  # held while its files are on their way to the schedd
_REASON_SECONDS = 0.5  # between an eviction and what it was part of
_WEIGHT = 0.2  # of the latest pilot in a moving mean
_REMEMBERED = 20_000  # ended jobs whose late news are ignored

log = logging.getLogger("grid.condor")


@dataclass
class Job:
    """The job of one pilot. Times are seconds since 1970, 0 for never."""

    id: str
    shape: PilotClass
    submitted: float
    state: str = QUEUED
    started: float = 0.0
    starts: int = 0
    host: str = ""
    log: str = ""
    rank: int = 0  # HTCondor's priority of the job
    avoids: str = ""  # machines that it may not start on
    batch: str = ""  # of its submit
    seen: float = 0.0  # when it was submitted, on our own clock; 0 when we were not there


@dataclass
class Tracker:
    """The jobs of a site that are not over."""

    site: Site
    schedd: Schedd
    logs: EventLogs
    jobs: dict[str, Job] = field(default_factory=dict)
    restarted: set[str] = field(default_factory=set)  # started again behind our back

    def __post_init__(self) -> None:
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._unsure: dict[str, tuple[float, Event]] = {}  # ends whose reason may yet come, and since when
        self._leftover: set[str] = set()  # over for us, and still in the queue
        self._compared = 0.0
        self._unclear = True
        self._new = True
        self.queue_seconds = 60.0  # that pilots waited in the queue, of late

    def follow(self) -> list[End]:
        """What ended since the last time. Raises GridError when HTCondor does not answer."""
        found = self.glance()
        if self._unclear or time.time() - self._compared > self._query_seconds:
            found += self.compare()
        self._sweep()
        return found

    @property
    def _query_seconds(self) -> float:
        """The queue is all that we see of a schedd that shares no files with us."""
        seconds = self.site.pace.query_seconds
        return min(seconds, _WITHOUT_LOG_SECONDS) if self.schedd.spools else seconds

    def glance(self) -> list[End]:
        """What ended since the last time, as the event log tells. Raises GridError."""
        if self._new:
            self.logs.skip()  # the queue will be asked
            self._new = False
        found = [end for event in self.logs.new_events() if (end := self._apply(event)) is not None]
        now = time.monotonic()
        late = [event for since, event in self._unsure.values() if now - since > _REASON_SECONDS]
        return found + [self._end(self.jobs[event.id], event.kind, event.reason)
                        for event in late]

    def add(self, ids: Iterable[str], shape: PilotClass, log: Path, rank: int = 0, avoids: str = "",
            batch: str = "") -> None:
        """Jobs were submitted."""
        moment = time.time()
        for id in ids:
            self.jobs[id] = Job(id, shape, moment, log=str(log), rank=rank, avoids=avoids, batch=batch,
                                seen=time.monotonic())

    def avoid(self, hosts: str) -> None:
        """Let queued jobs start on none of these machines. Raises GridError."""
        wrong = [job for job in self.jobs.values() if job.state == QUEUED and job.avoids != hosts]
        self.schedd.edit([job.id for job in wrong], jobs.AVOIDED, f'"{hosts}"')
        for job in wrong:
            job.avoids = hosts

    def rank(self, ids: Iterable[str], rank: int) -> None:
        """Give queued jobs another priority. Raises GridError."""
        names = [id for id in ids if id in self.jobs]
        self.schedd.edit(names, "JobPrio", str(rank))
        for id in names:
            self.jobs[id].rank = rank

    def remove(self, ids: Iterable[str], kind: str, why: str) -> list[End]:
        """Remove jobs; their ends. Raises GridError."""
        names = [id for id in ids if id in self.jobs]
        self.schedd.remove(names, f"iceprod: {why}")
        return [self._end(self.jobs[id], kind, why) for id in names]

    def compare(self) -> list[End]:
        """Make our picture equal to HTCondor's queue. Raises GridError."""
        ads = {ad["Id"]: ad for ad in self.schedd.query(jobs.constraint(self.site), _ATTRIBUTES)}
        found = [end for ad in ads.values() if (end := self._see(ad)) is not None]
        gone = [id for id in self.jobs if id not in ads]
        past = {ad["Id"]: ad for ad in self.schedd.history(gone, _ATTRIBUTES)} if gone else {}
        found += [self._end(self.jobs[id], *_past(past.get(id))) for id in gone]
        self._compared, self._unclear = time.time(), False
        if self.schedd.spools:
            self._fetch([end.id for end in found if end.id in ads and end.kind != "removed"])
        return found

    def tidy(self, current: Path) -> None:
        """Delete the event logs that nobody writes into any more; `current` is kept."""
        self.logs.forget({current} | {Path(job.log) for job in self.jobs.values()})

    # -- the event log

    def _apply(self, event: Event) -> End | None:
        job = self.jobs.get(event.id)
        if job is None:
            return None
        match event.what:
            case What.STARTED:
                self._start(job, event)
            case What.DISCONNECTED:
                job.state = LOST
            case What.RECONNECTED:
                job.state = RUNNING
            case What.UNCLEAR:
                self._unclear = True
            case What.ENDED:
                if not event.is_sure:
                    self._unsure[job.id] = time.monotonic(), event
                    return None
                if event.kind not in ("finished", "failed", "killed", "removed"):
                    self._leftover.add(job.id)
                return self._end(job, event.kind, event.reason)
        return None

    def _start(self, job: Job, event: Event) -> None:
        job.starts += 1
        if job.starts > 1:
            self.restarted.add(job.id)
        if job.starts == 1 and job.state == QUEUED and job.seen:
            waited = time.monotonic() - job.seen
            self.queue_seconds += _WEIGHT * (waited - self.queue_seconds)
        job.state, job.started, job.host = RUNNING, time.time(), event.host or job.host

    # -- the queue

    def _see(self, ad: Ad) -> End | None:
        """Take over what the queue says of one job; its end, if that is news."""
        id, status = ad["Id"], ad.get("JobStatus")
        if id in self._ended:
            if status in (_IDLE, _HELD) or (status == _RUNS and id in self._leftover):
                self._leftover.add(id)
            return None
        if status == _HELD and int(ad.get("HoldReasonCode", 0)) == _SPOOLING and _ago(ad) < _SPOOL_SECONDS:
            return None
        job = self.jobs.setdefault(id, Job(id, jobs.shape_of(ad, self.site.site), _ours(ad, "QDate")))
        job.batch = str(ad.get("IceProdBatch", ""))
        job.host = job.host or ends.host_of(str(ad.get("LastRemoteHost", "")))
        job.avoids = str(ad.get(jobs.AVOIDED, ""))
        job.log, job.rank = str(ad.get("UserLog", "")), int(ad.get("JobPrio", 0))
        if status == _HELD:
            self._leftover.add(id)
            hold = int(ad.get("HoldReasonCode", 0)), int(ad.get("HoldReasonSubCode", 0))
            return self._end(job, *ends.of_hold(*hold, str(ad.get("HoldReason", ""))), _lived(ad))
        if status == _IDLE and int(ad.get("NumJobStarts", 0)) > 0:
            self._leftover.add(id)
            return self._end(job, "evicted", "evicted; a pilot starts only once", _lived(ad))
        if status in (_REMOVED, _COMPLETED):
            return self._end(job, *_past(ad))
        self._note(job, ad)
        return None

    def _note(self, job: Job, ad: Ad) -> None:
        if ad.get("JobStatus") != _IDLE and job.state == QUEUED:
            job.state = RUNNING
            job.started = _ours(ad, "JobCurrentStartDate")
            job.starts = max(job.starts, 1)
        job.host = ends.host_of(str(ad.get("RemoteHost", ""))) or job.host

    def _fetch(self, ids: list[str]) -> None:
        """Bring back what pilots printed; without, their jobs would stay in the queue for days."""
        try:
            self.schedd.fetch(ids)
        except GridError as error:
            log.warning("%s", error)
        self._leftover |= set(ids)

    # -- the end

    def _end(self, job: Job, kind: str, reason: str, lived: float | None = None) -> End:
        """A job is over; `lived` is how long it ran, when HTCondor tells."""
        self.jobs.pop(job.id, None)
        if self._unsure.pop(job.id, None):
            self._leftover.add(job.id)
        self.restarted.discard(job.id)
        self._ended[job.id] = None
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        now = time.time()
        if lived is None:
            lived = max(0.0, now - job.started) if job.started else 0.0
        return End(job.id, kind, reason, now, job.host, lived, job.shape)

    def _sweep(self) -> None:
        """Take what is over out of the queue. When HTCondor is away just now it is tried again."""
        if not self._leftover:
            return
        try:
            self.schedd.remove(sorted(self._leftover), "iceprod: a pilot starts only once")
            self._leftover.clear()
        except GridError as error:
            log.warning("%s", error)


def _ago(ad: Ad, name: str = "EnteredCurrentStatus") -> float:
    """How long ago something was, by the schedd's own clock."""
    now = float(ad.get("ServerTime") or time.time())
    return max(0.0, now - float(ad.get(name) or now))


def _ours(ad: Ad, name: str) -> float:
    """A time of the schedd's clock as one of ours."""
    return time.time() - _ago(ad, name if ad.get(name) else "EnteredCurrentStatus")


def _lived(ad: Ad) -> float | None:
    """How long a job ran, from times of one clock; None when it says nothing of a start."""
    start = ad.get("JobCurrentStartDate") or ad.get("JobStartDate")
    end = ad.get("CompletionDate") or ad.get("EnteredCurrentStatus")
    return max(0.0, float(end) - float(start)) if start and end else None


def _past(ad: Ad | None) -> tuple[str, str, float | None]:
    """Kind and reason of the end of a job that is over, and how long it ran."""
    if ad is None:
        return "vanished", "it is not in the queue any more, nor in the history", None
    if ad.get("JobStatus") == _COMPLETED:
        number: Any = ad.get("ExitSignal") if ad.get("ExitBySignal") else None
        return (*ends.of_exit(ad.get("ExitCode"), number), _lived(ad))
    return (*ends.of_removal(str(ad.get("RemoveReason", ""))), _lived(ad))
