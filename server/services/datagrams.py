"""Datagrams between server processes: signed with the installation's secret, and the socket for them."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import socket
from dataclasses import dataclass
from typing import Any

import msgspec

from config.settings import Server

__all__ = ["MOST_BYTES", "Codec", "Telling", "Told", "bind", "length"]

MOST_BYTES = 1200  # of a datagram, unless one telling is longer: more would be cut up on the way
BUFFER = 1 << 20  # bytes that the kernel keeps for us while we are busy
PORTS = 100  # from `server.peers_port` on, that are tried
_SIGNATURE = 16  # bytes

Told = tuple[str, list[Any]]
"""A topic and its values."""


class Telling(msgspec.Struct, frozen=True, array_like=True):
    """One datagram: of which process, the how many-th of it to anybody, topics with their values."""

    sender: str
    number: int
    told: list[Told]


@dataclass(frozen=True)
class Codec:
    """Writes and reads datagrams; one that was not signed with the secret is none."""

    key: bytes

    @classmethod
    def of(cls, secret: str) -> Codec:
        return cls(hashlib.blake2b(secret.encode(), person=b"iceprod peers").digest())

    def encode(self, telling: Telling) -> bytes:
        body = msgspec.msgpack.encode(telling)
        return self._sign(body) + body

    def decode(self, data: bytes) -> Telling | None:
        signature, body = data[:_SIGNATURE], data[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(body)):
            return None
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.msgpack.decode(body, type=Telling)
        return None

    def _sign(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self.key, digest_size=_SIGNATURE).digest()


def length(told: Told) -> int:
    """Bytes that a telling takes. Raises OverflowError, ValueError where it cannot be written."""
    return len(msgspec.msgpack.encode(told))


def bind(settings: Server, database: tuple[str, int | None]) -> socket.socket:
    """A socket at the address by which this machine's servers are reached: as the settings say, else the one
    that reaches the database. Raises OSError."""
    host = settings.peers_host or _towards(*database)
    family = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][0]
    bound = socket.socket(family, socket.SOCK_DGRAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    bound.setblocking(False)
    first = settings.peers_port
    try:
        _bind_one(bound, host, range(first, first + PORTS) if first else range(1))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"server.peers_host, server.peers_port: cannot listen at {host}: "
                      f"{error.strerror}") from None
    return bound


def _bind_one(bound: socket.socket, host: str, ports: range) -> None:
    for port in ports:
        try:
            bound.bind((host, port))
        except OSError:
            if port == ports[-1]:
                raise
        else:
            return


def _towards(host: str, port: int | None) -> str:
    """The address of ours that reaches another (nothing is sent for it); the loopback's for a unix socket."""
    if not port:
        return "127.0.0.1"
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])
