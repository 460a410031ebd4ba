"""How often one token of the desk may ask."""

from __future__ import annotations

import time
from collections.abc import Callable

from config.settings import Desk
from server.common.buckets import Buckets
from server.common.errors import TooManyRequests

__all__ = ["Throttle"]


class Throttle:
    """Buckets by token; a bucket holds at most `burst` permissions and gains `requests_per_second`."""

    def __init__(self, settings: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._exempt = settings.exempt_addresses
        self._buckets = Buckets(settings.requests_per_second, settings.burst, clock)

    def check(self, key: str, address: str) -> None:
        """Count one request. Raises TooManyRequests when the bucket is empty."""
        if address not in self._exempt and self._buckets.take(key):
            raise TooManyRequests("Request rate limit exceeded; try again in a second", retry_after=1)
