"""Crowds as processes of their own, and the orders that they are given."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psutil

from grid.crowd.counted import Counted

__all__ = ["Crowds", "NoCrowd"]

JOINING = 50  # pilots that register at the same time


class NoCrowd(Exception):
    """There is no crowd, or no more; the text says why."""


class _Process:
    """One process with pilots. Safe to use from many threads."""

    def __init__(self, server: str, token_file: Path) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:  # ours stays open as long as the file of its lines
            self.process = subprocess.Popen(
                [sys.executable, "-m", "grid.crowd", server, str(token_file), str(theirs.fileno())],
                pass_fds=[theirs.fileno()])
            self._lines, self._turn = ours.makefile("rwb"), threading.Lock()
        self._watched = psutil.Process(self.process.pid)

    def order(self, what: str, **how: Any) -> Any:
        """Have something done; the answer. Raises NoCrowd."""
        line = b""
        with self._turn, contextlib.suppress(OSError):
            self._lines.write(msgspec.json.encode({"do": what, **how}) + b"\n")
            self._lines.flush()
            line = self._lines.readline()
        if not line:
            raise NoCrowd("a process with pilots ended; what it said stands above")
        return msgspec.json.decode(line)

    def cpu_seconds(self) -> float:
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """Bytes."""
        return int(self._watched.memory_info().rss)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._lines.close()
        self.process.kill()
        self.process.wait()


class Crowds:
    """All pilots, shared out among processes. Raises NoCrowd when they cannot be."""

    def __init__(self, server: str, token_file: Path, processes: int) -> None:
        if importlib.util.find_spec("gevent") is None:
            raise NoCrowd("simulated pilots need gevent: pip install 'iceprod-scanner[crowd]'")
        self._processes = [_Process(server, token_file) for _ in range(processes)]
        self._pool = ThreadPoolExecutor(processes)

    def join(self, site: str, pilots: int, at_once: int = JOINING) -> None:
        """Register so many more; returns when all are there."""
        number = len(self._processes)
        shares = [{"site": f"{site}", "pilots": pilots // number + (place < pilots % number),
                   "at_once": max(1, at_once // number)} for place in range(number)]
        self._each("join", shares)

    def turn_over(self, per_second: float) -> None:
        """Let so many tasks end a second from now on."""
        self._all("turn_over", per_second=per_second / len(self._processes))

    def cut(self, site: str) -> None:
        self._all("cut", site=site)

    def mend(self, site: str) -> None:
        self._all("mend", site=site)

    def holding(self) -> int:
        return sum(self._all("holding"))

    def heard(self, since: float) -> int:
        """How many had an answer to what they said after that moment (of `time.monotonic`)."""
        return sum(self._all("heard", since=since))

    def period(self) -> float:
        return float(max(self._all("period")))

    def counted(self) -> Counted:
        """What was done since this was asked last."""
        return sum(msgspec.convert(self._all("counted"), list[Counted]), Counted())

    def cpu_seconds(self) -> float:
        return sum(one.cpu_seconds() for one in self._processes)

    def memory(self) -> int:
        """Bytes."""
        return sum(one.memory() for one in self._processes)

    def close(self) -> None:
        """End all, without a word to the server."""
        self._pool.shutdown()
        for one in self._processes:
            one.close()

    def _all(self, what: str, **how: Any) -> list[Any]:
        return self._each(what, [how] * len(self._processes))

    def _each(self, what: str, orders: Sequence[dict[str, Any]]) -> list[Any]:
        waits = [self._pool.submit(one.order, what, **how)
                 for one, how in zip(self._processes, orders, strict=True)]
        return [wait.result() for wait in waits]
