"""Files of source catalogues as they are published: FITS tables, VOTables, comma-separated text.

Columns are found by the names that catalogues give them: the Fermi-LAT catalogues (Source_Name, RAJ2000,
DEJ2000, Conf_95_SemiMajor …, CLASS1, ASSOC1: fermi.gsfc.nasa.gov/ssc/data/access/lat/14yr_catalog), VizieR's
(_RAJ2000, _DEJ2000, Name …), and our own (name, ra, dec, radius …). Sources without an extent are points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits

from server.common.errors import BadRequest
from server.desk.common.fits_files import FitsError, open_fits
from server.desk.objects.spatial_text import MOST_ENTRIES, Entry, SpatialTextError, collect, read_rows
from server.desk.outside.votables import read_tables

__all__ = ["POINT_DEG", "read_file"]

POINT_DEG = 1e-3  # the radius of a source of which no extent is known
_KNOWN: dict[str, tuple[str, ...]] = {
    "name": ("name", "source_name", "sourcename", "iau_name", "source", "designation", "id"),
    "ra": ("_raj2000", "ra", "raj2000", "ra_deg", "radeg", "ra_icrs", "_ra", "ra_j2000"),
    "dec": ("_dej2000", "dec", "dej2000", "de_deg", "dec_deg", "dedeg", "de_icrs", "_de",
            "dec_j2000", "decj2000"),
    "radius": ("radius",),
    "amaj": ("amaj", "conf_95_semimajor"), "amin": ("amin", "conf_95_semiminor"),
    "phi": ("phi", "conf_95_posang"),
    "class": ("class", "class1", "source_class", "type", "otype"),
    "association": ("association", "assoc1", "assoc", "counterpart")}
_ANGLES = ("ra", "dec", "radius", "amaj", "amin", "phi")
_NEEDED = ("name", "ra", "dec")


def read_file(data: bytes, columns: Mapping[str, str] | None = None) -> dict[str, Entry]:
    """The entries of a file, by their names; `columns` says which of its columns is which of ours.

    Raises SpatialTextError, which names the row and the reason.
    """
    names, rows = _table(data, columns or {})
    found = _columns(names, columns or {})
    try:
        return collect((where, _canonical(row, found)) for where, row in rows)
    except SpatialTextError as error:
        raise SpatialTextError(str(error).replace("catalogData", "file", 1)) from None


_Rows = Iterator[tuple[str, Mapping[str, Any]]]


def _table(data: bytes, columns: Mapping[str, str]) -> tuple[list[str], _Rows]:
    start = data[:500].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:6] == b"SIMPLE" or start[:2] == b"\x1f\x8b":
        return _fits_table(data, columns)
    if start[:1] == b"<":
        return _votable(data)
    try:
        header, rows = read_rows(data.decode("utf8"))
    except UnicodeDecodeError:
        raise SpatialTextError("file: neither FITS, nor a VOTable, nor text in UTF-8") from None
    return header, ((f"line {line}", row) for line, row in rows)


def _columns(names: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Which column of the file is which of ours. Raises SpatialTextError."""
    if unknown := sorted(columns.keys() - _KNOWN.keys()):
        raise SpatialTextError(f"columns: {unknown[0][:60]!r} is none of {', '.join(_KNOWN)}")
    if missing := sorted(set(columns.values()) - set(names)):
        raise SpatialTextError(f"columns: the file has no column {missing[0][:60]!r}")
    lower = {name.lower(): name for name in reversed(names)}
    usual = {ours: next((lower[one] for one in theirs if one in lower), "")
             for ours, theirs in _KNOWN.items()}
    found = {ours: name for ours, name in {**usual, **columns}.items() if name}
    if lost := [ours for ours in _NEEDED if ours not in found]:
        raise SpatialTextError(f"file: no column for {lost[0]}; it has {', '.join(names)[:300]}; say in "
                               f"`columns` which one it is")
    return found


def _canonical(row: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    """A row by our names; one without an extent is a point."""
    own = {ours: row.get(name) for ours, name in found.items()}
    shapes = (("radius",), ("amaj", "amin", "phi"))
    shape = next((names for names in shapes if all(_is_number(own.get(name)) for name in names)), ())
    placed = {name: value for name, value in own.items() if name not in ("radius", "amaj", "amin", "phi")}
    return placed | ({name: own[name] for name in shape} if shape else {"radius": POINT_DEG})


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _fits_table(data: bytes, columns: Mapping[str, str]) -> tuple[list[str], _Rows]:
    """The first table in which our columns are found."""
    refusal = SpatialTextError("file: this FITS file has no table")
    try:
        with open_fits(data) as files:
            for unit in files:
                if not isinstance(unit, fits.BinTableHDU | fits.TableHDU):
                    continue
                names = list(unit.columns.names)
                try:
                    wanted = _columns(names, columns)
                except SpatialTextError as error:
                    refusal = error
                    continue
                return names, _fits_rows(unit, wanted)
    except FitsError as error:
        raise SpatialTextError(f"file: this FITS file cannot be read: {error}") from None
    raise refusal


def _fits_rows(unit: Any, wanted: Mapping[str, str]) -> _Rows:
    count = len(unit.data)
    if count > MOST_ENTRIES:
        raise SpatialTextError(f"file: more than {MOST_ENTRIES} rows")
    values = {name: _values(unit, ours, name) for ours, name in wanted.items()}
    return iter([(f"row {number + 1}", {name: column[number] for name, column in values.items()})
                 for number in range(count)])


def _values(unit: Any, ours: str, name: str) -> list[Any]:
    """A column as plain values, angles in degrees."""
    column = np.asarray(unit.data[name])
    if column.ndim != 1:
        raise SpatialTextError(f"file: column {name!r} has more than one value a row")
    if ours in _ANGLES and column.dtype.kind in "fiu":
        column = column.astype(float) * _degrees(unit.columns[name].unit)
    return [value.decode("utf8", "replace") if isinstance(value, bytes) else value
            for value in column.tolist()]


def _degrees(unit: str | None) -> float:
    """How many degrees one of a unit is; without a unit it is one."""
    if not unit:
        return 1.0
    try:
        return float(units.Unit(unit).to(units.deg))
    except (ValueError, TypeError, units.UnitConversionError):
        raise SpatialTextError(f"file: the unit {unit[:40]!r} is no angle") from None


def _votable(data: bytes) -> tuple[list[str], _Rows]:
    try:
        tables = read_tables("the file", data, MOST_ENTRIES + 1)
    except BadRequest as error:
        raise SpatialTextError(f"file: {error.reason}") from None
    if not tables or not tables[0]:
        raise SpatialTextError("file: this VOTable has no rows")
    names = list(dict.fromkeys(name for row in tables[0] for name in row))
    return names, ((f"row {number}", row) for number, row in enumerate(tables[0], 1))
