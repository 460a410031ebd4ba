"""A ZeroMQ subscription, as i3live publishes; needs the extra `zeromq` (pyzmq).

A message of several parts has its topic first and its content last; one of a single part is all content,
with the topic before its first brace, if there is one. ZeroMQ keeps nothing: what is published while nobody
listens is lost, so a second source beside it (a folder, Kafka) is wise: what comes twice counts once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from config.alerts import AlertSource
from server.alerts.common.alerts import Arrival, Origin
from server.rest.context import Context

__all__ = ["ZeroMQSource"]

AT_ONCE = 20
MOST_BYTES = 64 << 20
MOST_WAITING = 1000  # messages


class ZeroMQSource:
    """A subscriber to one publisher."""

    trouble = ""

    def __init__(self, ctx: Context, name: str, settings: AlertSource) -> None:
        try:
            import zmq
            import zmq.asyncio
        except ImportError:
            raise OSError("ZeroMQ needs the package pyzmq (extra `zeromq`)") from None
        self._name, self._stream = name, settings.stream
        self._zmq: Any = zmq
        self._socket = zmq.asyncio.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, MOST_WAITING)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)
        for topic in settings.topics or [""]:
            self._socket.setsockopt_string(zmq.SUBSCRIBE, topic)
        try:
            self._socket.connect(settings.address)
        except zmq.ZMQError as error:
            self._socket.close(0)
            raise OSError(f"{settings.address}: {error}") from None

    async def poll(self, seconds: float) -> Sequence[Arrival]:
        found: list[Arrival] = []
        wait = round(seconds * 1000)
        while len(found) < AT_ONCE and await self._socket.poll(wait):
            found.append(self._arrival(await self._socket.recv_multipart()))
            wait = 0
        return found

    def _arrival(self, parts: list[bytes]) -> Arrival:
        topic, data = (parts[0], parts[-1]) if len(parts) > 1 else _split(parts[0])
        name = topic.decode(errors="replace").strip()[:100]
        return Arrival(self._stream or name, data, Origin(self._name, time.time(), name))

    async def done(self, taken: Sequence[Arrival]) -> None:
        """There is nobody to tell."""

    async def close(self) -> None:
        self._socket.close(0)


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Topic and content of a message of one part."""
    brace = data.find(b"{", 0, 200)
    return (data[:brace], data[brace:]) if brace > 0 and data[:1] not in (b"<", b"\x1f") else (b"", data)
