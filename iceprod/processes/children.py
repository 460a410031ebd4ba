"""A process that is kept running: it cannot outlive us, and is started again, with pauses, when it ends.

Who keeps some waits by `SignalWait`, and so hears of an end at once without looking for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from iceprod.processes.launch import command
from iceprod.processes.watchdog import Watch

__all__ = ["Child", "SignalWait", "last_lines", "rotate"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_GOOD_SECONDS = 60.0  # after running so long, an end counts as the first again
_ROTATE_BYTES = 20 << 20
_PARTING_SECONDS = 2.0  # for one that hangs, to write where


@dataclass
class Child:
    """One process with its own log file. Start and look after it from one thread."""

    name: str
    argv: list[str]
    log: Path
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: float = 10.0
    death_signal: int = signal.SIGKILL  # what it gets when we die
    watchdog_seconds: float = 0.0  # of silence, after which it hangs (see `watchdog`); 0: never

    def __post_init__(self) -> None:
        self._watch: Watch | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.ended = ""  # how it ended last, in words
        self._pause = _FIRST_PAUSE
        self._again_at = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def start(self) -> None:
        """Start the process; its output is appended to the log."""
        variables = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", **self.environment,
                     **self._watched()}
        variables.pop("ICEPROD_TOKEN", None)
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            self.process = subprocess.Popen(
                command(self.argv, self.death_signal), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.directory, env=variables, start_new_session=True)
        self.started = time.monotonic()

    def _watched(self) -> dict[str, str]:
        """Variables by which the process that starts now can say that it works."""
        self._unwatch()
        if not self.watchdog_seconds:
            return {}
        self._watch = Watch(self.watchdog_seconds)
        return self._watch.environment

    def _unwatch(self) -> None:
        if self._watch:
            self._watch.close()
        self._watch = None

    def is_alive(self) -> bool:
        """Whether it runs; notes how it ended."""
        if self.process is None:
            return False
        status = self.process.poll()
        if status is None:
            return True
        self.ended = f"was killed by {_name(-status)}" if status < 0 else f"ended with status {status}"
        self.process = None
        if time.monotonic() - self.started > _GOOD_SECONDS:
            self._pause = _FIRST_PAUSE
        self._again_at = time.monotonic() + self._pause
        return False

    def keep(self) -> str:
        """Start it again when it ended and the pause is over; what happened, or nothing.

        One that hangs is ended.
        """
        had = self.process is not None
        if self.is_alive() and not self._end_hung():
            return ""
        if had:
            return f"{self.name} {self.ended}, starting again in {self._pause:g} s"
        if time.monotonic() < self._again_at:
            return ""
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.start()
        return f"{self.name} started as process {self.pid}"

    def _end_hung(self) -> bool:
        """End it if it says nothing any more; whether it has ended. SIGABRT lets it write where it is."""
        if self.process is None or not self._watch or not self._watch.is_silent():
            return False
        self.process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PARTING_SECONDS)
        self.process.kill()
        self.process.wait()
        self.is_alive()
        self.ended = f"said nothing for {self.watchdog_seconds:g} s and {self.ended}"
        return True

    def ask_to_stop(self) -> None:
        """Send it SIGTERM."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        """End it: ask, wait, kill."""
        self._unwatch()
        if self.process is None:
            return
        self.ask_to_stop()
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


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


def rotate(log: Path) -> None:
    """Keep a log file small: what is in it moves to ``.1``, and the writer, which appends, goes on."""
    if log.exists() and log.stat().st_size > _ROTATE_BYTES:
        old = log.with_name(f"{log.name}.1")
        old.unlink(missing_ok=True)
        descriptor = os.open(old, os.O_WRONLY | os.O_CREAT, 0o600)
        with log.open("rb") as source, os.fdopen(descriptor, "wb") as target:
            while data := source.read(1 << 20):
                target.write(data)
        os.truncate(log, 0)


def last_lines(log: Path, count: int = 1) -> str:
    """The last lines of a log that say something."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 8192))
            lines = [line.strip() for line in file.read().decode("utf8", "replace").splitlines()]
    except FileNotFoundError:
        return ""
    return "\n".join([line for line in lines if line][-count:])


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
