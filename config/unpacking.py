"""Unpacking what comes compressed from outside: never more than was allowed, whatever it says of itself.

A kilobyte of a zlib stream makes a megabyte at most, and a header can promise anything. So there is a limit
on the whole, and one on how much larger than what came it may be, which counts from `FREE_BYTES` on: small
things compress as well as they like. What we packed ourselves is unpacked with `own`.

bzip2, xz and zip archives of other things than arrays are not read anywhere.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ["FREE_BYTES", "MOST_MEMBERS", "MOST_OWN", "MOST_RATIO", "TooMuch", "UnpackError", "gunzip",
           "inflate", "npz_arrays", "own"]

MOST_RATIO = 200  # of what comes out to what goes in; arrays and texts of ours have 2 to 50
FREE_BYTES = 32 << 20  # that the ratio does not count for: a flat sky map of zeros has 25 MB
MOST_MEMBERS = 32  # of a gzip file
MOST_OWN = 1 << 30  # of what we packed ourselves

_GZIP = 16 + zlib.MAX_WBITS  # zlib reads gzip's header with it
_NPY = np.lib.format


class UnpackError(ValueError):
    """What came cannot be unpacked; the text says why."""


class TooMuch(UnpackError):
    """It would be too large."""


def inflate(data: bytes, most: int) -> bytes:
    """A zlib stream, and nothing behind it. Raises UnpackError."""
    stream = zlib.decompressobj()
    made = _some_of(stream, data, most, "zlib stream")
    if stream.unused_data:
        raise UnpackError("the zlib stream is followed by other bytes")
    return made


def gunzip(data: bytes, most: int) -> bytes:
    """A gzip file of one or a few members. Raises UnpackError."""
    parts: list[bytes] = []
    for _ in range(MOST_MEMBERS):
        stream = zlib.decompressobj(_GZIP)
        parts.append(_some_of(stream, data, most - sum(map(len, parts)), "gzip file"))
        data = stream.unused_data
        if not data.strip(b"\0"):  # zeros may fill it up
            return b"".join(parts)
    raise TooMuch(f"the gzip file has more than {MOST_MEMBERS} members")


def own(data: bytes) -> bytes:
    """A zlib stream that we packed."""
    stream = zlib.decompressobj()
    return _some_of(stream, data, MOST_OWN, "zlib stream", MOST_OWN)


def npz_arrays(file: str | Path | BinaryIO, most: int) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, none of them of Python objects.

    Raises UnpackError, FileNotFoundError.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members, most)
            return {one.filename.removesuffix(".npy"): _array(archive, one) for one in members}
    except (FileNotFoundError, UnpackError):
        raise
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile,
            zlib.error) as error:
        raise UnpackError(f"not an .npz file of plain arrays: {error}") from None


def _some_of(stream: zlib._Decompress, data: bytes, most: int, name: str, free: int = FREE_BYTES) -> bytes:
    """One stream, whole. Raises UnpackError."""
    allowed = min(most, max(free, MOST_RATIO * len(data)))
    try:
        made = stream.decompress(data, allowed + 1)
    except zlib.error as error:
        raise UnpackError(f"this is not a {name}: {error}") from None
    if len(made) > allowed:
        raise TooMuch(f"the {name} unpacks to more than " + (
            f"{most} bytes" if allowed == most else f"{MOST_RATIO} times its size"))
    if not stream.eof:
        raise UnpackError(f"the {name} is cut off")
    return made


def _check_members(members: list[zipfile.ZipInfo], most: int) -> None:
    size, packed = sum(one.file_size for one in members), sum(one.compress_size for one in members)
    if size > most:
        raise TooMuch(f"the arrays are larger than {most} bytes")
    if size > max(FREE_BYTES, MOST_RATIO * packed):
        raise TooMuch(f"the arrays are more than {MOST_RATIO} times as large as the file")
    if wrong := [one.filename for one in members if not one.filename.endswith(".npy")]:
        raise UnpackError(f"not an .npz file of plain arrays: {wrong[0][:80]!r} is in it")
    if any(one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for one in members):
        raise UnpackError("its arrays are compressed in a way that NumPy does not write")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array. Its header is believed when the bytes are there."""
    with archive.open(member) as file:
        version = _NPY.read_magic(file)
        reader = {(1, 0): _NPY.read_array_header_1_0, (2, 0): _NPY.read_array_header_2_0}.get(version)
        if reader is None:
            raise ValueError(f"{member.filename} is an array of version {version}")
        shape, _, kind = reader(file)
        size = kind.itemsize
        for length in shape:
            size *= length
        if kind.hasobject or size != member.file_size - file.tell():
            raise ValueError(f"{member.filename} has not as many values as it says, or objects")
    with archive.open(member) as file:
        return _NPY.read_array(file, allow_pickle=False)
