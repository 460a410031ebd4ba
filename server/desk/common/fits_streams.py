"""The first table of a FITS file from outside, block after block: what lies in memory does not grow with it.

Only what a header declares is unpacked, and a header is looked at before its data: a file that unpacks to
something else is given up after the first of FITS's blocks of 2880 bytes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from config.unpacking import MOST_MEMBERS
from server.desk.common.fits_files import FitsError

__all__ = ["MOST_STREAMED", "TableStream"]

MOST_STREAMED = 12 * 8192**2 * 8 + (16 << 20)  # bytes unpacked: a map of nside 8192 in doubles, and headers
_BLOCK = 2880  # FITS 4.0, section 3.1
_MOST_HEADER = 200 * _BLOCK
_PIECE = 4 << 20
_FED = 64 << 10  # bytes given to zlib at once: it copies what it did not use
_MOST_UNITS = 100
_GZIP = 16 + zlib.MAX_WBITS  # zlib reads gzip's header with it
_SIZES = {"L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "A": "S1"}


@dataclass(frozen=True)
class TableStream:
    """A table that can be read as often as one likes."""

    header: fits.Header
    kind: np.dtype
    rows: int
    data: bytes  # the file, perhaps packed
    start: int  # of the table, in the unpacked file

    @classmethod
    def of(cls, data: bytes) -> TableStream:
        """The first table of a file. Raises FitsError."""
        bytes_ = _Bytes(data)
        for _ in range(_MOST_UNITS):
            header = _header(bytes_)
            size = _size(header)
            if str(header.get("XTENSION", "")).strip() == "BINTABLE":
                kind, rows = _kind(header), int(header["NAXIS2"])
                if bytes_.given + size > MOST_STREAMED:
                    raise FitsError(f"its table has {size} bytes; at most {MOST_STREAMED} are read")
                return cls(header, kind, rows, data, bytes_.given)
            bytes_.skip(-(-size // _BLOCK) * _BLOCK)
        raise FitsError(f"it has no table in its first {_MOST_UNITS} units")

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows, some megabytes at a time. Raises FitsError."""
        bytes_ = _Bytes(self.data)
        bytes_.skip(self.start)
        each, left = max(_PIECE // self.kind.itemsize, 1), self.rows
        while left:
            count = min(each, left)
            yield np.frombuffer(bytes_.take(count * self.kind.itemsize), self.kind)
            left -= count


class _Bytes:
    """The bytes of a file one after the other, unpacked when it is packed with gzip."""

    def __init__(self, data: bytes) -> None:
        self.given = 0
        self._data, self._at, self._tail, self._members = data, 0, b"", 0
        self._packed = data[:2] == b"\x1f\x8b"
        self._stream = zlib.decompressobj(_GZIP)

    def take(self, count: int) -> bytes:
        """Exactly so many. Raises FitsError."""
        parts: list[bytes] = []
        missing = count
        while missing:
            part = self._some(missing)
            if not part:
                raise FitsError(f"it ends after {self.given} bytes, before what its headers declare")
            parts.append(part)
            missing -= len(part)
            self.given += len(part)
            if self.given > MOST_STREAMED:
                raise FitsError(f"it is larger than {MOST_STREAMED} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, count: int) -> None:
        """Pass over some."""
        while count > 0:
            count -= len(self.take(min(count, _PIECE)))

    def _some(self, most: int) -> bytes:
        if not self._packed:
            part = self._data[self._at:self._at + most]
            self._at += len(part)
            return part
        try:
            return self._unpacked(most)
        except zlib.error as error:
            raise FitsError(f"it is no gzip file: {error}") from None

    def _unpacked(self, most: int) -> bytes:
        """Some of the bytes; none at the end."""
        while True:
            piece = self._tail or self._data[self._at:self._at + _FED]
            if not self._tail:
                self._at += len(piece)
            part = self._stream.decompress(piece, most)
            self._tail = self._stream.unconsumed_tail
            if part or not (piece or self._stream.eof):
                return part
            if self._stream.eof and not self._has_next_member():
                return b""

    def _has_next_member(self) -> bool:
        self._tail = self._stream.unused_data
        self._members += 1
        self._stream = zlib.decompressobj(_GZIP)
        return bool(self._tail or self._at < len(self._data)) and self._members < MOST_MEMBERS


def _header(bytes_: _Bytes) -> fits.Header:
    text = b""
    while not re.search(rb"(?:^|.{80})END {77}", text[-_BLOCK:], re.DOTALL) or len(text) % _BLOCK:
        text += bytes_.take(_BLOCK)
        if not text.startswith((b"SIMPLE  =", b"XTENSION=")):
            raise FitsError("no header where one must be: SIMPLE or XTENSION")
        if len(text) > _MOST_HEADER:
            raise FitsError(f"it has a header of more than {_MOST_HEADER} bytes")
    try:
        return fits.Header.fromstring(text.decode("ascii"))
    except (ValueError, fits.VerifyError) as error:
        raise FitsError(f"a header cannot be read: {error}"[:200]) from None


def _size(header: fits.Header) -> int:
    """Bytes of a unit's data without its padding (FITS 4.0, section 4.4.1.2)."""
    lengths = [_count(header, f"NAXIS{axis}") for axis in range(1, 1 + min(_count(header, "NAXIS"), 999))]
    values = 1 if lengths else 0
    for length in lengths:
        values *= length
    bits = abs(int(header.get("BITPIX", 8)))
    return bits // 8 * _count(header, "GCOUNT", 1) * (_count(header, "PCOUNT") + values)


def _count(header: fits.Header, name: str, default: int = 0) -> int:
    value = header.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FitsError(f"{name}: must be a number of 0 or more, not {str(value)[:40]!r}")
    return value


def _kind(header: fits.Header) -> np.dtype:
    """What a row is made of. Raises FitsError."""
    fields: list[tuple[str, str, tuple[int, ...]]] = []
    for number in range(1, 1 + min(_count(header, "TFIELDS"), 999)):
        form = str(header.get(f"TFORM{number}", "")).strip().upper()
        match = re.fullmatch(r"(\d{0,8})([LBIJKEDA]).*", form)
        if match is None:
            raise FitsError(f"TFORM{number}: columns of {form[:20]!r} are not read in a flat map")
        if any(header.get(f"{card}{number}", usual) != usual for card, usual in (("TSCAL", 1), ("TZERO", 0))):
            raise FitsError(f"TSCAL{number}, TZERO{number}: scaled columns are not read in a flat map")
        name = str(header.get(f"TTYPE{number}", "")).strip().upper() or f"COLUMN{number}"
        fields.append((name, _SIZES[match[2]], (int(match[1] or 1),)))
    if len({name for name, *_ in fields}) < len(fields):
        raise FitsError("two of its columns have the same name")
    kind = np.dtype(fields)
    if not 0 < kind.itemsize <= _PIECE or kind.itemsize != _count(header, "NAXIS1"):
        raise FitsError(f"NAXIS1: rows have {kind.itemsize} bytes by their columns, at most {_PIECE}")
    return kind
