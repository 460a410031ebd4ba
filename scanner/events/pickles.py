"""The pickle around a frame, read and written without unpickling.

Realtime packets carry every frame as a Python pickle of one ``I3Frame``. Nothing here executes a pickle: the
opcodes are walked with the tables of `pickletools`, any opcode or name that such a packet does not need is
refused, and the one string that is a frame is returned.
"""

from __future__ import annotations

import io
import pickletools
import struct

from scanner.common.errors import EventError

__all__ = ["frame_from_pickle", "frame_to_pickle"]

_GLOBALS = {b"icecube.icetray\nI3Frame\n", b"icecube._icetray\nI3Frame\n", b"_codecs\nencode\n"}
_STRINGS = {"BINSTRING", "SHORT_BINSTRING", "BINUNICODE"}  # of protocol 2 and before
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}  # of Python 3's protocols
_ALLOWED = _STRINGS | _BYTES | {"PROTO", "GLOBAL", "BINPUT", "LONG_BINPUT", "EMPTY_TUPLE", "EMPTY_DICT",
                                "TUPLE2", "REDUCE", "BUILD", "STOP", "FRAME", "MEMOIZE", "STACK_GLOBAL",
                                "SHORT_BINUNICODE", "BINGET", "LONG_BINGET"}
_WORDS = {line for name in _GLOBALS for line in name.decode().split()} | {"latin1"}
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_MAX_OPCODES = 50  # real ones have at most 19
_FRAME_TAG = "[i3]"


def frame_from_pickle(data: bytes) -> bytes:
    """The bytes of the frame in a pickled ``I3Frame``.

    Raises
    ------
    EventError
        When the pickle holds anything but one frame.
    """
    stream = io.BytesIO(data)
    frames: list[bytes] = []
    for _ in range(_MAX_OPCODES):
        offset = stream.tell()
        name, argument = _next_opcode(stream, offset)
        if name == "STOP":
            break
        if name in _BYTES and argument.startswith(_FRAME_TAG):
            frames.append(argument.encode("latin1"))
        elif name in _STRINGS and argument.startswith(_FRAME_TAG):
            frames.append(_latin1(argument, offset))
        elif name == "SHORT_BINUNICODE" and argument not in _WORDS:
            raise EventError(f"the pickle names {argument[:80]!r}, which no frame needs", offset=offset)
    else:
        raise EventError(f"the pickle has more than {_MAX_OPCODES} opcodes, a frame needs 19", offset=offset)
    if stream.tell() != len(data):
        raise EventError("there are bytes after the end of the pickle", offset=stream.tell())
    if len(frames) != 1:
        raise EventError(f"the pickle holds {len(frames)} frames, not one", offset=0)
    return frames[0]


def frame_to_pickle(frame: bytes) -> bytes:
    """A pickle (protocol 2) that IceTray loads as an ``I3Frame`` with these bytes."""
    return b"".join((
        b"\x80\x02", b"cicecube._icetray\nI3Frame\n", b")R}",
        b"c_codecs\nencode\n", _binunicode(frame.decode("latin1")), _binunicode("latin1"), b"\x86R",
        b"\x86b."))


def _binunicode(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _next_opcode(stream: io.BytesIO, offset: int) -> tuple[str, str]:
    """Name and (string) argument of the next opcode, refused before its argument is looked at."""
    code = stream.read(1)
    if not code:
        raise EventError("the pickle ends without STOP", offset=offset)
    opcode = _OPCODES.get(code.decode("latin1"))
    if opcode is None or opcode.name not in _ALLOWED:
        what = opcode.name if opcode else f"0x{code.hex()}"
        raise EventError(f"the pickle opcode {what} is not one that a frame needs", offset=offset)
    if opcode.name == "GLOBAL":
        _check_global(stream.readline() + stream.readline(), offset)
        return opcode.name, ""
    try:
        argument = opcode.arg.reader(stream) if opcode.arg else None
    except ValueError as error:
        raise EventError(f"the pickle opcode {opcode.name} is damaged: {error}", offset=offset) from None
    if isinstance(argument, bytes):
        argument = argument.decode("latin1")
    return opcode.name, argument if isinstance(argument, str) else ""


def _check_global(lines: bytes, offset: int) -> None:
    if lines not in _GLOBALS:
        raise EventError(f"the pickle asks for {lines[:80]!r}, which no frame needs", offset=offset)


def _latin1(text: str, offset: int) -> bytes:
    try:
        return text.encode("latin1")
    except UnicodeEncodeError:
        raise EventError("the frame's string is not Latin-1", offset=offset) from None
