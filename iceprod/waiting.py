"""Waiting for signals in the main thread: of a child's end, too, so that nobody has to look for it."""

from __future__ import annotations

import contextlib
import os
import select
import signal

__all__ = ["SignalWait"]


class SignalWait:
    """Call it to wait so many seconds, or until a signal comes, or came since the last time.

    To be made in the main thread, one in a process. Signals that nobody handles do as ever; the end of a
    child is heard of.
    """

    def __init__(self) -> None:
        self._hears, told = os.pipe()
        for end in (self._hears, told):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def __call__(self, seconds: float) -> None:
        select.select([self._hears], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._hears, 4096)
