"""Which pilots are wanted beyond those there are, and who of them may come first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from grid.base import PilotClass
from grid.condor.coverage import DRAINING, Pilot
from grid.condor.demand import Work
from grid.condor.shapes import needs, offer_of, tasks_within

__all__ = ["Want", "could_run", "in_turns", "wants_of"]


@dataclass(frozen=True)
class Want:
    """A class that misses slots, the pilots for them, and whether any living pilot runs such tasks at all."""

    work: Work
    shape: PilotClass
    slots: int
    pilots: int
    has_any: bool
    given: int = 0


def wants_of(works: Iterable[Work], shapes: Mapping[str, PilotClass], missing: Mapping[str, int],
             pilots: Sequence[Pilot], served: Mapping[str, float]) -> list[Want]:
    """The wants, the most urgent first: classes without a pilot, by when they got one; others by priority."""
    wants = [_want(work, shapes[work.class_key], missing[work.class_key], pilots)
             for work in works if missing.get(work.class_key)]
    return sorted(wants, key=lambda want: (want.has_any, _last(want, served), -want.work.priority,
                                           want.work.class_key))


def in_turns(wants: Sequence[Want], room: int) -> list[Want]:
    """Give every want a pilot, then every one a second, and so on, until the room or the wants end."""
    given: Counter[int] = Counter()
    while room > 0:
        before = room
        for number, want in enumerate(wants):
            if room > 0 and given[number] < want.pilots:
                given[number] += 1
                room -= 1
        if room == before:
            break
    return [replace(want, given=given[number]) for number, want in enumerate(wants)]


def could_run(pilot: Pilot, need: Mapping[str, float]) -> bool:
    """Whether a pilot, once it is free, has what a task needs, with enough of its life left."""
    offer = offer_of(pilot.offer)
    return tasks_within(need, {**offer, "time": offer["time"] - pilot.age / 3600}) > 0


def _want(work: Work, shape: PilotClass, slots: int, pilots: Sequence[Pilot]) -> Want:
    need = needs(work)
    each = max(1, tasks_within(need, offer_of(shape)))
    has_any = any(pilot.state != DRAINING and could_run(pilot, need) for pilot in pilots)
    return Want(work, shape, slots, math.ceil(slots / each), has_any)


def _last(want: Want, served: Mapping[str, float]) -> float:
    return 0.0 if want.has_any else served.get(want.work.class_key, -math.inf)
