"""How a task can end, and what the server is told about it.

======== ============================================== ==============================
outcome  when                                           effect on the server
======== ============================================== ==============================
complete it did its work                                done
reset    the payload failed, or needs more than it has  tried again; a failure is spent
evict    this place failed: disk, software, shutdown    tried again; nobody is blamed
failed   trying again cannot help                       a person has to look
======== ============================================== ==============================
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COMPLETE", "EVICT", "FAILED", "RESET", "End", "of_status"]

COMPLETE, RESET, EVICT, FAILED = "complete", "reset", "evict", "failed"

_CANNOT_START = (126, 127)


@dataclass(frozen=True)
class End:
    """The end of one task: the outcome, why in one line, and what it used."""

    outcome: str
    reason: str = ""
    seconds: float = 0.0  # wall time
    cpu_seconds: float = 0.0
    resources: dict[str, float] = field(default_factory=dict)  # cpu, memory GB, disk GB, time h

    def report(self, instance_id: str, site: str) -> dict[str, Any]:
        """The body of ``POST /tasks/{id}/task_actions/{outcome}``."""
        body: dict[str, Any] = {"instance_id": instance_id, "site": site}
        if self.outcome == EVICT:
            used = {"resources": self.resources} if self.resources else {}
            return {**body, "reason": self.reason, **used}
        body["time_used"] = round(self.seconds, 3)
        body["resources"] = self.resources
        if self.reason:
            body["reason"] = self.reason
        return body


def of_status(status: int, what: str, last_error: str = "") -> tuple[str, str]:
    """Outcome and reason of an exit status as `subprocess` gives it: negative for a signal."""
    detail = f": {last_error}" if last_error else ""
    if status == 0:
        return COMPLETE, ""
    if status < 0:
        return RESET, f"{what} was killed by {_signal_name(-status)}{detail}"
    if status in _CANNOT_START:
        return RESET, f"{what} could not be started{detail}"
    return RESET, f"{what} ended with status {status}{detail}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
