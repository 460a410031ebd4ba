"""When those who were turned away shall come again: not all at once, or they would be turned away again."""

from __future__ import annotations

import math
import time

__all__ = ["Turns"]

PER_SECOND = 200.0  # of them that come again: what a server easily answers
LONGEST = 60.0  # seconds: whoever would have to wait longer may as well try again


class Turns:
    """Gives each who asks a turn of its own, one after the other; for a few that is soon."""

    def __init__(self, per_second: float = PER_SECOND) -> None:
        self._step, self._last = 1 / per_second, 0.0

    def next(self) -> int:
        """In how many seconds the turn is; at least 1, for the header Retry-After."""
        now = time.monotonic()
        self._last = min(max(self._last, now) + self._step, now + LONGEST)
        return max(1, math.ceil(self._last - now))
