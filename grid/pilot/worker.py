"""The long-living process that reconstructs pixels: event, tables and compiled code stay warm in it.

We speak with it in lines of JSON (see `scanner.worker`, which is the other side).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from grid.pilot.processes import Usage, tree_usage
from grid.pilot.running import Stop
from iceprod.processes.launch import command as launch

__all__ = ["PartStopped", "Worker", "WorkerEnded", "WorkerStopped", "missing"]

_START_PATIENCE = 300.0  # seconds; the first start compiles
_STOP_PATIENCE = 5.0  # seconds that a stopped batch may go on before its worker is killed
_NEEDED = ("scanner", "msgspec", "numpy", "llvmlite")
_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def missing() -> str:
    """What a worker cannot do without and this Python has not; empty when nothing is."""
    return next((name for name in _NEEDED if find_spec(name) is None), "")


class WorkerEnded(Exception):
    """The worker process is gone; the text says how it ended."""


class WorkerStopped(Exception):
    """The batch was given up, because its task had to stop or took too long; the text says why."""


class PartStopped(WorkerStopped):
    """A part of a batch took longer than it may."""


class Worker:
    """One worker process. Use it from the thread that started it."""

    def __init__(self, argv: list[str] | None = None) -> None:
        variables = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        variables.pop("ICEPROD_TOKEN", None)
        argv = argv or [sys.executable, "-m", "scanner.worker"]
        self._process = subprocess.Popen(launch(argv), env=variables, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, start_new_session=True)
        self._buffer = b""

    def wait_ready(self, stop: Stop | None = None) -> None:
        """Wait until it has loaded what it needs. Raises WorkerEnded and WorkerStopped."""
        self._read(stop or Stop(), time.monotonic() + _START_PATIENCE)

    def ask(self, request: dict[str, Any], stop: Stop, seconds: float = float("inf"),
            part_seconds: float = float("inf")) -> Iterator[dict[str, Any]]:
        """Send a request; its answers, of which the last ends it.

        The whole may take `seconds`, a part that the worker announces `part_seconds`. Raises WorkerEnded,
        WorkerStopped, and PartStopped for a part that took longer.
        """
        self._send(request)
        deadline = time.monotonic() + seconds
        limit = deadline
        while True:
            try:
                answer = self._read(stop, limit)
            except WorkerStopped:
                if limit < deadline and not stop:
                    raise PartStopped(f"a part of the batch took longer than {part_seconds:g} s") from None
                raise
            yield answer
            if "begin" in answer:
                limit = min(deadline, time.monotonic() + part_seconds)
            elif not answer.get("more"):
                return

    def _send(self, request: dict[str, Any]) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(request, separators=(",", ":")).encode() + b"\n")
            pipe.flush()
        except OSError:
            raise WorkerEnded(self._how_it_ended()) from None

    def usage(self) -> Usage:
        """What it uses now."""
        return tree_usage(self._process.pid)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what we had not sent yet
                    pipe.close()

    def _read(self, stop: Stop, deadline: float) -> dict[str, Any]:
        pipe = self._process.stdout
        assert pipe is not None
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([pipe], [], [], 0.1)
            if ready:
                data = os.read(pipe.fileno(), 1 << 20)
                if not data:
                    raise WorkerEnded(self._how_it_ended())
                self._buffer += data
            elif time.monotonic() > deadline or stop.at_once:
                raise WorkerStopped("time limit: the batch took too long")
            elif stop:
                deadline = min(deadline, time.monotonic() + _STOP_PATIENCE)
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else {}

    def _how_it_ended(self) -> str:
        status = self._process.wait()
        if status < 0:
            return f"the pixel worker was killed by {signal.Signals(-status).name}"
        return f"the pixel worker ended with status {status}"
