"""How numbers, times and states are written for people. Templates know this module as `show`."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from iceprod.ids import now

__all__ = ["amount", "count", "date", "gigabytes", "hours", "number", "percent", "seconds", "since",
           "state_class", "state_words"]

NOTHING = "–"


def count(value: int | None) -> str:
    """A whole number, its thousands parted by narrow spaces."""
    return NOTHING if value is None else f"{value:,}".replace(",", "\u202f")


def number(value: float | None, digits: int = 3, unit: str = "") -> str:
    """A number with so many significant digits, and its unit."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-4 < abs(value) < 1e15:
        text = f"{value:.0f}"
    return f"{text}\u00a0{unit}" if unit else text


def percent(part: float | None, whole: float | None = 1.0) -> str:
    """A share in percent; never 100 % before everything is there."""
    if part is None or not whole:
        return NOTHING
    share = 100 * part / whole
    if 99 < share < 100:
        return f"{math.floor(10 * share) / 10:g}\u00a0%"
    return f"{share:.0f}\u00a0%" if share in (0, 100) or share >= 10 else f"{share:.2g}\u00a0%"


def seconds(value: float | None) -> str:
    """A span of time in the unit that fits."""
    if value is None or not math.isfinite(value):
        return NOTHING
    for limit, size, unit in ((100, 1, "s"), (6000, 60, "min"), (48 * 3600, 3600, "h")):
        if abs(value) < limit:
            return number(value / size, 2 if abs(value / size) < 10 else 3, unit)
    return number(value / 86400, 2 if value < 10 * 86400 else 3, "d")


def hours(value: float | None) -> str:
    """A span of time that is given in hours."""
    return seconds(None if value is None else value * 3600)


def gigabytes(value: float | None) -> str:
    """An amount of memory or disk that is given in GB."""
    if value is not None and 0 < value < 0.1:
        return number(1000 * value, 3, "MB")
    return number(value, 3, "GB")


def amount(resource: str, value: Any) -> str:
    """An amount of a resource that tasks ask for, with its unit."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING if value is None else str(value)
    if resource == "time":
        return hours(value)
    return gigabytes(value) if resource in ("memory", "disk") else number(value)


def date(moment: float | str | None) -> str:
    """A time, to the second: seconds since 1970, or the text that the database keeps."""
    if not moment:
        return NOTHING
    if isinstance(moment, str):
        return moment[:19].replace("T", " ")
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def since(moment: float | str | None) -> str:
    """How long ago something was."""
    if not moment:
        return "never"
    if isinstance(moment, str):
        then = datetime.fromisoformat(moment)
    else:
        then = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
    ago = (now() - then).total_seconds()
    return "just now" if ago < 1 else f"{seconds(ago)} ago"


_CLASSES = {
    "good": ("complete", "active", "scan_has_final_result", "finished", "alive"),
    "busy": ("processing", "queued", "in_progress", "running"),
    "bad": ("failed", "errors", "error", "aborted", "stopped", "quarantined", "silent", "given_up"),
    "idle": ("idle", "suspended", "truncated", "paused", "draining", "probation", "deleted"),
}
_CLASS_OF = {state: name for name, states in _CLASSES.items() for state in states}


def state_class(state: Any) -> str:
    """The style sheet's class of a state, by what it means to people."""
    return _CLASS_OF.get(str(state).split("__")[0].lower(), "wait")


def state_words(state: Any) -> str:
    """A state in words, such as ``in progress: partial result generated``."""
    return str(state).replace("__", ": ").replace("_", " ").lower()
