"""Frames: layout, checksums, and what is said of damaged ones."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events.crc import crc16_ccitt, crc32c
from scanner.events.frame import Frame, FrameObject, decode_frame, encode_frame

OBJECTS = {"A": FrameObject("I3Double", b"\1\2\3"), "B": FrameObject("I3Bool", b"")}


def contents(frame: Frame) -> dict[str, tuple[str, bytes]]:
    return {key: (item.type_name, item.data) for key, item in frame.objects.items()}


@given(
    st.sampled_from("GCDQPp"),
    st.dictionaries(st.text(max_size=8), st.tuples(st.text(max_size=8), st.binary(max_size=40)), max_size=5),
)
def test_round_trip(stop: str, objects: dict[str, tuple[str, bytes]]) -> None:
    frame = Frame(stop, {key: FrameObject(*value) for key, value in objects.items()})
    decoded = decode_frame(encode_frame(frame))
    assert decoded.stop == stop
    assert contents(decoded) == objects


def test_layout_by_hand() -> None:
    body = (
        b"Q"
        + struct.pack("<I", 1)
        + b"".join(struct.pack("<I", len(s)) + s for s in (b"k", b"type", b"data"))
    )
    data = b"[i3]" + struct.pack("<I", 6) + b"\0\0" + body + struct.pack("<I", crc32c(body))
    assert encode_frame(Frame("Q", {"k": FrameObject("type", b"data")})) == data
    item = decode_frame(data).objects["k"]
    assert (item.frame, data[item.offset : item.offset + 4]) == ("Q/k", b"data")


def test_frames_of_version_5_have_the_other_checksum() -> None:
    body = b"Q" + struct.pack("<I", 0)
    data = b"[i3]" + struct.pack("<I", 5) + b"\0\0" + body
    assert decode_frame(data + struct.pack("<I", crc16_ccitt(body))).stop == "Q"
    with pytest.raises(EventError, match="checksum"):
        decode_frame(data + struct.pack("<I", crc16_ccitt(body) ^ 1))


def test_every_damaged_byte_is_noticed() -> None:
    data = encode_frame(Frame("Q", OBJECTS))
    for position in set(range(len(data))) - {
        8,
        9,
    }:  # two bytes of class information, always zero, are not checked
        with pytest.raises(EventError):
            decode_frame(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])


def test_every_truncation_is_noticed() -> None:
    data = encode_frame(Frame("Q", OBJECTS))
    for length in range(len(data)):
        with pytest.raises(EventError):
            decode_frame(data[:length])


def test_an_error_names_frame_and_byte() -> None:
    data = bytearray(encode_frame(Frame("Q", OBJECTS)))
    data[15:19] = struct.pack("<I", 10_000)
    with pytest.raises(EventError, match=r"frame Q, byte 15: a length of 10000 exceeds the \d+ bytes left"):
        decode_frame(bytes(data))


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"[i4]" + struct.pack("<I", 6), "starts with"),
        (b"[i3]" + struct.pack("<I", 4), "version 4"),
        (
            b"[i3]" + struct.pack("<I", 6) + b"\0\0Q" + struct.pack("<I", 2**32 - 1),
            "4294967295 objects do not fit",
        ),
    ],
)
def test_reasons(head: bytes, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        decode_frame(head.ljust(40, b"\0"))


def test_a_key_occurs_once() -> None:
    one = b"".join(struct.pack("<I", len(s)) + s for s in (b"k", b"t", b""))
    body = b"Q" + struct.pack("<I", 2) + one + one
    data = b"[i3]" + struct.pack("<I", 6) + b"\0\0" + body + struct.pack("<I", crc32c(body))
    with pytest.raises(EventError, match="'k' occurs twice"):
        decode_frame(data)
