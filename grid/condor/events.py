"""HTCondor's job event log, as the few things that can happen to a pilot.

The log is for speed: what it says arrives within a tenth of a second. What it may have left out is found by
comparing with the queue (`tracker`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from grid.base import GridError
from grid.condor import ends
from grid.condor.schedd import Schedd

__all__ = ["Event", "EventLogs", "What", "read_event"]


_EVICTIONS = 1000  # smaller reason codes are those of holds
_REMOVED = 1023  # because the job was removed


class What(Enum):
    """What happened to a job."""

    STARTED = auto()
    DISCONNECTED = auto()  # HTCondor lost the worker for now
    RECONNECTED = auto()
    ENDED = auto()  # it does not run any more, nor will it
    UNCLEAR = auto()  # look into the queue


@dataclass(frozen=True)
class Event:
    """One thing that happened to one job; `kind` and `reason` are those of an end."""

    id: str
    what: What
    when: float
    host: str = ""
    kind: str = ""
    reason: str = ""
    is_sure: bool = True  # whether nothing that follows at once may give a better reason


def read_event(name: str, id: str, when: float, fields: dict[str, Any]) -> Event | None:
    """What an event of HTCondor means for us; None when nothing."""
    reason = str(fields.get("Reason", ""))
    match name:
        case "EXECUTE":
            return Event(id, What.STARTED, when, host=_host(fields))
        case "JOB_DISCONNECTED":
            return Event(id, What.DISCONNECTED, when)
        case "JOB_RECONNECTED":
            return Event(id, What.RECONNECTED, when)
        case "JOB_RECONNECT_FAILED":
            return Event(id, What.ENDED, when, "", "lost", f"HTCondor lost the worker: {reason}".rstrip(": "))
        case "JOB_EVICTED":
            # Before HTCondor 24 the reason comes with the hold or the removal that follows.
            return Event(id, What.ENDED, when, "", *_eviction(fields, reason), "ReasonCode" in fields)
        case "JOB_ABORTED":
            return Event(id, What.ENDED, when, "", *ends.of_removal(reason))
        case "JOB_HELD":
            code, subcode = int(fields.get("HoldReasonCode", 0)), int(fields.get("HoldReasonSubCode", 0))
            held = ends.of_hold(code, subcode, str(fields.get("HoldReason", "")))
            return Event(id, What.ENDED, when, "", *held)
        case "JOB_TERMINATED":
            return Event(id, What.ENDED, when, "", *_exit(fields))
        case "SHADOW_EXCEPTION" | "EXECUTABLE_ERROR" | "REMOTE_ERROR" | "JOB_RELEASED":
            return Event(id, What.UNCLEAR, when)
    return None


def _eviction(fields: dict[str, Any], reason: str) -> tuple[str, str]:
    """An eviction may be the first half of a removal or of a hold, whose reason it then carries."""
    code = int(fields.get("ReasonCode", 0))
    if code == _REMOVED:
        return ends.of_removal(reason)
    if 0 < code < _EVICTIONS:
        return ends.of_hold(code, int(fields.get("ReasonSubCode", 0)), reason)
    return "evicted", f"evicted: {reason}".rstrip(": ")


def _exit(fields: dict[str, Any]) -> tuple[str, str]:
    if fields.get("TerminatedNormally", True):
        return ends.of_exit(int(fields.get("ReturnValue", 0)), None)
    return ends.of_exit(None, int(fields.get("TerminatedBySignal", 0)))


def _host(fields: dict[str, Any]) -> str:
    return ends.host_of(str(fields.get("SlotName", "")))


class EventLogs:
    """The event logs of a site: a new one now and then, the old ones as long as a job writes into them."""

    def __init__(self, schedd: Schedd, directory: Path) -> None:
        self._schedd, self._directory = schedd, directory
        self._open: dict[Path, Any] = {}

    def new_events(self) -> Iterator[Event]:
        """What happened since the last call. Raises GridError."""
        for path in sorted(self._directory.glob("*.log")):
            if path not in self._open:
                self._open[path] = self._schedd.events(str(path))
            yield from self._read(self._open[path])

    def skip(self) -> None:
        """Leave out what is in the logs already."""
        for _ in self.new_events():
            pass

    def forget(self, used: set[Path]) -> None:
        """Delete the logs that no job writes into."""
        for path in set(self._directory.glob("*.log")) - used:
            self._open.pop(path, None)
            path.unlink(missing_ok=True)

    def _read(self, log: Any) -> Iterator[Event]:
        try:
            for entry in log.events(stop_after=0):
                event = read_event(entry.type.name, f"{entry.cluster}.{entry.proc}", entry.timestamp, entry)
                if event is not None:
                    yield event
        except (self._schedd.log_error(), OSError) as error:
            raise GridError(f"cannot read the event log: {error}") from None
