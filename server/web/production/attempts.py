"""The attempts at a task, each with what it left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from server.production.common.documents import Document

__all__ = ["Attempt", "attempts_of"]

NEAR_SECONDS = 120.0  # a log that came so long before or after an end belongs to it
_STATES = {"complete": "complete", "evicted": "evicted", "failed": "failed", "reset": "failed"}


@dataclass
class Attempt:
    """One try of a task: its end, or that it runs."""

    time: str  # of its end; of its beginning while it runs
    outcome: str
    host: str = ""
    site: str = ""
    reason: str = ""
    rule: str = ""
    seconds: float | None = None
    by: str = ""
    logs: list[Document] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The outcome as pages name it."""
        return _STATES.get(self.outcome, self.outcome)


def attempts_of(task: Document, logs: Sequence[Document]) -> list[Attempt]:
    """All that is known, the latest first: a task keeps its last failures and evictions, and a good end.

    Logs come with an end or just before it; those of attempts that nobody remembers are an attempt of theirs.
    """
    found = [Attempt(row["time"], row["outcome"], row.get("host", ""), row.get("site", ""),
                     row.get("reason", ""), row.get("rule", ""), row.get("seconds"), row.get("by", ""))
             for row in task.get("attempts") or ()]
    ended = task.get("ended") or {}
    if ended.get("outcome") == "complete":
        found.append(Attempt(ended["time"], "complete", site=task.get("site", ""),
                             seconds=3600 * task.get("walltime", 0.0) or None))
    for log in sorted(logs, key=lambda log: str(log["timestamp"])):
        _attempt_of(found, log).logs.append(log)
    if task["status"] == "processing":
        found.append(Attempt(task["status_changed"], "processing", site=task.get("site", "")))
    return sorted(found, key=lambda attempt: attempt.time, reverse=True)


def _attempt_of(found: list[Attempt], log: Document) -> Attempt:
    """The attempt that a log belongs to; a new one when none is near."""
    nearest = min(found, key=lambda one: _apart(one.time, log["timestamp"]), default=None)
    if nearest is None or _apart(nearest.time, log["timestamp"]) > NEAR_SECONDS:
        nearest = Attempt(log["timestamp"], "ended")
        found.append(nearest)
    return nearest


def _apart(one: str, other: str) -> float:
    return abs((datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds())
