"""Sockets that a server listens on: as many connections as files may be open, and no more.

What is too much is shed: taken and closed at once, for a connection that nobody takes would wake the server
again and again. Some files are kept for the database and for what is written.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
import time
from collections.abc import Callable
from typing import Any, Self

from tornado.netutil import bind_sockets

from server.common import metrics

__all__ = ["Listener", "listen", "raise_limit"]

KEPT = 64  # files that are not for connections
NEAR = 0.9  # of the limit: whoever runs the server should know
WARN_SECONDS = 60.0  # between warnings
BACKLOG = 4096  # connections that wait to be taken: a whole site may come; net.core.somaxconn allows less
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger("server")


def raise_limit() -> int:
    """Raise the limit of open files to what the system allows (services start with 1024); what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            log.warning("the limit of open files stays at %d: %s", soft, error)
    return _limit()


def _limit() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft != resource.RLIM_INFINITY else 1 << 30


class Listener(socket.socket):
    """A listening socket that sheds connections which there are no files for."""

    @classmethod
    def of(cls, bound: socket.socket, limit: Callable[[], int] = _limit) -> Self:
        """Take over a socket that listens already."""
        listener = cls(fileno=bound.detach())
        listener.setblocking(False)
        listener._limit, listener._spare = limit, os.open(os.devnull, os.O_RDONLY)
        listener._warned, listener._shed_since = -WARN_SECONDS, 0
        return listener

    _limit: Callable[[], int]
    _spare: int  # given up for a moment when there is no other file
    _warned: float
    _shed_since: int  # how many were shed since the last warning

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection that there is room for. Raises BlockingIOError when none waits."""
        while True:
            try:
                connection, address = super().accept()
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._shed_without_files()
                continue
            number, limit = connection.fileno(), self._limit()  # the lowest that is free: so many are open
            if number < limit - min(KEPT, limit // 4):
                if number >= NEAR * limit:
                    self._warn("%d of %d files are open", number, limit)
                return connection, address
            self._shed(connection)

    def _shed_without_files(self) -> None:
        os.close(self._spare)
        try:
            connection, _ = super().accept()
            self._shed(connection)
        finally:
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _shed(self, connection: socket.socket) -> None:
        connection.close()
        metrics.SHED.inc()
        self._shed_since += 1
        self._warn("no files are left for %d connections, which were closed; raise the limit of open files "
                   "(LimitNOFILE of a systemd unit), now %d", self._shed_since, self._limit())

    def _warn(self, text: str, *numbers: int) -> None:
        if time.monotonic() - self._warned >= WARN_SECONDS:
            self._warned, self._shed_since = time.monotonic(), 0
            log.warning(text, *numbers, extra={"action": "files"})

    def close(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        super().close()


def listen(port: int, host: str, *, shared: bool = False) -> list[Listener]:
    """Listen on an address, `shared` with other processes of ours among which the kernel divides connections.

    Raises OSError.
    """
    return [Listener.of(bound) for bound in bind_sockets(port, host, backlog=BACKLOG, reuse_port=shared)]
