"""The pickle around a frame is walked, never executed."""

from __future__ import annotations

import pickle
import pickletools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events.pickles import frame_from_pickle, frame_to_pickle

FRAME = b"[i3]\0\xff\x80rest"


def python2_pickle(frame: bytes, opcode: bytes) -> bytes:
    return b"\x80\x02cicecube.icetray\nI3Frame\nq\x01)Rq\x02}q\x03" + opcode + frame + b"\x86b."


@given(st.binary(max_size=100))
def test_round_trip(data: bytes) -> None:
    frame = b"[i3]" + data
    assert frame_from_pickle(frame_to_pickle(frame)) == frame


def test_what_is_written_is_a_well_formed_pickle() -> None:
    names = [opcode.name for opcode, _, _ in pickletools.genops(frame_to_pickle(FRAME))]
    assert names[0] == "PROTO"
    assert names[-2:] == ["BUILD", "STOP"]


def test_old_packets_hold_byte_strings() -> None:
    long = b"T" + struct.pack("<i", len(FRAME))
    short = b"U" + bytes([len(FRAME)])
    assert frame_from_pickle(python2_pickle(FRAME, long)) == FRAME
    assert frame_from_pickle(python2_pickle(FRAME, short)) == FRAME


class Evil:
    """Runs a command when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("true",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_code_is_refused(protocol: int) -> None:
    with pytest.raises(EventError):
        frame_from_pickle(pickle.dumps(Evil(), protocol))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "without STOP"),
        (b"\x80\x02", "without STOP"),
        (b"\x80", "damaged"),
        (b"\x80\x02X\xff\xff\xff\xff[i3]", "BINUNICODE is damaged"),
        (b"T\xff\xff\xff\xff[i3]", "BINSTRING is damaged"),
        (b"cos\nsystem\n.", "asks for b'os"),
        (b"c_codecs\nencode", "asks for"),
        (b"\xffabc", "opcode 0xff"),
        (b"I12\n.", "opcode INT"),
        (b".", "holds 0 frames"),
        (b"}" * 100 + b".", "more than 50 opcodes"),
        (b"U\x04[i3]U\x04[i3].", "holds 2 frames"),
        (b"U\x04[i3]..", "after the end"),
        (b"X\x07\0\0\0[i3]\xe2\x82\xac.", "not Latin-1"),
        (b"X\x01\0\0\0\xff.", "damaged"),
    ],
)
def test_reasons(data: bytes, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        frame_from_pickle(data)


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(EventError):
        frame_from_pickle(b"\x80\x02" + data)
