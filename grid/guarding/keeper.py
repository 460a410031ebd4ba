"""The process that makes guards, and is told of their ends.

It is a process of its own, small, so that it forks fast: what a fork costs goes with what is imported, so
nothing is that we can do without. It needs Python 3.9's standard library only. ::

    pilot ── socket ── keeper ─┬─ guard ── program ── whatever the program starts
      └───── socket ───────────┤
                               └─ guard ── program …

The pilot writes lines of JSON to the socket, {id, box}, and with each a descriptor: the guard's end of a
socket of its own, over which the pilot has it run programs (see `grid.guarding.guard`). It reads {id, status}
when a guard has ended. When the pilot dies, all sockets close, and everything ends. When a guard is killed,
what it guarded becomes ours, and is killed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket

from grid.guarding import guard
from grid.guarding.family import adopt, below, family, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Keeper", "main"]

_MOST = 64  # descriptors in one message


class Keeper:
    """Makes guards and tells the pilot of their ends."""

    def __init__(self, pilot: socket.socket) -> None:
        self.pilot, self.buffer = pilot, b""
        self.guards: dict[int, int] = {}  # the pilot's number of each by its pid
        self.links: list[int] = []  # ends of sockets for guards that are not made yet
        self.wake, wakeup = os.pipe()
        for end in (self.wake, wakeup):
            os.set_blocking(end, False)
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)  # the pilot decides
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        adopt()

    def run(self) -> None:
        """Serve the pilot until it is gone; then wait for the end of everything."""
        sources: list[Any] = [self.pilot, self.wake]
        with contextlib.suppress(OSError):
            while True:
                readable = select.select(sources, [], [])[0]
                if self.wake in readable:
                    self.reap()
                if self.pilot in readable and not self.listen():
                    break
        while self.guards:
            self.reap(0)

    def listen(self) -> bool:
        """Make the guards that the pilot wants; False when it is gone."""
        data, links, _, _ = socket.recv_fds(self.pilot, 1 << 20, _MOST)
        for link in links:
            os.set_inheritable(link, False)
        self.links += links
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            self.start(request, socket.socket(fileno=self.links.pop(0)))
        return bool(data)

    def start(self, request: dict[str, Any], link: socket.socket) -> None:
        with link:
            try:
                pid = os.fork()
            except OSError as error:
                link.sendall(json.dumps({"error": f"cannot fork: {error.strerror}"}).encode() + b"\n")
                return
            if pid == 0:
                signal.set_wakeup_fd(-1)
                self.pilot.close()
                for other in self.links:
                    os.close(other)
                guard.serve(link, request["box"] or {})
        self.guards[pid] = request["id"]

    def reap(self, how: int = os.WNOHANG) -> None:
        """Tell the pilot of the guards that ended."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 1024)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, how)
                if not pid:
                    return
                if os.WIFSIGNALED(status):  # maybe a guard was killed: what it guarded is ours now
                    self.clear()
                if pid in self.guards:
                    self.told(pid, status)
                how = os.WNOHANG

    def clear(self) -> None:
        """Kill what a guard left to us."""
        children = family()
        for pid in children.get(os.getpid(), []):
            if pid not in self.guards:
                send([pid, *below(pid, children)], signal.SIGKILL)

    def told(self, pid: int, status: int) -> None:
        answer = {"id": self.guards.pop(pid), "status": os.waitstatus_to_exitcode(status)}
        with contextlib.suppress(OSError):
            self.pilot.sendall(json.dumps(answer).encode() + b"\n")


def main(descriptor: int) -> None:
    """Serve the pilot at the other end of a socket."""
    gc.freeze()
    gc.disable()  # a collection in each child would copy all that it shares with us
    Keeper(socket.socket(fileno=descriptor)).run()
