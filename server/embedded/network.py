"""The server: sockets, connections, and the store's housekeeping."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.embedded import commands
from server.embedded.commands import Peer
from server.embedded.documents import wire
from server.embedded.documents.errors import Code, CommandError, DataDirectoryError
from server.embedded.sessions import expiry
from server.embedded.sessions.runner import Runner
from server.embedded.sessions.store import Store

log = logging.getLogger(__name__)

_HOUSEKEEPING_SECONDS = 1.0
_MOST_WAITING = 16  # requests of one client that did not wait for answers
_BACKLOG = 2048  # connections that wait to be accepted: all pilots come back at once
_MOST_SOCKET_PATH = 107  # bytes, of Linux's sockaddr_un


class Connection(asyncio.Protocol):
    """One client: its requests one after the other."""

    def __init__(self, server: Server, trusted: bool) -> None:
        self._server = server
        self.peer = Peer(server.new_number(), trusted=trusted)
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: list[bytes] = []
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)
        self._server.store.sessions.abort_of_connection(self.peer.number)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._buffer or len(data) < 4 or int.from_bytes(data[:4], "little") != len(data):
            self._buffer += data
            self._split()
        else:
            self._receive(bytes(data))

    def _split(self) -> None:
        while len(self._buffer) >= 16:
            size = int.from_bytes(self._buffer[:4], "little")
            if not 16 <= size <= wire.MAX_MESSAGE_BYTES:
                self._refuse(f"a message of {size} bytes")
                return
            if len(self._buffer) < size:
                return
            message = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._receive(message)

    def _receive(self, data: bytes) -> None:
        if self.busy:
            self._waiting.append(data)
            if len(self._waiting) == _MOST_WAITING and self._transport is not None:
                self._transport.pause_reading()
        else:
            self._handle(data)

    def _refuse(self, why: str) -> None:
        log.warning("connection %d closed: %s", self.peer.number, why)
        self._buffer.clear()
        self.close()

    def _handle(self, data: bytes) -> None:
        try:
            message = wire.parse(data)
        except (wire.ProtocolError, CommandError) as error:
            self._refuse(str(error))
            return
        self.busy = True
        steps = commands.dispatch(self._server.store, self.peer, message)
        deadline = commands.deadline_of(message.body)
        self._server.runner.run(steps, lambda result: self._answer(message, result), deadline)

    def _answer(self, message: wire.Message, result: Any) -> None:
        if message.answered and self._transport is not None:
            self._transport.write(_encoded(message, result))
        self.busy = False
        while self._waiting and not self.busy:
            self._handle(self._waiting.pop(0))
            if len(self._waiting) == _MOST_WAITING - 1 and self._transport is not None:
                self._transport.resume_reading()


def _encoded(message: wire.Message, result: Any) -> bytes:
    if isinstance(result, CommandError):
        return wire.encode_reply(message, result.reply())
    try:
        if not isinstance(result, wire.Reply) and "ok" not in result:
            result = {**result, "ok": 1.0}
        return wire.encode_reply(message, result)
    except CommandError as error:
        return wire.encode_reply(message, error.reply())


class Server:
    """Serves a data directory until `stop`."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory)
        self.runner = Runner(self.store)
        self.connections: set[Connection] = set()
        self._number = 0
        self._listeners: list[asyncio.Server] = []
        self._sockets: list[Path] = []
        self._housekeeping: asyncio.Task[None] | None = None

    def new_number(self) -> int:
        self._number += 1
        return self._number

    async def listen_unix(self, path: Path) -> None:
        """Listen on a socket that only this user can reach.

        Raises DataDirectoryError when the path is too long.
        """
        if len(os.fsencode(path)) > _MOST_SOCKET_PATH:
            text = f"the socket path {path} has more than {_MOST_SOCKET_PATH} bytes; give a shorter --socket"
            raise DataDirectoryError(text)
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener = await asyncio.get_running_loop().create_unix_server(
                self._factory(trusted=True), str(path), backlog=_BACKLOG
            )
        except OSError as error:
            raise DataDirectoryError(f"cannot listen on {path}: {error}") from None
        finally:
            os.umask(mask)
        self._sockets.append(path)
        self._listeners.append(listener)

    async def listen_tcp(self, host: str, port: int, trusted: bool) -> int:
        """Listen on a port (0: any); trusted clients need not log in. The port's number."""
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                self._factory(trusted), host, port, reuse_address=True, backlog=_BACKLOG
            )
        except OSError as error:
            raise DataDirectoryError(f"cannot listen on {host}:{port}: {error}") from None
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    def _factory(self, trusted: bool) -> Callable[[], Connection]:
        return lambda: Connection(self, trusted)

    def start(self) -> None:
        """Begin the housekeeping: what expires, and what has been idle too long."""
        self._housekeeping = asyncio.get_running_loop().create_task(self._keep_house())

    async def _keep_house(self) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            self.store.sessions.remove_idle()
            self.store.cursors.remove_idle()
            if time.monotonic() - looked >= expiry.INTERVAL_SECONDS:
                looked = time.monotonic()
                if expiry.needed(self.store):
                    self.runner.run(expiry.expire(self.store), _log_failure)

    async def stop(self) -> None:
        """Answer what runs, close the connections, and close the store."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._housekeeping
        for listener in self._listeners:
            listener.close()
        for _ in range(200):
            if not any(connection.busy for connection in self.connections):
                break
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.close()
        await asyncio.sleep(0)
        self.store.close()
        for path in self._sockets:
            path.unlink(missing_ok=True)


def _log_failure(result: Any) -> None:
    if isinstance(result, CommandError) and result.code != Code.WriteConflict:
        log.warning("expiring documents failed: %s", result.text)
