"""Numbers that other processes tell: believed for a while, as a process may end without a word."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Elsewhere"]

MOST = 10_000  # names


class Elsewhere:
    """A number of each process for each name."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._told: dict[str, dict[str, tuple[int, float]]] = {}  # by name and process, and when it was told

    def note(self, name: str, process: str, number: int) -> None:
        """A process tells its number; none is as if it had never told."""
        of_it = self._told.pop(name, {})
        of_it.pop(process, None)
        if number > 0:
            of_it[process] = number, self._clock()
        if of_it:
            self._told[name] = of_it
        while len(self._told) > MOST:
            del self._told[next(iter(self._told))]

    def sum(self, name: str) -> int:
        """What all of them together have told of a name lately."""
        since = self._clock() - self._seconds
        return sum(number for number, told in self._told.get(name, {}).values() if told >= since)
