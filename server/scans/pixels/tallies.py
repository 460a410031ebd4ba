"""How far a scan is: counts, rates and the time that is left, from its batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scanner.maps.levels import Progression, estimate_pixels
from server.scans.pixels.batches import Group

__all__ = ["LevelTally", "Tally", "tally"]


@dataclass
class LevelTally:
    """The pixels of one nside, and what those that are done cost in seconds."""

    nside: int
    done: int = 0
    generated: int = 0  # asked for so far
    estimate: int = 0  # how many there would be if the best fit never moved
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    reused: int = 0  # of those done: taken over from an earlier scan
    round_trip: float = 0.0  # from lease to result

    @property
    def total(self) -> int:
        """How many pixels there are or, before any of them is asked for, how many there will be at least."""
        return self.generated or self.estimate


@dataclass
class Tally:
    """All levels, coarse to fine; times are seconds, moments since 1970."""

    levels: list[LevelTally] = field(default_factory=list)
    started: float = 0.0
    ended: float = 0.0  # or now
    latest: float = 0.0  # when the last result came
    open_batches: int = 0

    @property
    def done(self) -> int:
        return sum(level.done for level in self.levels)

    @property
    def total(self) -> int:
        return sum(level.total for level in self.levels)

    @property
    def seconds(self) -> float:
        return sum(level.seconds for level in self.levels)

    @property
    def cpu_seconds(self) -> float:
        return sum(level.cpu_seconds for level in self.levels)

    @property
    def round_trip(self) -> float:
        return sum(level.round_trip for level in self.levels)

    @property
    def wall(self) -> float:
        return max(self.ended - self.started, 0.0)

    @property
    def reused(self) -> int:
        return sum(level.reused for level in self.levels)

    @property
    def rate(self) -> float:
        """Pixels that were worked on per second of wall time."""
        return (self.done - self.reused) / self.wall if self.wall else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that are probably left; None before the first result."""
        return (self.total - self.done) / self.rate if self.rate else None


def tally(progression: Progression, groups: Iterable[Group], started: float, ended: float) -> Tally:
    """Count a scan's batches; `ended` is when the run ended, or now."""
    levels = {nside: LevelTally(nside, estimate=estimate)
              for nside, estimate in estimate_pixels(progression).items()}
    tallied = Tally([], started, ended)
    for group in groups:
        level = levels.setdefault(group.nside, LevelTally(group.nside))
        level.generated += group.count
        level.reused += group.reused if group.done else 0
        level.seconds += group.seconds
        level.cpu_seconds += group.cpu_seconds
        level.round_trip += group.round_trip
        if group.done:
            level.done += group.count
            tallied.latest = max(tallied.latest, group.finished)
        else:
            tallied.open_batches += group.batches
    tallied.levels = [levels[nside] for nside in sorted(levels)]
    return tallied
