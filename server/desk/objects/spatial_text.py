"""Tables of places with an extent, such as gamma-ray sources: circles (``radius``) or ellipses
(``amaj``, ``amin``, ``phi``)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["MOST_ENTRIES", "SpatialTextError", "read_entries"]

MOST_ENTRIES = 20_000
_CIRCLE, _ELLIPSE = ("radius",), ("amaj", "amin", "phi")
_PLACE = ("ra", "dec")
_SIZES = (1e-5, 60.0)  # degrees
_MOST_NAME = 200


class SpatialTextError(ValueError):
    """A table that is no spatial catalogue; the text names the line, the column and the reason."""


def read_entries(text: str) -> dict[str, dict[str, float]]:
    """The entries of a comma-separated table with a header: by their names, degrees of `_columns`.

    Blanks in names become ``-``, as SkyPortal has it. Raises SpatialTextError.
    """
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), skipinitialspace=True, strict=True)
    found: dict[str, dict[str, float]] = {}
    try:
        header = [name.strip() for name in next(reader, [])]
        wanted = _columns(header)
        for cells in reader:
            if any(map(str.strip, cells)):
                name, entry = _entry(header, wanted, cells, reader.line_num)
                if name in found:
                    raise _error(reader.line_num, f"the name {name!r} is there twice")
                found[name] = entry
    except csv.Error as error:
        raise _error(reader.line_num, str(error)) from None
    if not 0 < len(found) <= MOST_ENTRIES:
        raise SpatialTextError(f"catalogData: must have 1 to {MOST_ENTRIES} entries, not {len(found)}")
    return found


def _columns(header: list[str]) -> tuple[str, ...]:
    """The columns of numbers: others than these are left alone."""
    shape = _CIRCLE if "radius" in header else _ELLIPSE
    for name in ("name", *_PLACE, *shape):
        if header.count(name) != 1:
            raise SpatialTextError(f"catalogData: the column {name!r} must be there once; needed are name, "
                                   "ra, dec, and radius or amaj, amin, phi")
    return (*_PLACE, *shape)


def _entry(header: list[str], wanted: tuple[str, ...], cells: list[str], line: int
           ) -> tuple[str, dict[str, float]]:
    if len(cells) != len(header):
        raise _error(line, f"{len(cells)} values for {len(header)} columns")
    row = dict(zip(header, map(str.strip, cells), strict=True))
    name = row["name"].replace(" ", "-")
    if not 0 < len(name) <= _MOST_NAME or "\0" in name:
        raise _error(line, f"name must have 1 to {_MOST_NAME} characters")
    entry = {column: _number(row[column], column, line) for column in wanted}
    _check(entry, line)
    return name, entry


def _number(text: str, column: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _error(line, f"{column} must be a number, not {text[:40]!r}")
    return value


def _check(entry: Mapping[str, Any], line: int) -> None:
    if not 0 <= entry["ra"] < 360 or not -90 <= entry["dec"] <= 90:
        raise _error(line, "ra must be at least 0 and less than 360, dec from -90 to 90")
    low, high = _SIZES
    for name in ("radius", "amaj", "amin"):
        if not low <= entry.get(name, low) <= high:
            raise _error(line, f"{name} must be from {low:.5f} to {high:g} degrees, not {entry[name]:g}")


def _error(line: int, reason: str) -> SpatialTextError:
    return SpatialTextError(f"catalogData: line {line}: {reason}")
