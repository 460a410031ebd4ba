"""Starts programs through guards, and keeps these for programs to come (see `grid.guarding.guard`).

A guard is kept for programs of the same dataset in the same sandbox, and only so long: whoever comes after
others comes after his own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grid
from iceprod.walls.containers import Containers
from iceprod.walls.sandbox import furnish

__all__ = ["Launcher", "Program"]

_PROGRAM = ("import sys; sys.path.append(sys.argv[1]); from grid.guarding.keeper import main; "
            "main(int(sys.argv[2]))")
_HOME = str(Path(grid.__file__).absolute().parents[1])  # the directory or the zip file that has our packages
_LOST = "the process that starts programs ended"
_LONGEST = 60.0  # seconds that a guard is kept: what is mounted on the machine later, programs see then
_IDLE = 4  # guards that are kept for programs to come, and as many as there were programs at once


class Guard:
    """A guard as the pilot knows it: our end of its socket. One thread at a time has it run programs."""

    def __init__(self, number: int, whose: str, box: dict[str, Any] | None, link: socket.socket) -> None:
        self.number, self.whose, self.box, self.link = number, whose, box, link
        self.made = time.monotonic()
        self.pid = 0  # of the process above all of its programs, once it is known
        self.status: int | None = None  # of its own end, as its keeper tells it
        self.ended = threading.Event()
        self._buffer = b""
        self._sending = threading.Lock()

    def send(self, request: dict[str, Any]) -> None:
        """Ask for something; a guard that is gone does not hear it."""
        with self._sending, contextlib.suppress(OSError):
            self.link.sendall(json.dumps(request).encode() + b"\n")

    def read(self, seconds: float) -> dict[str, Any] | None:
        """The next that it says; None when it says nothing for so long. Raises EOFError when it is gone."""
        if b"\n" not in self._buffer:
            if not _is_readable(self.link, seconds):
                return None
            with contextlib.suppress(OSError):
                data = self.link.recv(1 << 16)
                self._buffer += data
                if data:
                    return self.read(seconds)
            raise EOFError
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def shows(self, directory: str) -> bool:
        """Whether its programs work in a directory, and nowhere else."""
        return self.box is not None and any(mount[2] == directory for mount in self.box["mounts"])

    def close(self) -> None:
        """Have it end, and all that it guards."""
        with self._sending:
            self.link.close()

    def why(self) -> dict[str, Any]:
        """What its end means for its program, whose failure it is when a signal killed the guard."""
        self.ended.wait()
        return {"status": self.status} if self.status and self.status < 0 else {"error": _LOST}


def _seen_from(directory: Path, file: Path) -> str:
    """A file's path as who is in a directory may use it who perhaps may not pass those above."""
    return file.name if file.parent == directory else str(file)


def _is_readable(link: socket.socket, seconds: float) -> bool:
    poller = select.poll()
    poller.register(link, select.POLLIN)
    return bool(poller.poll(1000 * seconds))


class Program:
    """A program that was started, with all that it starts itself. One thread waits for its end."""

    def __init__(self, guard: Guard | None, launcher: Launcher) -> None:
        self._guard, self._launcher = guard, launcher
        self.ended = False
        self.guard = 0  # the process above all of the program's, once it is known
        self.status = 0  # at its end, as `subprocess` gives it
        self.trouble = ""  # why it could not be started, or not be watched any longer
        self.cpu_seconds = 0.0
        self.memory = 0.0  # GB of its largest process

    def wait(self, seconds: float) -> bool:
        """Wait for its end or for other news; whether it has ended."""
        if self._guard is not None:
            try:
                answer = self._guard.read(seconds)
                self._hear(self._guard, answer or {})
            except EOFError:
                self._end(self._guard, self._guard.why())
        return self.ended

    def set(self) -> None:
        """Wake who waits: there are news. Any thread may do that."""
        guard = self._guard
        if guard is not None:
            guard.send({"signal": 0})

    def stop(self, patience: float = 2.0) -> None:
        """End it with all that it started: ask, wait so many seconds, kill. Returns when it has ended."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + patience
        while not self.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() < deadline:
            pass
        self._signal(signal.SIGKILL)
        while not self.wait(patience):
            pass

    def _signal(self, number: int) -> None:
        if self._guard is not None:
            self._guard.send({"signal": int(number)})

    def _hear(self, guard: Guard, answer: dict[str, Any]) -> None:
        if "pid" in answer:
            guard.pid = self.guard = answer["pid"]
        elif answer:
            self._end(guard, answer)

    def _end(self, guard: Guard, answer: dict[str, Any]) -> None:
        self.trouble, self.status = answer.get("error", ""), answer.get("status", 0)
        self.cpu_seconds, self.memory = answer.get("seconds", 0.0), answer.get("memory", 0.0)
        self.ended, self._guard = True, None
        self._launcher.take_back(guard, bool(answer.get("keep")))


class Launcher:
    """One for all threads of a pilot. Its process is started when it is needed first."""

    def __init__(self, containers: Containers | None = None) -> None:
        self.containers = containers or Containers()
        self._lock = threading.Lock()
        self._keeper: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._busy: dict[int, Guard] = {}
        self._idle: list[Guard] = []  # the one that was used last is the last
        self._most = 0  # programs at once, so far
        self._numbers = itertools.count(1)

    def start(self, argv: list[str], variables: dict[str, str], directory: Path, stdout: Path,
              stderr: Path, box: dict[str, Any] | None = None, whose: str = "") -> Program:
        """Start a program, in a sandbox's box; what it prints is added to the two files. Raises OSError.

        Its guard may have guarded others of the same box and owner.
        """
        with self._lock:
            now = time.monotonic()
            self._dismiss([one for one in self._idle if now - one.made > _LONGEST])
            guard = self._find(whose, box)
            if box and (guard is None or box["means"] == "bwrap"):  # which mounts anew for each program
                furnish(box)
            guard = guard or self._make(whose, box)
            self._busy[guard.number] = guard
            self._most = max(self._most, len(self._busy))
        program = Program(guard, self)
        program.guard = guard.pid
        guard.send({"argv": argv, "env": variables, "cwd": str(directory),
                    "stdout": _seen_from(directory, stdout), "stderr": _seen_from(directory, stderr)})
        return program

    def take_back(self, guard: Guard, keep: bool) -> None:
        """A guard's program has ended."""
        with self._lock:
            self._busy.pop(guard.number, None)
            self._idle.append(guard)
            self._dismiss(self._idle[:-(_IDLE + self._most)] if keep else [guard])

    def forget(self, directory: Path) -> None:
        """A directory will be removed: no guard may show it any more."""
        with self._lock:
            self._dismiss([one for one in self._idle if one.shows(str(directory))])

    def close(self) -> None:
        """End all programs."""
        with self._lock:
            keeper, process = self._keeper, self._process
            self._dismiss(list(self._idle))
            for guard in self._busy.values():
                with contextlib.suppress(OSError):
                    guard.link.shutdown(socket.SHUT_WR)
        if keeper is not None and process is not None:
            with contextlib.suppress(OSError):
                keeper.shutdown(socket.SHUT_WR)
            process.wait()

    def _find(self, whose: str, box: dict[str, Any] | None) -> Guard | None:
        """An idle guard of that kind, idle no more. To be called with the lock, as all below."""
        for guard in reversed(self._idle):
            if guard.whose == whose and guard.box == box and guard.status is None:
                self._idle.remove(guard)
                return guard
        return None

    def _dismiss(self, guards: list[Guard]) -> None:
        for guard in guards:
            guard.close()
        self._idle = [one for one in self._idle if one not in guards]

    # -- the other side

    def _make(self, whose: str, box: dict[str, Any] | None) -> Guard:
        keeper = self._keeper or self._begin()
        ours, theirs = socket.socketpair()
        guard = Guard(next(self._numbers), whose, box, ours)
        with theirs:
            line = json.dumps({"id": guard.number, "box": box}).encode() + b"\n"
            try:
                sent = socket.send_fds(keeper, [line], [theirs.fileno()])
                keeper.sendall(line[sent:])
            except OSError:
                guard.close()
                raise
        return guard

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, _HOME, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                             stdout=subprocess.DEVNULL, start_new_session=True)
        self._keeper = ours
        threading.Thread(target=self._listen, args=(ours, self._process), daemon=True).start()
        return ours

    def _listen(self, keeper: socket.socket, process: subprocess.Popen[bytes]) -> None:
        try:
            with contextlib.suppress(OSError), keeper.makefile("rb") as lines:
                for line in lines:
                    self._hear(json.loads(line))
        finally:
            self._give_up(keeper, process)

    def _hear(self, answer: dict[str, Any]) -> None:
        """A guard has ended."""
        with self._lock:
            found = [one for one in (*self._busy.values(), *self._idle) if one.number == answer["id"]]
            for guard in found:
                guard.status = answer["status"]
                guard.ended.set()
            self._dismiss([one for one in found if one in self._idle])

    def _give_up(self, keeper: socket.socket, process: subprocess.Popen[bytes]) -> None:
        """The process is gone, and all guards have to go; another is started for the next."""
        process.kill()  # it is of no use without its socket
        process.wait()
        with self._lock:
            if self._keeper is keeper:
                self._keeper = self._process = None
            keeper.close()
            self._dismiss(list(self._idle))
            for guard in self._busy.values():
                guard.ended.set()
                with contextlib.suppress(OSError):
                    guard.link.shutdown(socket.SHUT_RDWR)
