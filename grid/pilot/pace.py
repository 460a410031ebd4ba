"""How long tasks take here, and how many to lease ahead of their turn."""

from __future__ import annotations

__all__ = ["Pace"]

_SHORT = 0.2  # seconds; longer tasks are not leased ahead
_AHEAD = 0.5  # seconds of work that may lie here while others are idle
_MOST = 500
_WEIGHT = 0.2  # of the latest task in the mean


class Pace:
    """A moving mean of the seconds that programs take; other kinds of tasks are never leased ahead."""

    def __init__(self) -> None:
        self._mean = float("inf")

    def note(self, kind: str, seconds: float) -> None:
        """A task of that kind took so long."""
        if kind != "script":
            self._mean = float("inf")
        elif self._mean == float("inf"):
            self._mean = seconds
        else:
            self._mean += _WEIGHT * (seconds - self._mean)

    def forget(self) -> None:
        """A task failed: quick failures must not fetch more work."""
        self._mean = float("inf")

    def ahead(self, slots: int) -> int:
        """How many tasks to hold beyond those that run."""
        if self._mean > _SHORT:
            return 0
        return min(_MOST, int(slots * _AHEAD / max(self._mean, 1e-3)))
