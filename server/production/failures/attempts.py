"""The latest attempts of a task that were no good: who decided what about them, and why."""

from __future__ import annotations

from typing import Any, Protocol

from iceprod.ids import timestamp
from server.production.common.documents import Document
from server.production.failures.failures import Verdict
from server.production.failures.places import Place

__all__ = ["of", "pushed"]

MOST = 20
REASON_LENGTH = 300


class Said(Protocol):
    """What a pilot says of an attempt."""

    @property
    def instance_id(self) -> str | None: ...
    @property
    def time_used(self) -> float: ...
    @property
    def site(self) -> str | None: ...
    @property
    def reason(self) -> str: ...
    @property
    def resources(self) -> dict[str, Any]: ...


def of(task: Document, report: Said, outcome: str, place: Place, verdict: Verdict | None = None,
       by: str = "the pilot") -> Document:
    """One row: what became of an attempt, where, by which rule, and on whose word."""
    row = {"time": timestamp(), "instance_id": report.instance_id or "", "host": place.host,
           "site": report.site or place.site or task.get("site", ""), "outcome": outcome,
           "reason": report.reason[:REASON_LENGTH], "seconds": round(report.time_used, 3),
           "memory": _number(report.resources.get("memory")), "by": by}
    if verdict is not None:
        row |= {"rule": verdict.rule.name, "blame": verdict.rule.blame.value, "given_up": verdict.given_up}
    return row


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def pushed(row: Document) -> Document:
    """The update that adds it and forgets the oldest."""
    return {"attempts": {"$each": [row], "$slice": -MOST}}
