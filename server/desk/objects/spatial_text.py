"""Tables of places with an extent, such as gamma-ray sources: circles (``radius``) or ellipses
(``amaj``, ``amin``, ``phi``), with a class and an association where the table has them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ABOUT", "MOST_ENTRIES", "Entry", "SpatialTextError", "collect", "read_entries", "read_rows"]

MOST_ENTRIES = 100_000
ABOUT = ("class", "association")
"""Columns of words, which a table may have."""
_CIRCLE, _ELLIPSE = ("radius",), ("amaj", "amin", "phi")
_PLACE = ("ra", "dec")
_SIZES = (1e-5, 60.0)  # degrees
_MOST_NAME, _MOST_ABOUT = 200, 200


class SpatialTextError(ValueError):
    """A table that is no spatial catalogue; the text names the line, the column and the reason."""


@dataclass(frozen=True)
class Entry:
    """One place: numbers in degrees, and what is said of it in words."""

    data: dict[str, float]
    about: dict[str, str]


def read_entries(text: str) -> dict[str, Entry]:
    """The entries of a comma-separated table with a header, by their names.

    Blanks in names become ``-``, as SkyPortal has it. Raises SpatialTextError.
    """
    header, rows = read_rows(text)
    _check_header(header)
    return collect((f"line {line}", row) for line, row in rows)


def read_rows(text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The header of a comma-separated table, and its rows with their lines. Raises SpatialTextError."""
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), skipinitialspace=True, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, _row(header, cells, reader.line_num))
                for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise _error(f"line {reader.line_num}", str(error)) from None
    return header, rows


def _row(header: list[str], cells: list[str], line: int) -> dict[str, str]:
    if len(cells) != len(header):
        raise _error(f"line {line}", f"{len(cells)} values for {len(header)} columns")
    return dict(zip(header, map(str.strip, cells), strict=True))


def collect(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Entry]:
    """Entries by their names, of rows of which each says where it stands. Raises SpatialTextError."""
    found: dict[str, Entry] = {}
    for where, row in rows:
        name, entry = _entry(where, row)
        if name in found:
            raise _error(where, f"the name {name!r} is there twice")
        found[name] = entry
    if not 0 < len(found) <= MOST_ENTRIES:
        raise SpatialTextError(f"catalogData: must have 1 to {MOST_ENTRIES} entries, not {len(found)}")
    return found


def _check_header(header: list[str]) -> None:
    """Other columns than these are left alone."""
    for name in ("name", *_PLACE, *(_CIRCLE if "radius" in header else _ELLIPSE)):
        if header.count(name) != 1:
            raise SpatialTextError(f"catalogData: the column {name!r} must be there once; needed are name, "
                                   "ra, dec, and radius or amaj, amin, phi")
    for name in ABOUT:
        if header.count(name) > 1:
            raise SpatialTextError(f"catalogData: the column {name!r} is there twice")


def _entry(where: str, row: Mapping[str, Any]) -> tuple[str, Entry]:
    told = " ".join(str(row["name"]).split())
    name = told.replace(" ", "-")
    if not 0 < len(name) <= _MOST_NAME or "\0" in name:
        raise _error(where, f"name must have 1 to {_MOST_NAME} characters")
    shape = _CIRCLE if "radius" in row else _ELLIPSE
    data = {column: _number(row[column], column, where) for column in (*_PLACE, *shape)}
    _check(data, where)
    about = {column: str(row[column]).replace("\0", "").strip()[:_MOST_ABOUT] for column in ABOUT
             if str(row.get(column) or "").strip()}
    return name, Entry(data, about | ({"name": told} if told != name else {}))


def _number(text: Any, column: str, where: str) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise _error(where, f"{column} must be a number, not {str(text)[:40]!r}")
    return value


def _check(entry: Mapping[str, Any], where: str) -> None:
    if not 0 <= entry["ra"] < 360 or not -90 <= entry["dec"] <= 90:
        raise _error(where, "ra must be at least 0 and less than 360, dec from -90 to 90")
    low, high = _SIZES
    for name in ("radius", "amaj", "amin"):
        if not low <= entry.get(name, low) <= high:
            raise _error(where, f"{name} must be from {low:.5f} to {high:g} degrees, not {entry[name]:g}")


def _error(where: str, reason: str) -> SpatialTextError:
    return SpatialTextError(f"catalogData: {where}: {reason}")
