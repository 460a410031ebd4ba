"""How often somebody may do something: a bucket of permissions for each, filled steadily.

Each server process has its own buckets, and can tell the others what is taken: then all hold the same, but
for what was taken in the last milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from cachetools import TTLCache

__all__ = ["Buckets"]

MOST_KEYS = 10_000


class Buckets:
    """Buckets by key; each holds at most `burst` permissions and gains `per_second`.

    `tell` is called with the key of each one taken, for other processes to `charge` theirs.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic,
                 tell: Callable[[Hashable], None] = lambda key: None) -> None:
        self._rate, self._burst, self._clock, self._tell = per_second, burst, clock, tell
        full_after = max(600.0, burst / per_second if per_second else 0.0)
        self._left: TTLCache[Hashable, tuple[float, float]] = TTLCache(MOST_KEYS, full_after, timer=clock)

    def take(self, key: Hashable) -> float:
        """Take a permission: 0, or how many seconds it is until there is one, and none is taken."""
        left, moment = self._filled(key)
        taken = left >= 1
        self._left[key] = (left - taken, moment)
        if taken:
            self._tell(key)
        return 0.0 if taken else (1 - left) / self._rate

    def charge(self, key: Hashable) -> None:
        """Another process gave a permission away."""
        left, moment = self._filled(key)
        self._left[key] = (max(left - 1, -self._burst), moment)

    def _filled(self, key: Hashable) -> tuple[float, float]:
        """What a bucket holds now."""
        moment = self._clock()
        left, then = self._left.get(key, (self._burst, moment))
        return min(self._burst, left + (moment - then) * self._rate), moment
