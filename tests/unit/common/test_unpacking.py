"""What comes compressed never makes more than it may, whatever it says of itself."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import unpacking
from config.unpacking import TooMuch, UnpackError, gunzip, inflate, npz_arrays, own

MOST = 1 << 30
ZEROS = b"\0" * (40 << 20)


@given(st.binary(max_size=2000))
def test_what_was_packed_comes_back(data: bytes) -> None:
    assert inflate(zlib.compress(data), MOST) == data
    assert gunzip(gzip.compress(data) + gzip.compress(b"x") + b"\0\0", MOST) == data + b"x"
    assert own(zlib.compress(data)) == data


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    for unpack in (lambda: inflate(data, 1000), lambda: gunzip(data, 1000),
                   lambda: npz_arrays(io.BytesIO(data), 1000)):
        with pytest.raises(UnpackError):
            unpack()


def test_there_is_a_limit_on_the_whole() -> None:
    with pytest.raises(TooMuch, match="more than 1000 bytes"):
        inflate(zlib.compress(b"x" * 1001), 1000)
    with pytest.raises(TooMuch, match="more than"):
        gunzip(gzip.compress(b"x" * 600) * 2, 1000)
    assert inflate(zlib.compress(b"x" * 1000), 1000) == b"x" * 1000


def test_there_is_a_limit_on_the_ratio_of_large_things() -> None:
    with pytest.raises(TooMuch, match="200 times its size"):
        inflate(zlib.compress(ZEROS, 9), MOST)
    with pytest.raises(TooMuch, match="200 times its size"):
        gunzip(gzip.compress(ZEROS, 9), MOST)
    assert own(zlib.compress(ZEROS, 9)) == ZEROS
    assert len(inflate(zlib.compress(ZEROS[:unpacking.FREE_BYTES], 9), MOST)) == unpacking.FREE_BYTES


def test_a_gzip_file_has_few_members() -> None:
    with pytest.raises(TooMuch, match="members"):
        gunzip(gzip.compress(b"") * 1000, MOST)


@pytest.mark.parametrize("data", [zlib.compress(b"abc")[:-1], zlib.compress(b"abc") + b"x", b"", b"abc"])
def test_what_is_cut_off_or_goes_on_is_refused(data: bytes) -> None:
    with pytest.raises(UnpackError):
        inflate(data, MOST)


# -- arrays


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def zipped(name: str, content: bytes, kind: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr(name, content)
    return file


def test_arrays_come_back() -> None:
    rows = np.zeros(3, dtype=[("a", "i8"), ("b", "f4")])
    found = npz_arrays(io.BytesIO(npz(x=np.arange(6.0).reshape(2, 3), rows=rows, one=np.array(5))), MOST)
    assert {name: array.shape for name, array in found.items()} == {"x": (2, 3), "rows": (3,), "one": ()}
    assert found["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["rows"].dtype == rows.dtype


def test_arrays_have_limits_on_the_whole_and_on_the_ratio() -> None:
    with pytest.raises(TooMuch, match="larger than 1000 bytes"):
        npz_arrays(io.BytesIO(npz(x=np.zeros(1000))), 1000)
    with pytest.raises(TooMuch, match="200 times"):
        npz_arrays(io.BytesIO(npz(x=np.zeros(5_000_000))), MOST)


def header_saying(text: str, data: bytes = b"") -> bytes:
    """An .npy file whose header is this text."""
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + data


SAYS = "{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }"


@pytest.mark.parametrize(("name", "content"), [
    ("x.npy", header_saying(SAYS % ("<f8", 10**12), b"12345678")),
    ("x.npy", header_saying(SAYS % ("<f8", -1), b"12345678")),
    ("x.npy", header_saying(SAYS % ("|V0", 10**13), b"1")),
    ("x.npy", header_saying(SAYS % ("|O", 1), b"12345678")),
    ("x.npy", b"no array"), ("x.txt", b"text")])
def test_an_array_that_is_none_is_refused(name: str, content: bytes) -> None:
    with pytest.raises(UnpackError):
        npz_arrays(zipped(name, content), MOST)


def test_other_compressions_are_refused() -> None:
    with pytest.raises(UnpackError, match="NumPy does not write"):
        npz_arrays(zipped("x.npy", b"x" * 100, zipfile.ZIP_BZIP2), MOST)
