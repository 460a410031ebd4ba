"""How long a process believes what it has read from the database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from server.common.signals import Signals

__all__ = ["Fresh"]


class Fresh:
    """Whether a copy is believed: for some seconds, unless its signal says that what it is of has changed."""

    def __init__(self, signal: str, seconds: float) -> None:
        self._signal, self._seconds = signal, seconds
        self._read_at, self._count = float("-inf"), 0

    def holds(self, signals: Signals) -> bool:
        """Whether the copy need not be read anew."""
        is_young = time.monotonic() - self._read_at < self._seconds
        return is_young and signals.count(self._signal) == self._count

    def begin(self, signals: Signals) -> None:
        """It is read just now: what changes from here on spoils it."""
        self._read_at, self._count = time.monotonic(), signals.count(self._signal)

    @contextlib.contextmanager
    def reading(self, signals: Signals) -> Iterator[None]:
        """It is read in this block; when that fails, who comes next tries again."""
        self.begin(signals)
        try:
            yield
        except BaseException:
            self.spoil()
            raise

    def spoil(self) -> None:
        """Have it read anew, though nothing was told."""
        self._read_at = float("-inf")
