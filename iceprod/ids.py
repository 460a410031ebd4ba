"""Identifiers and times, as every part of the system writes them."""

from __future__ import annotations

import os
import secrets
import threading
import time
import uuid
from datetime import UTC, datetime

__all__ = ["new_id", "new_scan_id", "now", "timestamp"]


_BEFORE_1970 = 0x01B21DD213814000  # from the beginning of UUIDs' time until 1970, in 100 ns
_VERSION_1, _VARIANT, _GROUP_ADDRESS = 0x1000, 0x8000, 1 << 40


class _Ids:
    """Version-1 UUIDs of one process (RFC 9562, section 5.1).

    The node is a random number, marked as such (section 6.10), so that no two processes make the same; asking
    the system for each takes ten times as long.
    """

    def __init__(self) -> None:
        self._last, self._lock = 0, threading.Lock()
        clock = secrets.randbits(14) | _VARIANT
        self._end = f"{clock:04x}{secrets.randbits(48) | _GROUP_ADDRESS:012x}"

    def new(self) -> str:
        with self._lock:
            self._last = moment = max(time.time_ns() // 100 + _BEFORE_1970, self._last + 1)
        high = moment >> 48 | _VERSION_1
        return f"{moment & 0xFFFFFFFF:08x}{moment >> 32 & 0xFFFF:04x}{high:04x}{self._end}"


_ids = _Ids()


def _begin_anew() -> None:
    """A process that was forked makes ids of its own."""
    global _ids
    _ids = _Ids()


os.register_at_fork(after_in_child=_begin_anew)


def new_id() -> str:
    """A new entity id: 32 hexadecimal characters, of a version-1 UUID as IceProd's ids are."""
    return _ids.new()


def new_scan_id() -> str:
    """A scan id that sorts by creation time: 11 hex digits of milliseconds, 'x', 20 random hex digits."""
    return f"{int(time.time() * 1000):011x}x{uuid.uuid4().hex[:20]}"


def now() -> datetime:
    """The present time, UTC, without zone, as the database stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


def timestamp(moment: datetime | None = None) -> str:
    """ISO-8601 UTC without zone, with microseconds: sorts as text."""
    return (moment or now()).isoformat(timespec="microseconds")
