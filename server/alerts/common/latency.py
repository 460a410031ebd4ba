"""How long an alert's steps took: from its receipt to the published map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from server.alerts.common.alerts import Alert

__all__ = ["STEPS", "durations", "percentiles"]

STEPS = ("stored", "first_pixel", "first_map", "final_map", "published")
_SHARES = (50, 90, 99)


def durations(alert: Alert) -> dict[str, float]:
    """Seconds from the receipt to each step that is done."""
    moments = {"stored": alert.stored, **alert.times}
    return {step: round(moments[step] - alert.received, 3) for step in STEPS if step in moments}


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """The 50th, 90th and 99th percentile, the nearest value that is there; {} of nothing."""
    ordered: Sequence[float] = sorted(values)
    if not ordered:
        return {}
    return {f"p{share}": ordered[max(math.ceil(share / 100 * len(ordered)) - 1, 0)] for share in _SHARES}
