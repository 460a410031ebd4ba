"""Galaxies in text: comma-separated tables, and lines of GLADE+ (Dálya et al. 2022, MNRAS 514, 1403)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator

import msgspec

__all__ = ["GLADE_COLUMNS", "MOST_ROWS", "Galaxy", "GalaxyTextError", "glade_galaxy", "read_table"]

MOST_ROWS = 1_000_000
GLADE_COLUMNS = 40


class GalaxyTextError(ValueError):
    """A table that is no list of galaxies; the text names the line, the column and the reason."""


class Galaxy(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One galaxy. Degrees, Mpc, magnitudes; what is not known is None."""

    name: str
    ra: float
    dec: float
    alt_name: str | None = None
    distmpc: float | None = None
    distmpc_unc: float | None = None
    redshift: float | None = None
    redshift_error: float | None = None
    sfr_fuv: float | None = None
    sfr_w4: float | None = None
    mstar: float | None = None
    magk: float | None = None
    magb: float | None = None
    mag_fuv: float | None = None
    mag_nuv: float | None = None
    a: float | None = None
    b2a: float | None = None
    pa: float | None = None
    btc: float | None = None


_TEXTS = {"name", "alt_name"}
_NEEDED = ("ra", "dec", "name")
_NOT_NEGATIVE = ("distmpc", "distmpc_unc", "redshift", "redshift_error")
_ABSENT = {"", "nan", "null", "none", "na", "n/a", "-"}
_MOST_NAME = 200


def read_table(text: str) -> list[Galaxy]:
    """The galaxies of a comma-separated table with a header. Raises GalaxyTextError."""
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), skipinitialspace=True, strict=True)
    try:
        columns = _columns(next(reader, []))
        rows = [_row(columns, cells, reader.line_num) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise GalaxyTextError(f"catalogData: line {reader.line_num}: {error}") from None
    if not rows:
        raise GalaxyTextError("catalogData: there is no galaxy in it")
    if len(rows) > MOST_ROWS:
        raise GalaxyTextError(f"catalogData: at most {MOST_ROWS} galaxies at once, not {len(rows)}")
    _check_names(rows)
    return rows


def _columns(header: list[str]) -> list[str]:
    names = [name.strip() for name in header]
    for name in _NEEDED:
        if name not in names:
            raise GalaxyTextError(f"catalogData: the column {name!r} is missing")
    if unknown := [name for name in names if name not in Galaxy.__struct_fields__]:
        known = ", ".join(Galaxy.__struct_fields__)
        raise GalaxyTextError(f"catalogData: unknown column {unknown[0][:60]!r}; known: {known}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise GalaxyTextError(f"catalogData: the column {twice[0]!r} is there twice")
    return names


def _row(columns: list[str], cells: list[str], line: int) -> Galaxy:
    if len(cells) != len(columns):
        raise GalaxyTextError(f"catalogData: line {line}: {len(cells)} values for {len(columns)} columns")
    values = {name: _cell(name, cell.strip(), line) for name, cell in zip(columns, cells, strict=True)}
    for name in _NEEDED:
        if values[name] is None:
            raise GalaxyTextError(f"catalogData: line {line}: {name} is missing")
    galaxy = Galaxy(**values)  # type: ignore[arg-type]
    if reason := _wrong(galaxy):
        raise GalaxyTextError(f"catalogData: line {line}: {reason}")
    return galaxy


def _cell(name: str, cell: str, line: int) -> str | float | None:
    if name in _TEXTS:
        if len(cell) > _MOST_NAME or "\0" in cell:
            raise GalaxyTextError(f"catalogData: line {line}: {name} has more than {_MOST_NAME} characters")
        return cell or None
    if cell.lower() in _ABSENT:
        return None
    try:
        number = float(cell)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise GalaxyTextError(f"catalogData: line {line}: {name} must be a number, not {cell[:40]!r}")
    return number


def _wrong(galaxy: Galaxy) -> str:
    """Which rule a galaxy breaks; empty when none."""
    if not 0 <= galaxy.ra < 360:
        return f"ra must be at least 0 and less than 360, not {galaxy.ra:g}"
    if not -90 <= galaxy.dec <= 90:
        return f"dec must be from -90 to 90, not {galaxy.dec:g}"
    for name in _NOT_NEGATIVE:
        if (getattr(galaxy, name) or 0) < 0:
            return f"{name} must not be negative"
    return ""


def _check_names(rows: Iterable[Galaxy]) -> None:
    seen: set[str] = set()
    for galaxy in rows:
        if galaxy.name in seen:
            raise GalaxyTextError(f"catalogData: the name {galaxy.name!r} is there twice")
        seen.add(galaxy.name)


# Columns of GLADE+, counted from 0: GLADE number, ..., B and K_s magnitudes, heliocentric redshift,
# luminosity distance (Mpc) and its error, stellar mass (10^10 solar masses).
_GLADE: dict[str, int] = {"ra": 8, "dec": 9, "magb": 10, "magk": 18, "redshift": 27, "distmpc": 32,
                          "distmpc_unc": 33, "mstar": 35}
_GLADE_SCALE: dict[str, Callable[[float], float]] = {"mstar": lambda value: value * 1e10}


def glade_galaxy(line: str) -> Galaxy | None:
    """The galaxy of a line; None for one without position. Raises GalaxyTextError."""
    cells = line.split()
    if len(cells) != GLADE_COLUMNS:
        raise GalaxyTextError(f"a line of GLADE+ has {GLADE_COLUMNS} columns, not {len(cells)}")
    values = dict(_glade_values(cells))
    if "ra" not in values or "dec" not in values:
        return None
    galaxy = Galaxy(name=f"GLADE-{cells[0]}", **values)  # type: ignore[arg-type]
    for name in _NOT_NEGATIVE:  # nearby galaxies that come towards us
        if (getattr(galaxy, name) or 0) < 0:
            setattr(galaxy, name, None)
    return None if _wrong(galaxy) else galaxy


def _glade_values(cells: list[str]) -> Iterator[tuple[str, float]]:
    for name, column in _GLADE.items():
        if cells[column].lower() in _ABSENT:
            continue
        try:
            number = float(cells[column])
        except ValueError:
            raise GalaxyTextError(f"column {column + 1} is no number: {cells[column][:40]!r}") from None
        if math.isfinite(number):
            yield name, _GLADE_SCALE.get(name, float)(number)
