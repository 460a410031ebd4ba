"""How the tasks of a class are divided among the sites that could take them, so that each gets one pilot.

First a site keeps what its pilots already cover; what is left goes where places are free and pilots start
soon. A site that is paused, drained, quarantined or silent gets none, nor does one that pauses itself after
failures while there are others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iceprod.ids import timestamp
from server.production.common.documents import Document
from server.production.failures import quarantine
from server.production.failures.places import Place
from server.rest.context import Context

__all__ = ["Candidate", "candidates", "divide", "share_of"]

QUEUE_SECONDS = 60.0  # of a site that did not say how long its pilots wait; half as attractive as one at once
LEAST_WEIGHT = 1e-3  # of a site without a free place now


@dataclass(frozen=True)
class Candidate:
    """A grid, as far as dividing work is concerned."""

    grid_id: str
    free: float = 1.0  # pilots that it may submit now
    queue_seconds: float = QUEUE_SECONDS  # that its pilots lately waited
    covered: Mapping[str, int] = field(default_factory=dict)  # tasks that its pilots have room for, by class
    refused: frozenset[str] = frozenset()  # classes that it cannot serve
    site: str = ""
    is_barred: bool = False  # it gets nothing
    is_failing: bool = False  # it gets something only if there is no other

    @property
    def weight(self) -> float:
        """Its part of what is left."""
        return max(self.free, LEAST_WEIGHT) / (QUEUE_SECONDS + self.queue_seconds)


async def candidates(ctx: Context) -> list[Candidate]:
    """The grids of sites that are alive."""
    shown = dict.fromkeys(("grid_id", "site", "control", "decision", "free", "queue_seconds", "backs_off"), 1)
    grids = ctx.db.grids.find({"alive": True, "site": {"$exists": True}}, {"_id": 0, **shown})
    return [_candidate(grid, await quarantine.reason_against(ctx, Place(site=str(grid["site"]))))
            async for grid in grids]


def _candidate(grid: Document, against: str) -> Candidate:
    decision, control = grid.get("decision") or {}, grid.get("control") or {}
    state = control.get("state", "active")
    is_away = control.get("starts", "~") <= timestamp() < control.get("ends", "")  # "~" is after all times
    refused = frozenset(str(one.get("class_key")) for one in decision.get("unserved") or [])
    covered = {str(one["class_key"]): int(one["tasks"]) for one in decision.get("covered") or []}
    return Candidate(str(grid["grid_id"]), _number(grid.get("free"), 1.0),
                     _number(grid.get("queue_seconds"), QUEUE_SECONDS), covered, refused, str(grid["site"]),
                     bool(against) or state != "active" or is_away, bool(grid.get("backs_off")))


def share_of(grid_id: str, key: str, site: str, waiting: int, known: Sequence[Candidate]) -> int:
    """How many of the waiting tasks of a class are for one grid; all, where nobody knows better."""
    own = next((one for one in known if one.grid_id == grid_id), None)
    if own is None:
        return waiting
    if own.is_barred:
        return 0
    able = sorted((one for one in known if not one.is_barred and key not in one.refused
                   and site in ("", one.site)), key=lambda one: (-one.weight, one.grid_id))
    if own not in able:
        return waiting  # it says so itself, and why
    able = [one for one in able if not one.is_failing] or able
    if own not in able:
        return 0
    covered = [one.covered.get(key, 0) for one in able]
    if sum(covered) >= waiting:
        return divide(waiting, covered)[able.index(own)]
    rest = divide(waiting - sum(covered), [one.weight for one in able])
    return covered[able.index(own)] + rest[able.index(own)]


def divide(number: int, weights: Sequence[float]) -> list[int]:
    """Whole parts of a number, by weight: the largest remainders, and of equal ones the first, round up."""
    total = sum(weights)
    if total <= 0:
        return [0] * len(weights)
    exact = [number * weight / total for weight in weights]
    parts = [int(part + 1e-9) for part in exact]
    order = sorted(range(len(weights)), key=lambda place: parts[place] - exact[place])
    for place in order[:number - sum(parts)]:
        parts[place] += 1
    return parts


def _number(value: Any, default: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return float(value) if is_number else default
