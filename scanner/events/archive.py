"""IceCube's portable binary archive: the bytes in which IceTray stores one object.

The rules, from ``portable_binary_archive.rst`` of icecube/icetray-public: little endian throughout; the
first time a class occurs in an archive it is preceded by its tracking level and its version (one byte
each); every object of a tracked class is preceded by a 32-bit object id. Which classes are tracked is a
matter of the program that wrote the archive, so the reader goes by what the archive says. Strings and
vectors start with a 32-bit count. An object held by pointer starts with a class id and the name under
which its class is exported.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from typing import Any

import numpy as np

from scanner.common.errors import EventError
from scanner.events.typenames import class_of

__all__ = ["ArchiveReader", "ArchiveWriter", "exported_name"]

_FRAME_OBJECT = "I3FrameObject"  # the tracked, empty base class of everything in a frame
_CLASS_ID = 2  # of a top-level object: 0 is the pointer, 1 its static type

_PREAMBLE = b"\0\1"  # of every object: a shared pointer, untracked, version 1
_LONGEST_NAME = 200

_U8 = struct.Struct("<B")
_I16 = struct.Struct("<h")
_U16 = struct.Struct("<H")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_U64 = struct.Struct("<Q")
_F32 = struct.Struct("<f")
_F64 = struct.Struct("<d")


def exported_name(data: bytes) -> str:
    """The class that stands in front of a serialised object; empty when none can be read."""
    start = len(_PREAMBLE) + _I16.size + _U32.size
    if len(data) < start or not data.startswith(_PREAMBLE):
        return ""
    (length,) = _U32.unpack_from(data, start - _U32.size)
    if length > min(_LONGEST_NAME, len(data) - start):
        return ""
    return data[start:start + length].decode("latin1")


class ArchiveReader:
    """Reads one serialised object from the start to the last byte.

    Parameters
    ----------
    data : bytes
        The object.
    frame : str
        Frame and key, for error messages.
    offset : int
        Offset of ``data`` in the frame, for error messages.

    Every method raises `EventError` when the bytes are too few or not what the format asks for.
    """

    def __init__(self, data: bytes, frame: str = "", offset: int = 0) -> None:
        self._data = data
        self._frame = frame
        self._base = offset
        self._position = 0
        self._classes: dict[str, tuple[bool, int]] = {}

    @property
    def remaining(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._position

    def error(self, reason: str) -> EventError:
        """An error at the present position."""
        return EventError(reason, frame=self._frame, offset=self._base + self._position)

    def raw(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if size > self.remaining:
            raise self.error(f"{size} bytes are needed, {self.remaining} are left")
        start = self._position
        self._position += size
        return self._data[start:self._position]

    def u8(self) -> int:
        return self._unpack(_U8)

    def i16(self) -> int:
        return self._unpack(_I16)

    def u16(self) -> int:
        return self._unpack(_U16)

    def i32(self) -> int:
        return self._unpack(_I32)

    def u32(self) -> int:
        return self._unpack(_U32)

    def i64(self) -> int:
        return self._unpack(_I64)

    def u64(self) -> int:
        return self._unpack(_U64)

    def f32(self) -> float:
        return self._unpack(_F32)

    def f64(self) -> float:
        return self._unpack(_F64)

    def string(self) -> str:
        """A counted string; bytes that are not UTF-8 are refused."""
        raw = self.raw(self.count(1))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.error("a string is not UTF-8") from None

    def count(self, item_size: int) -> int:
        """A 32-bit count of items that take at least ``item_size`` bytes each."""
        count = self.u32()
        if count * item_size > self.remaining:
            raise self.error(f"{count} items of {item_size} bytes do not fit into {self.remaining} bytes")
        return count

    def array(self, dtype: np.dtype, count: int) -> np.ndarray:
        """``count`` items of a packed ``dtype``."""
        return np.frombuffer(self.raw(count * dtype.itemsize), dtype=dtype)

    def class_header(self, name: str, versions: Container[int] = (0,)) -> tuple[bool, int]:
        """Read what precedes the first object of a class; return whether it is tracked, and its version."""
        if name not in self._classes:
            tracking, version = self.u8(), self.u8()
            if tracking not in (0, 1):
                raise self.error(f"{name} cannot have tracking level {tracking}")
            if version not in versions:
                raise self.error(f"version {version} of {name} is unknown to this reader")
            self._classes[name] = bool(tracking), version
        return self._classes[name]

    def class_info(self, name: str, versions: Container[int] = (0,)) -> int:
        """Read what precedes every object of class ``name``; return the version of the class."""
        tracked, version = self.class_header(name, versions)
        if tracked:
            self.u32()
        return version

    def base(self) -> None:
        """The base class of an object that can stand in a frame; it holds nothing."""
        self.class_info(_FRAME_OBJECT)

    def begin(self, name: str, versions: Container[int] = (0,), based: Container[int] | None = None) -> int:
        """The preamble of a top-level object, exported as ``name``; return its class version.

        ``based`` are the versions whose data start with those of the base class; by default all.
        """
        if self.raw(len(_PREAMBLE)) != _PREAMBLE or self.i16() != _CLASS_ID:
            raise self.error("an object starts with 00 01 02 00")
        stored = self.string()
        if class_of(stored) != name:
            raise self.error(f"an object of class {name} is expected, not {stored[:80]!r}")
        version = self.class_info(name, versions)
        if based is None or version in based:
            self.base()
        return version

    def finish(self) -> None:
        """Check that every byte was used."""
        if self.remaining:
            raise self.error(f"{self.remaining} bytes are left over")

    def _unpack(self, layout: struct.Struct) -> Any:
        start = self._position
        if start + layout.size > len(self._data):
            raise self.error(f"{layout.size} bytes are needed, {self.remaining} are left")
        self._position += layout.size
        return layout.unpack_from(self._data, start)[0]


class ArchiveWriter:
    """Writes one object; the counterpart of `ArchiveReader`, method by method."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._versions: set[str] = set()
        self._object_id = 0

    def raw(self, data: bytes) -> None:
        self._out += data

    def u8(self, value: int) -> None:
        self._out += _U8.pack(value)

    def u16(self, value: int) -> None:
        self._out += _U16.pack(value)

    def i32(self, value: int) -> None:
        self._out += _I32.pack(value)

    def u32(self, value: int) -> None:
        self._out += _U32.pack(value)

    def i64(self, value: int) -> None:
        self._out += _I64.pack(value)

    def u64(self, value: int) -> None:
        self._out += _U64.pack(value)

    def f64(self, value: float) -> None:
        self._out += _F64.pack(value)

    def string(self, text: str) -> None:
        raw = text.encode()
        self.u32(len(raw))
        self.raw(raw)

    def class_info(self, name: str, *, tracked: bool = False, version: int = 0) -> None:
        if name not in self._versions:
            self._versions.add(name)
            self._out += bytes((tracked, version))
        if tracked:
            self.u32(self._object_id)
            self._object_id += 1

    def base(self) -> None:
        self.class_info(_FRAME_OBJECT, tracked=True)

    def begin(self, name: str, version: int = 0) -> None:
        self._out += _PREAMBLE + _I16.pack(_CLASS_ID)
        self.string(name)
        self.class_info(name, tracked=True, version=version)
        self.base()

    def finish(self) -> bytes:
        """Everything written."""
        return bytes(self._out)
