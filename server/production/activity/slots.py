"""Slots of time and what they hold: pure rules.

All that a slot holds are sums, so the sum of fine slots is the coarse one, in whatever order and by whomever
they were written; a mean is a sum over its number of samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["COMPLETE", "EVICTED", "GAUGES", "LEVELS", "SPANS", "Level", "Slot", "begin_of", "coarser",
           "oldest_kept", "together"]

GAUGES = ("offered", "busy", "running", "waiting")  # cores, cores, tasks, tasks
COMPLETE, EVICTED = "complete", "evicted"  # other ends are named by the rule that judged the failure


@dataclass(frozen=True)
class Level:
    """A resolution: seconds of a slot, and for how many seconds such slots are kept."""

    step: int
    kept: int


LEVELS = (Level(60, 2 * 3600), Level(600, 26 * 3600), Level(3600, 8 * 86400))
SPANS = {"1h": (3600, 60), "24h": (86400, 600), "7d": (7 * 86400, 3600)}
"""What pages show: seconds back, and the slots that they show it in."""


@dataclass
class Slot:
    """What happened in a slot that begins at a time (seconds since 1970)."""

    begins: int
    ends: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    sums: Counter[str] = field(default_factory=Counter)  # of each gauge, over the samples

    def mean(self, gauge: str) -> float | None:
        """The mean of a gauge; None where nobody sampled it."""
        return self.sums[gauge] / self.samples if self.samples else None

    @property
    def bad(self) -> int:
        """Ends that were failures."""
        return sum(self.ends.values()) - self.ends[COMPLETE] - self.ends[EVICTED]


def begin_of(moment: float, step: int) -> int:
    """When the slot began that a moment lies in."""
    return int(moment // step) * step


def together(begins: int, slots: Iterable[Slot]) -> Slot:
    """The sum of some slots."""
    whole = Slot(begins)
    for slot in slots:
        whole.ends.update(slot.ends)
        whole.samples += slot.samples
        whole.sums.update(slot.sums)
    return whole


def coarser(slots: Iterable[Slot], step: int) -> list[Slot]:
    """The same in longer slots, in the order of time."""
    groups: dict[int, list[Slot]] = {}
    for slot in slots:
        groups.setdefault(begin_of(slot.begins, step), []).append(slot)
    return [together(begins, groups[begins]) for begins in sorted(groups)]


def oldest_kept(number: int, moment: float) -> int:
    """The oldest slot to keep of a level: the next coarser one never loses a part of a slot of its own."""
    level = LEVELS[number]
    step = LEVELS[number + 1].step if number + 1 < len(LEVELS) else level.step
    return begin_of(moment - level.kept, step)
