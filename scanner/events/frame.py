"""One IceTray frame: a stop letter and serialised objects by key.

Layout (little endian), from ``I3Frame.cxx`` of icecube/icetray-public::

    '[i3]'  u32 version  u8 0  u8 0  u8 stop  u32 n
    n times: u32 length, key;  u32 length, type name;  u32 length, object
    u32 checksum of everything from the stop letter on
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.common.errors import EventError
from scanner.events.crc import crc16_ccitt, crc32c

__all__ = ["Frame", "FrameObject", "decode_frame", "encode_frame"]

_TAG = b"[i3]"
_VERSION = 6
_HEAD = struct.Struct("<4sIBBBI")
_CHECKED_FROM = 10  # offset of the stop letter
_MAX_OBJECTS = 1000  # real frames hold about 25
_U32 = struct.Struct("<I")
_CHECKSUMS = {5: crc16_ccitt, 6: crc32c}


@dataclass(frozen=True)
class FrameObject:
    """A serialised object of a frame, and where it lies in it."""

    type_name: str  # as IceTray demangles it, such as "I3Particle"
    data: bytes
    frame: str = ""  # stop letter and key, such as "P/I3EventHeader"
    offset: int = 0  # of the first data byte in the frame


@dataclass(frozen=True)
class Frame:
    """A frame: ``stop`` is one of G, C, D, Q, P (or p, a physics frame that a scanner prepared)."""

    stop: str
    objects: Mapping[str, FrameObject] = field(default_factory=dict)
    damage: str = ""  # why none of its objects could be read, of a frame that nobody needs


def decode_frame(data: bytes) -> Frame:
    """Decode one frame and compare its checksum.

    Raises
    ------
    EventError
        When the bytes are not exactly one frame of version 5 or 6, or the checksum differs.
    """
    smallest = _HEAD.size + _U32.size
    if len(data) < smallest:
        raise EventError(f"a frame has at least {smallest} bytes, here are {len(data)}", offset=0)
    tag, version, _, _, stop_code, n_objects = _HEAD.unpack_from(data)
    if tag != _TAG:
        raise EventError(f"a frame starts with {_TAG!r}, not {tag!r}", offset=0)
    if version not in _CHECKSUMS:
        when = "; frames before version 5 were written before 2011" if version < min(_CHECKSUMS) else ""
        raise EventError(f"frame version {version}; this reader knows 5 and 6{when}", offset=4)
    stop = chr(stop_code)
    try:
        objects = _decode_objects(data, n_objects, stop)
        _compare_checksum(data, version)
    except EventError as error:
        error.frame = stop
        raise
    return Frame(stop, objects)


def encode_frame(frame: Frame) -> bytes:
    """The bytes of a frame (version 6), objects sorted by key as IceTray writes them."""
    out = bytearray(_HEAD.pack(_TAG, _VERSION, 0, 0, ord(frame.stop), len(frame.objects)))
    for key, item in sorted(frame.objects.items()):
        for part in (key.encode(), item.type_name.encode(), item.data):
            out += _U32.pack(len(part)) + part
    return bytes(out) + _U32.pack(crc32c(memoryview(out)[_CHECKED_FROM:]))


def _decode_objects(data: bytes, n_objects: int, stop: str) -> dict[str, FrameObject]:
    position, end = _HEAD.size, len(data) - _U32.size
    if n_objects > (end - position) // (3 * _U32.size):
        raise EventError(f"{n_objects} objects do not fit into {end - position} bytes", offset=11)
    if n_objects > _MAX_OBJECTS:
        raise EventError(f"{n_objects} objects are more than the {_MAX_OBJECTS} allowed", offset=11)
    objects: dict[str, FrameObject] = {}
    for _ in range(n_objects):
        start = position
        key, position = _block(data, position, end)
        type_name, position = _block(data, position, end)
        content, position = _block(data, position, end)
        name = _text(key, start)
        if name in objects:
            raise EventError(f"the key {name!r} occurs twice", offset=start)
        content_start = position - len(content)
        objects[name] = FrameObject(_text(type_name, start), content, f"{stop}/{name}", content_start)
    if position != end:
        raise EventError(f"{end - position} bytes are left over after {n_objects} objects", offset=position)
    return objects


def _block(data: bytes, position: int, end: int) -> tuple[bytes, int]:
    """A length-prefixed block and the position after it."""
    if position + _U32.size > end:
        raise EventError("the frame ends within a length", offset=position)
    (length,) = _U32.unpack_from(data, position)
    start = position + _U32.size
    if length > end - start:
        raise EventError(f"a length of {length} exceeds the {end - start} bytes left", offset=position)
    return data[start:start + length], start + length


def _text(raw: bytes, offset: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise EventError("a key or type name is not UTF-8", offset=offset) from None


def _compare_checksum(data: bytes, version: int) -> None:
    position = len(data) - _U32.size
    (stored,) = _U32.unpack_from(data, position)
    computed = _CHECKSUMS[version](data[_CHECKED_FROM:position])
    if stored != computed:
        raise EventError(f"checksum {stored:08x} is stored, {computed:08x} computed: the frame is damaged",
                         offset=position)
