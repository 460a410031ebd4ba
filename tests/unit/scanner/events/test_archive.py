"""The portable binary archive, primitive by primitive."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from scanner.common.errors import EventError
from scanner.events.archive import ArchiveReader, ArchiveWriter


def test_numbers_are_little_endian() -> None:
    archive = ArchiveReader(struct.pack("<BhHiIqQd", 200, -2, 60_000, -3, 4_000_000_000, -5, 2**63, 0.5))
    values = (
        archive.u8(),
        archive.i16(),
        archive.u16(),
        archive.i32(),
        archive.u32(),
        archive.i64(),
        archive.u64(),
        archive.f64(),
    )
    archive.finish()
    assert values == (200, -2, 60_000, -3, 4_000_000_000, -5, 2**63, 0.5)


def test_writer_and_reader_agree() -> None:
    writer = ArchiveWriter()
    writer.begin("I3Thing", version=3)
    writer.string("naïve")
    for _ in range(2):
        writer.class_info("Tracked", tracked=True, version=1)
        writer.class_info("Plain")
        writer.u16(7)
    reader = ArchiveReader(writer.finish())
    assert reader.begin("I3Thing", (2, 3)) == 3
    assert reader.string() == "naïve"
    for _ in range(2):
        assert reader.class_info("Tracked", (1,)) == 1
        assert reader.class_info("Plain") == 0
        assert reader.u16() == 7
    reader.finish()


def test_preamble_by_hand() -> None:
    writer = ArchiveWriter()
    writer.begin("I3Double")
    assert writer.finish() == (
        b"\0\1\2\0" + b"\x08\0\0\0I3Double" + b"\1\0" + b"\0\0\0\0" + b"\1\0" + b"\1\0\0\0"
    )


def test_the_archive_says_whether_a_class_is_tracked() -> None:
    tracked = ArchiveReader(b"\1\0" + b"\5\0\0\0" + b"\x2a" + b"\6\0\0\0" + b"\x2b")
    plain = ArchiveReader(b"\0\0" + b"\x2a" + b"\x2b")
    for archive in (tracked, plain):
        values = []
        for _ in range(2):
            archive.class_info("C")
            values.append(archive.u8())
        archive.finish()
        assert values == [0x2A, 0x2B]


def test_arrays() -> None:
    archive = ArchiveReader(struct.pack("<I2H", 2, 1, 515))
    dtype = np.dtype("<u2")
    assert archive.array(dtype, archive.count(dtype.itemsize)).tolist() == [1, 515]


@pytest.mark.parametrize(
    ("data", "use", "reason"),
    [
        (b"\0\0", "u32", "4 bytes are needed, 2 are left"),
        (b"\xff\xff\xff\xff", "string", "do not fit into 0 bytes"),
        (b"\1\0\0\0\xff", "string", "not UTF-8"),
        (b"\2\0", "base", "tracking level 2"),
        (b"\1\7\0\0\0\0", "base", "version 7 of I3FrameObject"),
        (b"x", "finish", "1 bytes are left over"),
    ],
)
def test_errors_name_the_place(data: bytes, use: str, reason: str) -> None:
    archive = ArchiveReader(data, "P/Key", offset=100)
    with pytest.raises(EventError, match=reason) as caught:
        getattr(archive, use)()
    assert caught.value.frame == "P/Key"
    assert caught.value.offset in range(100, 100 + len(data) + 1)


def test_another_class_is_refused() -> None:
    writer = ArchiveWriter()
    writer.begin("I3Bool")
    with pytest.raises(EventError, match="I3Double is expected, not 'I3Bool'"):
        ArchiveReader(writer.finish()).begin("I3Double")


def test_a_null_pointer_is_refused() -> None:
    with pytest.raises(EventError, match="starts with 00 01 02 00"):
        ArchiveReader(b"\0\1\xff\xff").begin("I3Double")
