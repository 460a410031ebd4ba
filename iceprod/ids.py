"""Identifiers and times, as every part of the system writes them."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

__all__ = ["new_id", "new_scan_id", "now", "timestamp"]


def new_id() -> str:
    """A new entity id: 32 hexadecimal characters, of a version-1 UUID as IceProd's ids are."""
    return uuid.uuid1().hex


def new_scan_id() -> str:
    """A scan id that sorts by creation time: 11 hex digits of milliseconds, 'x', 20 random hex digits."""
    return f"{int(time.time() * 1000):011x}x{uuid.uuid4().hex[:20]}"


def now() -> datetime:
    """The present time, UTC, without zone, as the database stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


def timestamp(moment: datetime | None = None) -> str:
    """ISO-8601 UTC without zone, with microseconds: sorts as text."""
    return (moment or now()).isoformat(timespec="microseconds")
