"""Reports of how tasks ended, and sending them, several at once when tasks are short.

A report waits for others for a moment only while the pilot has more short tasks to run; otherwise it is sent
at once, together with those that came while the last ones were under way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from grid.pilot.ends import End
from iceprod.tracing import traces
from iceprod.tracing.traces import Trace
from iceprod.transport import Client

__all__ = ["Report", "Reports", "note_results", "send_rest", "trace_of"]

PATH = "/task_actions/report_many"
_MOST = 500  # reports in one request
_MOST_CHARACTERS = 4_000_000  # of logs in one request
_GATHER_SECONDS = 0.4

log = logging.getLogger("pilot")


@dataclass
class Report:
    """An end, and what comes with it: what the task printed, by name of the log, and what it used."""

    task_id: str
    instance_id: str
    end: End
    logs: dict[str, str] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    trace: Trace | None = None

    def body(self, site: str) -> dict[str, Any]:
        """Its row in a request."""
        row = {"task_id": self.task_id, "outcome": self.end.outcome,
               **self.end.report(self.instance_id, site)}
        if self.logs:
            row["logs"] = self.logs
        if self.stats:
            row["stats"] = self.stats
        return row

    @property
    def size(self) -> int:
        return sum(map(len, self.logs.values()))


class Reports:
    """Reports that wait to be sent, in order. Safe to use from many threads."""

    def __init__(self) -> None:
        self._waiting: list[Report] = []
        self._sending = self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, report: Report) -> None:
        with self._changed:
            self._waiting.append(report)
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody waits for reports any more: those that are there are all."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def held(self) -> list[Report]:
        """Those that nobody sent yet."""
        with self._changed:
            return list(self._waiting)

    def next(self, seconds: float, others_come: Callable[[], bool] = lambda: False) -> list[Report]:
        """The next to be sent together, as soon as there are any; waits so long for the first. They stay.

        While others come soon, it waits a moment for them.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, seconds)
            if self._waiting:
                self._changed.wait_for(
                    lambda: len(self._waiting) >= _MOST or self._closed or not others_come(),
                    _GATHER_SECONDS)
            return _portion(self._waiting)

    def sending(self, now: bool) -> None:
        """Some are being sent, or have been answered."""
        with self._changed:
            self._sending = now
            self._changed.notify_all()

    def wait_for_answer(self, seconds: float) -> None:
        """Wait for the server's answer to those that are being sent, if any are."""
        with self._changed:
            self._changed.wait_for(lambda: not self._sending, seconds)

    def settle(self, seconds: float) -> None:
        """Wait until all that are there now are sent and answered, or for so long."""
        with self._changed:
            if self._waiting:
                latest = self._waiting[-1]
                self._changed.wait_for(lambda: all(report is not latest for report in self._waiting), seconds)

    def remove(self, batch: list[Report]) -> None:
        """They are sent, or of no use any more."""
        with self._changed:
            gone = set(map(id, batch))
            self._waiting = [report for report in self._waiting if id(report) not in gone]
            self._changed.notify_all()


def _portion(waiting: list[Report]) -> list[Report]:
    size, count = 0, 0
    for report in waiting[:_MOST]:
        size += report.size
        if count and size > _MOST_CHARACTERS:
            break
        count += 1
    return waiting[:count]


def trace_of(batch: list[Report]) -> Trace | None:
    """The trace that reports belong to, if all belong to one."""
    first = batch[0].trace
    ids = {report.trace.trace_id if report.trace else "" for report in batch}
    return first if len(ids) == 1 else None


def note_results(batch: list[Report], answer: Any) -> None:
    """Log what the server said to each of a batch."""
    results = answer.get("results") if isinstance(answer, dict) else None
    for report, result in zip(batch, results or []):  # noqa: B905 (Python 3.9 knows no strict)
        end = report.end
        if result.get("status") == 200:
            log.info("task %s: %s %s (%.2f s)", report.task_id, end.outcome, end.reason, end.seconds)
        else:
            log.warning("task %s: the server refused %s: %s", report.task_id, end.outcome,
                        result.get("reason"))


def send_rest(reports: Reports, client: Client, site: str, pilot_id: str) -> None:
    """Send what is left when the pilot ends. Raises the client's errors."""
    while True:
        batch = reports.next(0.0)
        if not batch:
            return
        body = {"reports": [report.body(site) for report in batch], "pilot_id": pilot_id}
        with traces.within(trace_of(batch)):
            note_results(batch, client.post(PATH, body, repeat=True))
        reports.remove(batch)
