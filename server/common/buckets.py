"""How often somebody may do something: a bucket of permissions for each, filled steadily.

Each server process counts for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from cachetools import TTLCache

__all__ = ["Buckets"]

MOST_KEYS = 10_000


class Buckets:
    """Buckets by key; each holds at most `burst` permissions and gains `per_second`."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        full_after = max(600.0, burst / per_second if per_second else 0.0)
        self._left: TTLCache[Hashable, tuple[float, float]] = TTLCache(MOST_KEYS, full_after, timer=clock)

    def take(self, key: Hashable) -> float:
        """Take a permission: 0, or how many seconds it is until there is one, and none is taken."""
        moment = self._clock()
        left, then = self._left.get(key, (self._burst, moment))
        left = min(self._burst, left + (moment - then) * self._rate)
        taken = left >= 1
        self._left[key] = (left - taken, moment)
        return 0.0 if taken else (1 - left) / self._rate
