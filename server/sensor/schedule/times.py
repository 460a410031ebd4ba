"""When an entry runs: pure rules, in whole seconds since 1970 (UTC).

An entry's times are start, start + interval, … before stop. Without an interval there is one time, and
without a stop they never end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Look", "Times", "look", "realigned", "until", "upcoming"]


@dataclass(frozen=True)
class Times:
    """What decides when an entry runs; `next_time` is the first of its times that was not dealt with."""

    start: int
    stop: int | None
    interval: int | None
    next_time: int

    @property
    def is_over(self) -> bool:
        """Whether no time remains."""
        return self.stop is not None and self.next_time >= self.stop

    def last_before(self, end: int) -> int | None:
        """The last of the remaining times before `end`; None when there is none."""
        end = end if self.stop is None else min(end, self.stop)
        if self.next_time >= end:
            return None
        if self.interval is None:
            return self.next_time
        return self.next_time + (end - 1 - self.next_time) // self.interval * self.interval


@dataclass(frozen=True)
class Look:
    """What the scheduler finds at an entry: what to run now, and what remains."""

    run_at: int | None  # the latest time that is due
    missed: int  # due times before it, which are not made up for
    next_time: int
    is_active: bool


def until(times: Times, end: int) -> tuple[list[int], Times]:
    """All remaining times before `end`, and what remains then."""
    last = times.last_before(end)
    if last is None:
        return [], times
    if times.interval is None:
        return [last], replace(times, next_time=last + 1, stop=last + 1)
    taken = list(range(times.next_time, last + 1, times.interval))
    return taken, replace(times, next_time=last + times.interval)


def look(times: Times, now: int) -> Look:
    """What is due at `now`: of all due times the latest alone; the others are counted as missed.

    An entry without an interval keeps its time, so that it runs again when somebody activates it again.
    """
    last = times.last_before(now + 1)
    if last is None:
        return Look(None, 0, times.next_time, not times.is_over)
    if times.interval is None:
        return Look(last, 0, times.next_time, False)
    after = replace(times, next_time=last + times.interval)
    return Look(last, (last - times.next_time) // times.interval, after.next_time, not after.is_over)


def realigned(times: Times, now: int) -> int:
    """The next time after the clock was set back: what lies too far ahead comes back into phase.

    A small step back changes nothing, so that no time runs twice because of it.
    """
    if times.interval is None or times.next_time <= max(times.start, now + 2 * times.interval):
        return times.next_time
    first = max(times.start, now + 1)
    return times.next_time - (times.next_time - first) // times.interval * times.interval


def upcoming(times: Times, now: int, end: int, most: int) -> list[int]:
    """The next times from `now` on before `end`, at most so many; a due one counts as now's first."""
    found: list[int] = []
    last = times.last_before(end)
    if last is None:
        return found
    if times.interval is None:
        return [last]
    due = times.last_before(now + 1)
    first = times.next_time if due is None else due
    return list(range(first, min(last, first + (most - 1) * times.interval) + 1, times.interval))
