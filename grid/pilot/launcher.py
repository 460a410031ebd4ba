"""Starts programs through a small process that forks fast and guards them (see `grid.pilot.keeper`)."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grid
from iceprod.walls.containers import Containers

__all__ = ["Launcher", "Program"]

_PROGRAM = ("import sys; sys.path.append(sys.argv[1]); from grid.pilot.keeper import main; "
            "main(int(sys.argv[2]))")
_HOME = str(Path(grid.__file__).absolute().parents[1])  # the directory or the zip file that has our packages


class Program:
    """A program that was started, with all that it starts itself."""

    def __init__(self, send: Callable[[int], None]) -> None:
        self._send = send
        self.ended = threading.Event()
        self.news = threading.Event()  # it ended; others may set it, to wake who waits for that
        self.guard = 0  # the process above all of the program's, once it is known
        self.status = 0  # at its end, as `subprocess` gives it
        self.trouble = ""  # why it could not be started, or not be watched any longer
        self.cpu_seconds = 0.0
        self.memory = 0.0  # GB of its largest process

    def wait(self, seconds: float) -> bool:
        """Wait for its end or for other news; whether it has ended."""
        if self.news.wait(seconds):
            self.news.clear()
        return self.ended.is_set()

    def stop(self, patience: float = 2.0) -> None:
        """End it with all that it started: ask, wait so many seconds, kill. Returns when it has ended."""
        self._send(signal.SIGTERM)
        if not self.ended.wait(patience):
            self._send(signal.SIGHUP)  # in the words of its guard
            self.ended.wait()


class Launcher:
    """One for all threads of a pilot. Its process is started when it is needed first."""

    def __init__(self, containers: Containers | None = None) -> None:
        self.containers = containers or Containers()
        self._starting = threading.Lock()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._programs: dict[int, Program] = {}
        self._numbers = itertools.count(1)

    def start(self, argv: list[str], variables: dict[str, str], directory: Path, stdout: Path,
              stderr: Path, box: dict[str, Any] | None = None) -> Program:
        """Start a program, in a sandbox's box; what it prints is added to the two files. Raises OSError."""
        number = next(self._numbers)
        program = Program(lambda number_of_signal: self._signal(number, number_of_signal))
        request = {"id": number, "argv": argv, "env": variables, "cwd": str(directory),
                   "stdout": str(stdout), "stderr": str(stderr), "box": box}
        with self._starting:
            link = self._socket or self._begin()
            with self._lock:
                self._programs[number] = program
            link.sendall(json.dumps(request).encode() + b"\n")
        return program

    def close(self) -> None:
        """End all programs."""
        with self._starting:
            link, process = self._socket, self._process
        if link is not None and process is not None:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_WR)
            process.wait()

    def _signal(self, number: int, number_of_signal: int) -> None:
        with self._starting, contextlib.suppress(OSError):  # it is gone, and all programs with it
            if self._socket is not None:
                request = {"id": number, "signal": int(number_of_signal)}
                self._socket.sendall(json.dumps(request).encode() + b"\n")

    # -- the other side

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, _HOME, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                             stdout=subprocess.DEVNULL, start_new_session=True)
        self._socket = ours
        threading.Thread(target=self._listen, args=(ours, self._process), daemon=True).start()
        return ours

    def _listen(self, link: socket.socket, process: subprocess.Popen[bytes]) -> None:
        try:
            with contextlib.suppress(OSError), link.makefile("rb") as lines:
                for line in lines:
                    self._hear(json.loads(line))
        finally:
            self._give_up(link, process)

    def _give_up(self, link: socket.socket, process: subprocess.Popen[bytes]) -> None:
        """The process is gone, and with it all programs; another is started for the next."""
        process.kill()  # it is of no use without its socket
        process.wait()
        with self._starting:
            if self._socket is link:
                self._socket = self._process = None
            link.close()
            with self._lock:
                lost, self._programs = self._programs, {}
        for program in lost.values():
            _end(program, {"error": "the process that starts programs ended"})

    def _hear(self, answer: dict[str, Any]) -> None:
        number = answer["id"]
        with self._lock:
            program = self._programs[number] if "pid" in answer else self._programs.pop(number)
        if "pid" in answer:
            program.guard = answer["pid"]
        else:
            _end(program, answer)


def _end(program: Program, answer: dict[str, Any]) -> None:
    program.trouble, program.status = answer.get("error", ""), answer.get("status", 0)
    program.cpu_seconds, program.memory = answer.get("seconds", 0.0), answer.get("memory", 0.0)
    program.ended.set()
    program.news.set()
