"""Whether a process still works, told by datagrams as systemd has them (sd_notify(3)).

A process that hangs keeps its sockets, and the kernel goes on giving it connections that nobody answers. So
it says ``WATCHDOG=1`` from where its work is done; who keeps it running hears that, or ends it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

__all__ = ["Notifier", "Watch"]

_SOCKET, _MICROSECONDS, _PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
_WORKS = b"WATCHDOG=1"


class Notifier:
    """Tells whoever started us how we are, if they asked. Our children are not to tell it for us."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop(_SOCKET, "")
        micros, pid = environment.pop(_MICROSECONDS, ""), environment.pop(_PID, "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.is_watched = bool(address) and micros.isdecimal() and pid in ("", str(os.getpid()))
        self.seconds = int(micros) / 3e6 if self.is_watched else 0.0
        """How often `works` is to be said; 0: never."""

    def ready(self) -> None:
        """We serve."""
        self._tell(b"READY=1")

    def works(self) -> None:
        """We still do."""
        if self.is_watched:
            self._tell(_WORKS)

    def _tell(self, state: bytes) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.setblocking(False)
            try:
                to.sendto(state, self._address)
            except OSError:  # full, so there is something to hear; or nobody listens any more
                return


class Watch:
    """Listens to one process for its first word, and from then on for silence."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._hears.setblocking(False)
        self._hears.bind("")  # the kernel chooses an abstract name
        self._silence: float | None = None  # seconds; None before the first word: a start may take long
        self._looked = time.monotonic()

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the process that is to be heard."""
        name = self._hears.getsockname()[1:].decode()
        return {_SOCKET: f"@{name}", _MICROSECONDS: str(int(1e6 * self._seconds))}

    def is_silent(self) -> bool:
        """Whether it has said nothing for so long; to be asked at least twice in that time.

        Time in which we did not look ourselves hardly counts: a machine that was stopped as a whole, or that
        had no room for anybody, is no process that hangs.
        """
        moment = time.monotonic()
        passed, self._looked = min(moment - self._looked, self._seconds / 2), moment
        if self._heard():
            self._silence = 0.0
        elif self._silence is not None:
            self._silence += passed
        return self._silence is not None and self._silence >= self._seconds

    def _heard(self) -> bool:
        found = False
        try:
            while True:
                found |= self._hears.recv(64) == _WORKS
        except BlockingIOError:
            return found

    def close(self) -> None:
        self._hears.close()
