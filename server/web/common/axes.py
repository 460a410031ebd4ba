"""Axes of charts: round numbers from 0 up, and round times in UTC. Pure rules."""

from __future__ import annotations

import math
from datetime import UTC, datetime

__all__ = ["axis", "short", "ticks", "time_label", "time_ticks"]

MOST_TIMES = 5
DAY = 86400
STEPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600, DAY,
         2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 182 * DAY, 364 * DAY)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers between two numbers, about so many of them."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    step = _round_step(span / about)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _round_step(raw: float) -> float:
    size = 10.0 ** math.floor(math.log10(raw))
    return min((factor * size for factor in (1, 2, 5, 10)), key=lambda value: abs(value - raw))


def axis(top: float, *, whole: bool = False, about: int = 4) -> list[float]:
    """Ticks from 0 to the first one that is not below `top`: at least 0 and 1 step, also for nothing."""
    if not math.isfinite(top) or top <= 0:
        return [0.0, 1.0]
    step = _round_step(top / about)
    step = max(1.0, step) if whole else step
    return [index * step for index in range(math.ceil(top / step - 1e-9) + 1)]


def short(value: float) -> str:
    """A number at an axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def time_ticks(low: float, high: float) -> tuple[list[int], int]:
    """Round times (UTC) between two, in seconds since 1970, and the step between them."""
    step = next((step for step in STEPS if (high - low) / step <= MOST_TIMES), 0)
    step = step or STEPS[-1] * math.ceil((high - low) / STEPS[-1] / MOST_TIMES)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)], step


def time_label(moment: float, step: int) -> str:
    """A time as precise as its step; midnight is written as the day that begins."""
    then = datetime.fromtimestamp(moment, UTC)
    if step >= 91 * DAY:
        return then.strftime("%Y-%m")
    if step >= DAY or (then.hour, then.minute, then.second) == (0, 0, 0):
        return then.strftime("%m-%d")
    return then.strftime("%H:%M:%S" if step < 60 else "%H:%M")
