"""Priorities on the grid, from those of the schedule: there higher numbers come first, here lower ones."""

from __future__ import annotations

__all__ = ["of_dataset", "of_scan"]

USUAL = 10
_URGENT = 99  # scans from 100 on push others aside; the schedule does not


def of_dataset(priority: int) -> float:
    """Of a dataset, from 0 to 2: the usual priority of an entry gives the usual 0.5."""
    return min(2.0, max(0.0, 1.0 - priority / 20))


def of_scan(priority: int) -> int:
    """Of a scan: the usual priority of an entry gives 0; what comes after it waits for quiet times."""
    return max(-_URGENT, min(_URGENT, USUAL - priority))
