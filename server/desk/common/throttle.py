"""How often one token of the desk may ask."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable
from weakref import WeakKeyDictionary

from config.settings import Desk
from server.common.buckets import Buckets
from server.common.errors import TooManyRequests
from server.common.signals import Signals
from server.rest.context import Context
from server.rest.hearing import listen

ASKED = "desk asked"  # what other processes are told

__all__ = ["Throttle", "throttle"]


class Throttle:
    """Buckets by token; a bucket holds at most `burst` permissions and gains `requests_per_second`."""

    def __init__(self, settings: Desk, clock: Callable[[], float] = time.monotonic,
                 tell: Callable[[Hashable], None] = lambda key: None) -> None:
        self._exempt = settings.exempt_addresses
        self._buckets = Buckets(settings.requests_per_second, settings.burst, clock, tell)

    def check(self, key: str, address: str) -> None:
        """Count one request. Raises TooManyRequests when the bucket is empty."""
        if address not in self._exempt and self._buckets.take(_digest(key)):
            raise TooManyRequests("Request rate limit exceeded; try again in a second", retry_after=1)

    def hear(self, key: str) -> None:
        """Another process counted one request."""
        self._buckets.charge(key)


def _digest(key: str) -> str:
    """What stands for a token where others may read."""
    return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


_throttles: WeakKeyDictionary[Signals, Throttle] = WeakKeyDictionary()


def throttle(ctx: Context) -> Throttle:
    """What counts for the desk, over all server processes."""
    if ctx.signals not in _throttles:
        _throttles[ctx.signals] = Throttle(ctx.settings.desk, tell=lambda key: ctx.signals.tell(ASKED, key))
    return _throttles[ctx.signals]


listen(ASKED, lambda ctx, key: throttle(ctx).hear(key))
