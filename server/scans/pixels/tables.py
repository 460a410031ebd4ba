"""Pixels and their results as bytes in the database, and as lists in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from bson.binary import Binary

from scanner.maps.result import PIXEL_DTYPE, nan_rows
from scanner.maps.rows import BatchError, rows_from_table, seeds_from_rows
from server.common.errors import BadRequest

__all__ = ["PIXEL_DTYPE", "joined", "pack", "pixels_of", "rows_of", "seeds_json", "spread", "table_from_rows"]

_INDEX = np.dtype("<i8")
_ROW = PIXEL_DTYPE.newbyteorder("<")


def pack(array: np.ndarray) -> Binary:
    """Pixel numbers (int64) or rows of PIXEL_DTYPE, little endian."""
    return Binary(array.astype(_ROW if array.dtype.names else _INDEX).tobytes())


def pixels_of(data: bytes) -> np.ndarray:
    """Packed pixel numbers: int64 of shape (n,)."""
    return np.frombuffer(data, dtype=_INDEX).astype(np.int64)


def rows_of(data: bytes) -> np.ndarray:
    """Packed rows: PIXEL_DTYPE of shape (n,)."""
    return np.frombuffer(data, dtype=_ROW).astype(PIXEL_DTYPE)


def seeds_json(seeds: np.ndarray) -> list[Any]:
    """Seeds as a pilot gets them: a row, or None where there is no seed."""
    rows = rows_from_table(seeds)
    return [row if row[0] != -1 else None for row in rows]


def table_from_rows(rows: Sequence[Any], pixels: np.ndarray) -> np.ndarray:
    """The table of a batch's result, in the order of its pixels.

    Raises BadRequest unless there is one row of eight numbers (or None for NaN) for each pixel.
    """
    if not len(pixels) and not rows:
        return nan_rows(pixels)
    wanted = {int(pixel): place for place, pixel in enumerate(pixels)}
    ordered: list[Any] = [None] * len(pixels)
    for number, row in enumerate(rows):
        _check_row(number, row)
        place = wanted.pop(int(row[0]), None)
        if place is None:
            raise BadRequest(f"'rows.{number}': pixel {row[0]} is not of this batch, or there twice")
        ordered[place] = row
    if wanted:
        raise BadRequest(f"'rows': {len(wanted)} of {len(pixels)} pixels are missing, such as {min(wanted)}")
    try:
        table = seeds_from_rows(ordered, len(ordered))
    except (BatchError, OverflowError) as error:
        raise BadRequest(f"'rows': {error}") from None
    assert table is not None
    return table


def _check_row(number: int, row: Any) -> None:
    ok = isinstance(row, list) and len(row) == len(_ROW.names or ()) and isinstance(row[0], int)
    if not ok or any(isinstance(v, bool) or not isinstance(v, (int, float, type(None))) for v in row):
        raise BadRequest(f"'rows.{number}': must be [index, llh, E_in, E_tot, X, Y, Z, T], null for NaN")


def joined(tables: Iterable[tuple[int, np.ndarray]]) -> dict[int, np.ndarray]:
    """Tables of many batches as one per nside, sorted by pixel."""
    groups: dict[int, list[np.ndarray]] = {}
    for nside, table in tables:
        groups.setdefault(nside, []).append(table)
    return {nside: _sorted(np.concatenate(groups[nside])) for nside in sorted(groups)}


def _sorted(table: np.ndarray) -> np.ndarray:
    return table[np.argsort(table["index"], kind="stable")]


def spread(pixels: np.ndarray) -> np.ndarray:
    """The same pixels in van der Corput's order: any first part of them lies evenly over the whole.

    So the map of a level that is being scanned is coarse everywhere rather than finished in the north.
    """
    n = len(pixels)
    bits = max(1, int(n - 1).bit_length())
    place, reverse = np.arange(n), np.zeros(n, dtype=np.int64)
    for _ in range(bits):
        reverse = reverse << 1 | place & 1
        place = place >> 1
    return pixels[np.argsort(reverse, kind="stable")]
