"""Counting what was tried too often: failed logins of one name from one address, of a name, of an address.

Counts are each server process's own; they bound guessing, not bookkeeping.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable

from cachetools import TTLCache

from server.common.errors import TooManyRequests

__all__ = ["Throttle"]

KEPT = 100_000  # keys; older ones are forgotten first


class Throttle:
    """Allows each key so many tries within a time."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._counts: TTLCache[Hashable, tuple[int, float]] = TTLCache(KEPT, seconds, timer=clock)

    def count(self, limits: Iterable[tuple[Hashable, int]]) -> None:
        """Count an attempt for each key. Raises TooManyRequests, counting nothing, when one has none left."""
        now, limits = self._clock(), list(limits)
        entries = {key: self._entry(key, now) for key, _ in limits}
        waits = [entries[key][1] + self.seconds - now for key, limit in limits if entries[key][0] >= limit]
        if waits:
            seconds = max(1, math.ceil(max(waits)))
            raise TooManyRequests(f"too many failed logins; wait {seconds} s", seconds)
        for key, (tries, since) in entries.items():
            self._counts[key] = (tries + 1, since)

    def forgive(self, keys: Iterable[Hashable]) -> None:
        """Take back one try of every key: it was a good one."""
        now = self._clock()
        for key in keys:
            tries, since = self._entry(key, now)
            self._counts[key] = (max(0, tries - 1), since)

    def _entry(self, key: Hashable, now: float) -> tuple[int, float]:
        """How many tries there were, and when the first of them was."""
        tries, since = self._counts.get(key, (0, now))
        return (tries, since) if now - since < self.seconds else (0, now)
