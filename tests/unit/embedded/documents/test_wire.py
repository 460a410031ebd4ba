"""Messages from outside: none can do more than close its connection."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.embedded.documents import wire
from server.embedded.documents.errors import CommandError


def message(body: bytes, operation: int = wire.OP_MSG) -> bytes:
    return wire.HEADER.pack(16 + len(body), 7, 0, operation) + body


def op_msg(flags: int = 0, *sections: bytes) -> bytes:
    return message(struct.pack("<I", flags) + b"".join(sections))


def sequence(name: str, *documents: dict[str, Any]) -> bytes:
    inner = name.encode() + b"\0" + b"".join(map(bson.encode, documents))
    return b"\x01" + struct.pack("<i", 4 + len(inner)) + inner


BODY = b"\0" + bson.encode({"ping": 1, "$db": "admin"})


def test_body_and_sequences() -> None:
    found = wire.parse(op_msg(0, BODY, sequence("documents", {"a": 1}, {"b": 2})))
    assert found.body == {"ping": 1, "$db": "admin"}
    assert list(map(bson.decode, found.sequences["documents"])) == [{"a": 1}, {"b": 2}]
    assert found.answered
    assert found.request_id == 7


def test_checksum_is_skipped_and_more_to_come_is_not_answered() -> None:
    found = wire.parse(op_msg(3, BODY, b"\0\0\0\0"))
    assert not found.answered


def test_legacy_greeting() -> None:
    body = struct.pack("<i", 0) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + bson.encode({"ismaster": 1})
    found = wire.parse(message(body, wire.OP_QUERY))
    assert found.legacy
    assert found.body == {"ismaster": 1, "$db": "admin"}
    reply = wire.encode_reply(found, {"ok": 1.0})
    assert wire.HEADER.unpack_from(reply) == (len(reply), 0, 7, wire.OP_REPLY)


@pytest.mark.parametrize(
    "data",
    [
        message(b"", 2004),
        message(b"", 2012),
        message(b"", 1),
        op_msg(),
        op_msg(4, BODY),
        op_msg(0, BODY, BODY),
        op_msg(0, b"\x02" + BODY[1:]),
        op_msg(0, BODY[:-3]),
        op_msg(0, BODY, b"\x01" + struct.pack("<i", 4)),
        op_msg(0, BODY, b"\x01" + struct.pack("<i", 1000) + b"x\0"),
        op_msg(0, BODY, b"\x01" + struct.pack("<i", 10) + b"x\0" + struct.pack("<i", -1)),
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(wire.ProtocolError):
        wire.parse(data)


@given(st.binary(max_size=200), st.sampled_from([wire.OP_MSG, wire.OP_QUERY, 0, 2012]))
def test_noise(noise: bytes, operation: int) -> None:
    with contextlib.suppress(wire.ProtocolError, CommandError):
        wire.parse(message(noise, operation))


@given(st.data())
def test_damaged_message(data: st.DataObject) -> None:
    whole = bytearray(op_msg(0, BODY, sequence("documents", {"a": [1, {"b": "x"}]})))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(16, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(wire.ProtocolError, CommandError):
        wire.parse(bytes(whole))


@given(
    st.lists(st.dictionaries(st.text(alphabet="ab", max_size=2), st.integers(0, 9)), max_size=20),
    st.integers(0, 2**62),
)
def test_cursor_reply(documents: list[dict[str, int]], number: int) -> None:
    reply = wire.cursor_reply(map(bson.encode, documents), "firstBatch", number, "t.c")
    wanted = {"cursor": {"firstBatch": documents, "id": number, "ns": "t.c"}, "ok": 1.0}
    assert bson.decode(reply.encode()) == wanted
