"""MongoDB's messages: OP_MSG, and OP_QUERY as far as a driver's first greeting needs it.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import Document, decode, encode

OP_REPLY, OP_QUERY, OP_COMPRESSED, OP_MSG = 1, 2004, 2012, 2013
MAX_MESSAGE_BYTES: Final = 48_000_000
HEADER: Final = struct.Struct("<iiii")
_CHECKSUM, _MORE_TO_COME = 1, 2
_REQUIRED_FLAGS: Final = 0xFFFF  # unknown ones of these are errors
_int32: Final = struct.Struct("<i")


class ProtocolError(Exception):
    """The peer does not speak MongoDB's protocol; the connection is closed."""


@dataclass(slots=True)
class Message:
    """A request: the command, the documents sent beside it, and how to answer."""

    request_id: int
    body: Document
    sequences: dict[str, list[bytes]] = field(default_factory=dict)
    answered: bool = True
    legacy: bool = False


@dataclass(slots=True)
class Reply:
    """An answer some of whose fields are BSON already."""

    raw_fields: bytes  # encoded elements, that come first
    fields: Mapping[str, Any]

    def encode(self) -> bytes:
        rest = encode(self.fields)[4:]
        return _int32.pack(4 + len(self.raw_fields) + len(rest)) + self.raw_fields + rest


def cursor_reply(batch: Iterable[bytes], name: str, cursor_id: int, namespace: str) -> Reply:
    """The answer of find, aggregate and getMore; `name` is firstBatch or nextBatch."""
    parts = [element for i, raw in enumerate(batch) for element in (b"\x03%d\x00" % i, raw)]
    array = b"".join(parts)
    cursor = b"".join((
        b"\x04", name.encode(), b"\x00", _int32.pack(5 + len(array)), array, b"\x00",
        b"\x12id\x00", struct.pack("<q", cursor_id), encode({"ns": namespace})[4:],
    ))  # fmt: skip
    return Reply(b"\x03cursor\x00" + _int32.pack(4 + len(cursor)) + cursor, {"ok": 1.0})


def document_reply(name: str, raw: bytes | None, fields: Mapping[str, Any]) -> Reply:
    """An answer with one document (or null) that is BSON already."""
    element = b"\x0a" + name.encode() + b"\x00" if raw is None else b"\x03" + name.encode() + b"\x00" + raw
    return Reply(element, fields)


def parse(data: bytes) -> Message:
    """The request of a whole message.

    Raises ProtocolError, or CommandError(InvalidBSON).
    """
    _, request_id, _, operation = HEADER.unpack_from(data)
    try:
        if operation == OP_MSG:
            return _parse_msg(request_id, data)
        if operation == OP_QUERY:
            return _parse_query(request_id, data)
    except (struct.error, ValueError, IndexError) as error:
        raise ProtocolError(f"malformed message: {error}") from None
    raise ProtocolError(f"operation {operation} is not supported")


def _parse_msg(request_id: int, data: bytes) -> Message:
    (flags,) = struct.unpack_from("<I", data, 16)
    if flags & _REQUIRED_FLAGS & ~(_CHECKSUM | _MORE_TO_COME):
        raise ProtocolError(f"unknown flags {flags:#x}")
    end = len(data) - (4 if flags & _CHECKSUM else 0)
    body: bytes | None = None
    sequences: dict[str, list[bytes]] = {}
    at = 20
    while at < end:
        kind, (size,) = data[at], _int32.unpack_from(data, at + 1)
        section = data[at + 1 : at + 1 + size]
        if len(section) != size or at + 1 + size > end:
            raise ProtocolError("a section is longer than its message")
        if kind == 0 and body is None:
            body = section
        elif kind == 1:
            name, documents = _parse_sequence(section)
            sequences[name] = documents
        else:
            raise ProtocolError(f"unexpected section of kind {kind}")
        at += 1 + size
    if body is None:
        raise ProtocolError("a message without a body")
    return Message(request_id, decode(body), sequences, answered=not flags & _MORE_TO_COME)


def _parse_sequence(section: bytes) -> tuple[str, list[bytes]]:
    end = section.index(b"\x00", 4)
    name = section[4:end].decode()
    at, documents = end + 1, []
    while at < len(section):
        (size,) = _int32.unpack_from(section, at)
        if size < 5 or at + size > len(section):
            raise ProtocolError("a document is longer than its section")
        documents.append(section[at : at + size])
        at += size
    return name, documents


def _parse_query(request_id: int, data: bytes) -> Message:
    """{admin.$cmd: {ismaster: 1}} and the like."""
    end = data.index(b"\x00", 20)
    namespace = data[20:end].decode()
    database, _, collection = namespace.partition(".")
    if collection != "$cmd":
        raise ProtocolError("OP_QUERY is for commands only; this is a server of wire version 21")
    at = end + 9
    (size,) = _int32.unpack_from(data, at)
    body = decode(data[at : at + size])
    if "$query" in body:
        body = body["$query"]
    return Message(request_id, {**body, "$db": database}, legacy=True)


def encode_reply(message: Message, reply: Reply | Mapping[str, Any]) -> bytes:
    """The bytes of an answer.

    Raises CommandError when it is longer than a message may be.
    """
    body = reply.encode() if isinstance(reply, Reply) else encode(reply)
    if len(body) > MAX_MESSAGE_BYTES:
        raise CommandError(Code.BSONObjectTooLarge, f"the answer has {len(body)} bytes")
    if message.legacy:
        head = struct.pack("<iqii", 8, 0, 0, 1)
        return HEADER.pack(16 + len(head) + len(body), 0, message.request_id, OP_REPLY) + head + body
    return HEADER.pack(21 + len(body), 0, message.request_id, OP_MSG) + b"\x00\x00\x00\x00\x00" + body
