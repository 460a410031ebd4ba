"""Which pilots are wanted beyond those there are, and who of them may come first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from grid.base import PilotClass
from grid.condor.coverage import DRAINING, Pilot
from grid.condor.demand import Work
from grid.condor.shapes import needs, offer_of, tasks_within

__all__ = ["FIRST", "Want", "could_run", "in_turns", "rank_of", "wants_of"]

FIRST = 1_000_000
"""More than the rank of any class."""
_STEP = 5
_HIGHEST = 100_000


@dataclass(frozen=True)
class Want:
    """A class that misses slots, the pilots for them, and whether any living pilot runs such tasks at all."""

    work: Work
    shape: PilotClass
    slots: int
    pilots: int
    has_any: bool
    given: int = 0

    @property
    def rank(self) -> int:
        return rank_of(self.work.priority)


def wants_of(works: Iterable[Work], shapes: Mapping[str, PilotClass], missing: Mapping[str, int],
             pilots: Sequence[Pilot], served: Mapping[str, float], one_each: bool = False) -> list[Want]:
    """The wants, the most urgent first: classes without a pilot, by when they got one; others by priority."""
    wants = [_want(work, shapes[work.class_key], missing[work.class_key], pilots, one_each)
             for work in works if missing.get(work.class_key)]
    return sorted(wants, key=lambda want: (want.has_any, _last(want, served), -want.work.priority,
                                           want.work.class_key))


def in_turns(wants: Sequence[Want], room: int) -> list[Want]:
    """Give each class without a pilot one; then the best classes all they want, equal ones in turns."""
    given: Counter[int] = Counter()
    for number, want in enumerate(wants):
        if given.total() < room and want.pilots and not want.has_any:
            given[number] += 1
    for rank in sorted({want.rank for want in wants}, reverse=True):
        _share([(number, want.pilots) for number, want in enumerate(wants) if want.rank == rank], given, room)
    return [replace(want, given=given[number]) for number, want in enumerate(wants)]


def _share(wanted: Sequence[tuple[int, int]], given: Counter[int], room: int) -> None:
    """One pilot to each, then a second, and so on, until the room or the wants end."""
    before = -1
    while before < given.total() < room:
        before = given.total()
        for number, most in wanted:
            if given.total() < room and given[number] < most:
                given[number] += 1


def rank_of(priority: float) -> int:
    """HTCondor's priority of a pilot's job, for a class of such a priority.

    The steps are coarse: priorities drift with every task that ends, and each change edits jobs.
    """
    return max(-_HIGHEST, min(_HIGHEST, _STEP * round(100 * priority / _STEP)))


def could_run(pilot: Pilot, need: Mapping[str, Any]) -> bool:
    """Whether a pilot, once it is free, has what a task needs, with enough of its life left."""
    offer = offer_of(pilot.offer)
    return tasks_within(need, {**offer, "time": offer["time"] - pilot.age / 3600}) > 0


def _want(work: Work, shape: PilotClass, slots: int, pilots: Sequence[Pilot], one_each: bool) -> Want:
    need = needs(work)
    each = 1 if one_each else max(1, tasks_within(need, offer_of(shape)))
    has_any = any(pilot.state != DRAINING and could_run(pilot, need) for pilot in pilots)
    return Want(work, shape, slots, math.ceil(slots / each), has_any)


def _last(want: Want, served: Mapping[str, float]) -> float:
    return 0.0 if want.has_any else served.get(want.work.class_key, -math.inf)
