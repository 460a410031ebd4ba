"""The pilot's one connection to the server, which all its threads share; Python 3.9's standard library only.

Requests go one after another. A poll, which waits at the server for tasks, gives way as soon as another
thread has something to say: the server hears that nothing more will come on this connection and gives the
poll up (or has answered it just before, and that is read); the next request opens the connection again.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from iceprod.transport import Client

__all__ = ["Line"]


class Line(Client):
    """A client with one connection for all threads."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._local = SimpleNamespace()
        self._turn = threading.RLock()  # whose turn it is to use the connection
        self._guard = threading.Condition()  # of all below
        self._wanted = 0  # threads that wait for their turn
        self._polling = False  # whether the one whose turn it is would give way
        self._poll: http.client.HTTPConnection | None = None  # that waits for its answer
        self._gave_way = False

    def poll(self, path: str, body: Any, timeout: float) -> Any:
        """Post what may take long to answer; None when it gave way to another thread. Raises like `post`."""
        with self._guard:
            self._guard.wait_for(lambda: not self._wanted, timeout)
        with self._turn:
            self._polling, self._gave_way = True, False
            try:
                return super().request("POST", path, body, timeout=timeout)
            except Exception:
                if self._gave_way:
                    return None
                raise
            finally:
                self._polling = False

    def close(self) -> None:
        """Close the connection, when nobody uses it; whoever sends something opens it again."""
        with self._in_turn():
            super().close()

    def _once(self, *arguments: Any) -> Any:
        with self._in_turn():
            return super()._once(*arguments)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Use the connection, when whoever does has done with it."""
        with self._guard:
            self._wanted += 1
            self._interrupt()
        with self._turn:
            with self._guard:
                self._wanted -= 1
                self._guard.notify_all()
            yield

    def _answer(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        if not self._polling:
            return super()._answer(connection)
        with self._guard:
            self._poll = connection
            if self._wanted:
                self._interrupt()
        try:
            response = super()._answer(connection)
        finally:
            with self._guard:
                self._poll = None
        if self._gave_way:
            response.will_close = True
        return response

    def _interrupt(self) -> None:
        """Have a poll give way. To be called with the guard."""
        if self._poll is not None and not self._gave_way:
            self._gave_way = True
            with contextlib.suppress(OSError):  # below TLS, which would forget what it is about to read
                socket.socket.shutdown(self._poll.sock, socket.SHUT_WR)
