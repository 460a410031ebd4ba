"""How often one token may ask: a bucket of permissions per token, filled steadily.

Each server process counts for itself.
"""

from __future__ import annotations

import time

from cachetools import TTLCache

from config.settings import Desk
from server.common.errors import TooManyRequests

__all__ = ["Throttle"]

MAX_TOKENS, FORGET_SECONDS = 10_000, 600.0


class Throttle:
    """Buckets by token; a bucket holds at most `burst` permissions and gains `requests_per_second`."""

    def __init__(self, settings: Desk) -> None:
        self._settings = settings
        self._buckets: TTLCache[str, tuple[float, float]] = TTLCache(MAX_TOKENS, FORGET_SECONDS)

    def check(self, key: str, address: str) -> None:
        """Count one request. Raises TooManyRequests when the bucket is empty."""
        if address in self._settings.exempt_addresses:
            return
        moment = time.monotonic()
        left, then = self._buckets.get(key, (float(self._settings.burst), moment))
        left = min(self._settings.burst, left + (moment - then) * self._settings.requests_per_second)
        self._buckets[key] = (left - 1 if left >= 1 else left, moment)
        if left < 1:
            raise TooManyRequests("Request rate limit exceeded; try again in a second", retry_after=1)
