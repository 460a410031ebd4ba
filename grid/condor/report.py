"""What a site tells the server about itself, and what it is told in return."""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from grid.base import PilotClass
from grid.condor.coverage import BUSY, DRAINING, IDLE, QUEUED, STARTING, Pilot
from grid.condor.decide import Control, Decision
from grid.condor.ends import End
from grid.condor.hosts import Excluded
from grid.condor.site import Site
from grid.moving.items import Means
from grid.pilot.options import means_from
from iceprod.installation import write_private

__all__ = ["VERSION", "Log", "body", "read_control"]

VERSION = "1"
_KEPT = 20  # of the latest ends
_REMEMBERED = 1000
_TAIL = 500  # characters of what a pilot printed
_STATUSES = {QUEUED: "IDLE", STARTING: "RUNNING", IDLE: "RUNNING", BUSY: "RUNNING", DRAINING: "RUNNING"}
_WORDS = {QUEUED: "Queued", STARTING: "Starting", IDLE: "Waiting", BUSY: "Tasking", DRAINING: "Stopping"}


log = logging.getLogger("grid.condor")


class _Stored(msgspec.Struct):
    """What is kept over restarts."""

    ends: list[tuple[End, str]] = []
    counts: dict[str, int] = {}


class Log:
    """The latest ends, how many of which kind there ever were, and which errors came in the last day.

    `path` is the file that keeps them when the grid is started again; one that cannot be read is begun anew.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._is_saved = path, True
        stored = _load(path)
        self._ends: deque[tuple[End, str]] = deque(stored.ends, maxlen=_REMEMBERED)
        self.counts: Counter[str] = Counter(stored.counts)

    def add(self, end: End, output: str = "") -> None:
        """An end, and the last lines that the pilot printed."""
        self._ends.append((end, output[-_TAIL:]))
        self.counts[end.kind] += 1
        self._is_saved = False

    def save(self) -> None:
        """Write the file, if there is something new."""
        if self._path is not None and not self._is_saved:
            write_private(self._path, msgspec.json.encode(_Stored(list(self._ends), dict(self.counts))))
            self._is_saved = True

    def latest(self) -> list[dict[str, Any]]:
        """The latest ends, the newest last."""
        return [{"queue_id": end.id, "kind": end.kind, "reason": end.reason, "host": end.host,
                 "time": _time(end.when), "seconds": round(end.lived, 1), "output": text}
                for end, text in list(self._ends)[-_KEPT:]]

    def top_errors(self) -> dict[str, int]:
        """The ten most frequent reasons of ends that were faults, in the last day."""
        recent = time.time() - 86400
        reasons = Counter(end.reason for end, _ in self._ends if end.is_fault and end.when > recent)
        return dict(reasons.most_common(10))


def _load(path: Path | None) -> _Stored:
    if path is None or not path.exists():
        return _Stored()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Stored)
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("%s is not read: %s", path, error)
        return _Stored()


def body(site: Site, pilots: Iterable[Pilot], kept: Log, decision: Decision | None, trouble: str,
         queue: tuple[str, str], state: str = "active", excluded: Sequence[Excluded] = (),
         backs_off: str = "", queue_seconds: float = 0.0) -> dict[str, Any]:
    """The site's heartbeat; `queue` is the schedd's name and version, `state` the wish that it follows."""
    pilots = list(pilots)
    statuses: dict[str, Counter[str]] = {}
    for pilot in pilots:
        statuses.setdefault(_STATUSES[pilot.state], Counter())[_WORDS[pilot.state]] += 1
    return {
        "host": socket.getfqdn(), "site": site.site, "version": VERSION, "queues": {queue[0]: "htcondor"},
        "queue_version": queue[1], "pilots": dict(Counter(pilot.state for pilot in pilots)),
        "statuses": {name: dict(words) for name, words in statuses.items()},
        "resources": _total(pilot.offer for pilot in pilots if pilot.state != QUEUED),
        "limits": msgspec.to_builtins(site.limits), "largest": msgspec.to_builtins(site.largest),
        "ends": kept.latest(), "end_counts": dict(kept.counts), "top_errors": kept.top_errors(),
        "schemes": _schemes(site), "task_classads": list(site.pilot.task_classads),
        "gpus": msgspec.to_builtins(site.gpus), "preemptible": site.pilot.preemptible,
        "decision": _told(decision), "state": state, "trouble": trouble or backs_off,
        "backs_off": backs_off, "queue_seconds": round(queue_seconds, 1),
        "free": 0 if decision is None else decision.free,
        "excluded_hosts": msgspec.to_builtins(list(excluded))}


def read_control(grid: dict[str, Any]) -> Control:
    """What administrators want of the site, from the server's grid. Raises ValidationError."""
    return msgspec.convert(grid.get("control") or {}, Control)


def _schemes(site: Site) -> list[str]:
    """The schemes of addresses that its pilots can move."""
    given = Means({**means_from([], "", site.pilot.environment).commands, **site.pilot.transfers})
    return given.schemes()


def _told(decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return {}
    return {"reasons": list(decision.reasons),
            "covered": [{"class_key": key, "tasks": number} for key, number in decision.covered.items()],
            "submit": [{"count": order.count, "shape": msgspec.to_builtins(order.shape)}
                       for order in decision.submit],
            "unserved": [msgspec.to_builtins(one) for one in decision.unserved]}


def _total(offers: Iterable[PilotClass]) -> dict[str, float]:
    total = {"cpu": 0.0, "gpu": 0.0, "memory": 0.0, "disk": 0.0}
    for offer in offers:
        for name, value in zip(total, (offer.cores, offer.gpus, offer.memory_gb, offer.disk_gb), strict=True):
            total[name] += value
    return total


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
