"""An address that speaks MongoDB's protocol in front of a real store; what passes can be seen and changed."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from pymongo.uri_parser import parse_uri

from server.embedded.documents.values import decode
from server.embedded.documents.wire import HEADER, Message, encode_reply, parse

__all__ = ["Front", "Loop", "Upstream", "answer", "document_of", "documents_of", "name_of", "running_loop"]

_T = TypeVar("_T")
_PATIENCE = 30.0


class Loop:
    """An event loop in a thread of its own, for tests that are not asynchronous."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Have the loop do something; what came of it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_PATIENCE)

    def close(self) -> None:
        self.run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_PATIENCE)
        self.loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def answer(message: Message, document: Mapping[str, Any]) -> bytes:
    """The bytes of an answer of our own."""
    return encode_reply(message, document)


def document_of(reply: bytes) -> dict[str, Any]:
    """The document in the bytes of an answer."""
    return parse(reply).body


def name_of(message: Message) -> str:
    """The command's name."""
    return next(iter(message.body))


def documents_of(message: Message, field: str) -> list[dict[str, Any]]:
    """The statements of a write, which travel in the command or beside it."""
    beside = [decode(raw) for raw in message.sequences.get(field, ())]
    return [*message.body.get(field, ()), *beside]


class Upstream:
    """A connection to the store."""

    def __init__(self, url: str) -> None:
        (self._host, self._port), = parse_uri(url)["nodelist"]
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, message: Message, raw: bytes) -> bytes:
        """The store's answer; nothing where none is wanted."""
        reader, writer = await self._connected()
        writer.write(raw)
        await writer.drain()
        return await read(reader) if message.answered else b""

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = (await asyncio.open_connection(self._host, self._port) if self._port
                             else await asyncio.open_unix_connection(self._host))
        return self._streams

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()


async def read(reader: asyncio.StreamReader) -> bytes:
    """One whole message. Raises IncompleteReadError at the end of the connection."""
    head = await reader.readexactly(HEADER.size)
    (size,) = struct.unpack_from("<i", head)
    return head + await reader.readexactly(size - HEADER.size)


class Front:
    """A listening address. What comes goes to the store, unless a subclass answers it in `handle`."""

    def __init__(self, loop: Loop, url: str) -> None:
        self._loop, self._url = loop, url
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.listen()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def handle(self, upstream: Upstream, message: Message, raw: bytes) -> bytes | None:
        """The answer to a message; None cuts the connection, nothing leaves it without one."""
        return await upstream.ask(message, raw)

    # -- coming and going

    def listen(self) -> None:
        """Take connections, at the same port as before."""
        self._loop.run(self._listen())

    def cut(self) -> None:
        """End all connections."""
        self._loop.run(self._cut())

    def stop(self) -> None:
        """Take no more connections, and end those that there are."""
        self._loop.run(self._stop())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _stop(self) -> None:
        if self._server:
            self._server.close()
        await self._cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = Upstream(self._url)
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while (reply := await self._reply(upstream, await read(reader))) is not None:
                    writer.write(reply)
                    await writer.drain()
        finally:
            self._open.discard(writer)
            upstream.close()
            writer.transport.abort()

    async def _reply(self, upstream: Upstream, raw: bytes) -> bytes | None:
        return await self.handle(upstream, parse(raw), raw)


@contextlib.contextmanager
def running_loop() -> Iterator[Loop]:
    loop = Loop()
    try:
        yield loop
    finally:
        loop.close()
