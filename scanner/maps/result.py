"""The result of a sky scan, in the files that icecube-skyreader 1.6 reads and writes (version 1).

One table per nside: RING pixels of ICRS directions with −ln L and the fitted vertex. The format is
defined by skyreader's ``SkyScanResult`` (github.com/icecube/skyreader, MIT licence).
``PIXEL_DTYPE`` lives here; the reconstructions import it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from config.unpacking import UnpackError, npz_arrays
from scanner.maps import healpix
from scanner.maps.energy import EventEnergy

__all__ = ["NAN", "PIXEL_DTYPE", "Method", "ResultError", "ScanMetadata", "ScanResult", "as_pixels",
           "nan_rows"]

PIXEL_DTYPE = np.dtype([
    ("index", "i8"),  # RING pixel
    ("llh", "f8"),  # −ln L, smaller is better; NaN: the fit failed
    ("E_in", "f8"), ("E_tot", "f8"),  # GeV of energy losses inside the detector and in all; NaN: not fitted
    ("X", "f8"), ("Y", "f8"), ("Z", "f8"),  # metres, detector coordinates
    ("T", "f8"),  # ns, event time
])
_COLUMNS = list(PIXEL_DTYPE.names or ())
_COLUMNS_OF_VERSION = {0: _COLUMNS[:4], 1: _COLUMNS}
_VERSION = 1
_MOST_BYTES = 4 << 30  # of the arrays of a file
NAN = "<skyreader.nan>"  # how skyreader ≥ 1.6 spells NaN, which JSON does not have
_KEY = re.compile(r"nside-([1-9][0-9]{0,9})")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9 ._+-]{0,64}")
_METHOD = re.compile(r"[A-Za-z0-9._-]{0,64}")


class ResultError(ValueError):
    """A scan result that breaks its format; the text names the key and the reason."""


@dataclass(frozen=True)
class ScanMetadata:
    """Which event was scanned."""

    run_id: int = 0
    event_id: int = 0
    event_type: str = ""
    mjd: float = 0.0
    is_real_event: bool = False

    def __post_init__(self) -> None:
        for name in ("run_id", "event_id"):
            if not 0 <= getattr(self, name) < 2**63:
                raise ResultError(f"{name}: must be from 0 to 2^63 - 1")
        if not _EVENT_TYPE.fullmatch(self.event_type):
            # It becomes part of file names and of FITS headers.
            raise ResultError("event_type: at most 64 letters, digits, spaces and ._+- are allowed")
        if self.is_real_event and not 100_000 <= self.run_id < 1_000_000:
            raise ResultError(f"run_id: a real event has a run from 100000 to 999999, not {self.run_id}")

    @property
    def time(self) -> datetime | None:
        """The event's UTC; None if ``mjd`` is not a day after 1858 (simulations often have 0)."""
        if not 0 < self.mjd < 2_973_483:  # NaN fails as well; the end is the year 9999
            return None
        return datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=self.mjd)

    def __str__(self) -> str:
        return f"run{self.run_id:08d}.evt{self.event_id:012d}.{self.event_type}"


@dataclass(frozen=True)
class Method:
    """How a result was computed; empty where nobody said, as in files of other programs."""

    requested: str = ""  # the reconstruction that was asked for, perhaps by SkyDriver's name for it
    reco: str = ""  # the one that computed

    def __post_init__(self) -> None:
        for name, value in (("reco_algo", self.requested), ("reconstruction", self.reco)):
            if not _METHOD.fullmatch(value):
                raise ResultError(f"metadata.{name}: at most 64 letters, digits and ._- are allowed")

    def __str__(self) -> str:
        """Such as ``track_mpe`` or ``track_mpe for splinempe``."""
        if self.requested in ("", self.reco):
            return self.reco
        return f"{self.reco} for {self.requested}" if self.reco else self.requested


@dataclass(frozen=True)
class ScanResult:
    """Tables of reconstructed pixels, one per nside, each sorted by pixel index.

    ``pixels`` maps nside to an array of ``PIXEL_DTYPE``; ``complete`` says that the scan is over. The files
    name the ``method`` by two further entries of their metadata, and the best fit's ``energy`` by more of
    them, which skyreader keeps without looking. Products bear the date ``made``, which no file keeps.
    """

    pixels: Mapping[int, np.ndarray]
    metadata: ScanMetadata = ScanMetadata()
    complete: bool = False
    method: Method = Method()
    energy: EventEnergy | None = None
    made: datetime | None = None  # None: products are dated when they are made

    def __post_init__(self) -> None:
        tables = {nside: as_pixels(nside, self.pixels[nside]) for nside in sorted(self.pixels)}
        object.__setattr__(self, "pixels", tables)

    @property
    def date(self) -> datetime:
        """What products are dated, in UTC."""
        return self.made or datetime.now(UTC)

    @property
    def nsides(self) -> list[int]:
        """The nsides that have a table, ascending."""
        return list(self.pixels)

    def file_name(self, extension: str) -> str:
        """The name that skyreader gives, such as ``run00136766.evt000007637140.neutrino_8_64_512.json``."""
        if not self.pixels:
            raise ResultError("pixels: a result without pixels has no file name")
        return f"{self.metadata}_{'_'.join(map(str, self.nsides))}.{extension.lstrip('.')}"

    # JSON

    def to_json(self) -> dict[str, dict[str, Any]]:
        """The result as plain Python values, ready for ``json.dumps(…, allow_nan=False)``."""
        return {f"nside-{nside}": {"columns": list(_COLUMNS),
                                   "metadata": {k: _json_value(v) for k, v in self._header(nside).items()},
                                   "data": _json_rows(table)}
                for nside, table in self.pixels.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ScanResult:
        """Read what ``json.loads`` made of a result of version 0 or 1; ResultError otherwise."""
        if not isinstance(document, Mapping):
            raise ResultError("a result must be an object of 'nside-N' entries")
        tables, headers = {}, []
        for key, entry in document.items():
            nside = _nside_of_key(key)
            tables[nside], header = _table_from_json(key, nside, entry)
            headers.append(header)
        return cls(tables, *_common_metadata(headers))

    # npz

    def to_npz(self, file: str | Path | BinaryIO) -> None:
        """Write an ``.npz`` of plain structured arrays and a ``header`` with one row per nside."""
        header = {"header": self._header_array()} if self.pixels else {}
        tables = {f"nside-{nside}": table for nside, table in self.pixels.items()}
        np.savez(file, allow_pickle=False, **header, **tables)

    @classmethod
    def from_npz(cls, file: str | Path | BinaryIO) -> ScanResult:
        """Read an ``.npz``; one without header belongs to run 0. ResultError when it is something else."""
        arrays = _plain_arrays(file)
        headers = _header_rows(arrays.pop("header", None))
        tables = {_nside_of_key(key): _filled(key, table) for key, table in arrays.items()}
        return cls(tables, *_common_metadata(headers))

    def _header(self, nside: int) -> dict[str, Any]:
        m = self.metadata
        header = {"nside": nside, "complete": self.complete, "run_id": m.run_id, "event_id": m.event_id,
                  "event_type": m.event_type, "mjd": m.mjd,
                  "is_real_event": m.is_real_event, "version": _VERSION}
        if self.method != Method():
            header |= {"reco_algo": self.method.requested, "reconstruction": self.method.reco}
        return header | (self.energy.header() if self.energy else {})

    def _header_array(self) -> np.ndarray:
        width = max(1, len(self.metadata.event_type))
        dtype = [("nside", "i8"), ("complete", "?"), ("run_id", "i8"), ("event_id", "i8"),
                 ("event_type", f"U{width}"), ("mjd", "f8"), ("is_real_event", "?"), ("version", "i8")]
        if self.method != Method():
            dtype += [("reco_algo", f"U{max(1, len(self.method.requested))}"),
                      ("reconstruction", f"U{max(1, len(self.method.reco))}")]
        if self.energy is not None:
            dtype += [(name, f"U{len(value)}" if isinstance(value, str) else "f8")
                      for name, value in self.energy.header().items()]
        return np.array([tuple(self._header(nside).values()) for nside in self.pixels], dtype=dtype)


def nan_rows(pixels: np.ndarray) -> np.ndarray:
    """A table of these pixels (any integers) in which nothing is known."""
    table = np.full(len(pixels), np.array((-1, *[np.nan] * 7), dtype=PIXEL_DTYPE))
    table["index"] = pixels
    return table


def as_pixels(nside: int, table: np.ndarray) -> np.ndarray:
    """A checked table: right columns, pixels of that nside, sorted, none twice; ResultError otherwise."""
    key = f"nside-{nside}"
    if table.dtype != PIXEL_DTYPE:
        raise ResultError(f"{key}: the table has dtype {table.dtype}, it should be {PIXEL_DTYPE}")
    try:
        healpix.order_of(nside)
    except healpix.HealpixError as error:
        raise ResultError(f"{key}: {error}") from error
    ordered = table[np.argsort(table["index"], kind="stable")]
    index = ordered["index"]
    if len(index) and (index[0] < 0 or index[-1] >= healpix.npix(nside)):
        last = healpix.npix(nside) - 1
        raise ResultError(f"{key}: index runs from 0 to {last}, not from {index[0]} to {index[-1]}")
    twice = index[1:][index[1:] == index[:-1]]
    if len(twice):
        raise ResultError(f"{key}: pixel {twice[0]} is there twice")
    return ordered


def _nside_of_key(key: object) -> int:
    match = _KEY.fullmatch(key) if isinstance(key, str) else None
    if match is None:
        raise ResultError(f"{key!r}: keys of a result read 'nside-N', N a power of two")
    return int(match[1])


def _json_value(value: Any) -> Any:
    """NaN and infinities have no JSON spelling; both mean that the fit gave no number."""
    return NAN if isinstance(value, float) and not math.isfinite(value) else value


def _json_rows(table: np.ndarray) -> list[list[Any]]:
    rows = [list(row) for row in table.tolist()]
    broken = np.zeros(len(table), dtype=bool)
    for name in _COLUMNS[1:]:
        broken |= ~np.isfinite(table[name])
    for i in np.flatnonzero(broken):
        rows[i] = [_json_value(value) for value in rows[i]]
    return rows


def _table_from_json(key: str, nside: int, entry: Any) -> tuple[np.ndarray, dict[str, Any]]:
    if not isinstance(entry, Mapping) or set(entry) != {"columns", "metadata", "data"}:
        raise ResultError(f"{key}: must be an object of exactly 'columns', 'metadata' and 'data'")
    header = entry["metadata"]
    if not isinstance(header, Mapping):
        raise ResultError(f"{key}.metadata: must be an object")
    if header.get("nside") != nside:
        raise ResultError(f"{key}.metadata.nside: must be {nside}, not {header.get('nside')!r}")
    version = header.get("version", 0)
    columns = _COLUMNS_OF_VERSION.get(version) if isinstance(version, int) else None
    if columns is None:
        raise ResultError(f"{key}.metadata.version: must be 0 or 1, not {version!r}")
    if entry["columns"] != columns:
        raise ResultError(f"{key}.columns: version {version} has {columns}, not {entry['columns']!r}")
    return _table_from_rows(key, columns, entry["data"]), dict(header)


def _table_from_rows(key: str, columns: list[str], rows: Any) -> np.ndarray:
    if not isinstance(rows, list):
        raise ResultError(f"{key}.data: must be an array of rows")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise ResultError(f"{key}.data[{number}]: must be an array of {len(columns)} values")
    table = nan_rows(np.full(len(rows), -1))
    for i, name in enumerate(columns):
        table[name] = [_number(key, number, name, row[i]) for number, row in enumerate(rows)]
    return table


def _number(key: str, row: int, column: str, value: Any) -> float | int:
    where = f"{key}.data[{row}].{column}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        if column != "index" and value in (NAN, None):  # others write null for NaN
            return math.nan
        raise ResultError(f"{where}: must be a number" + ("" if column == "index" else f" or {NAN!r}"))
    if isinstance(value, int) and value.bit_length() > 62:
        raise ResultError(f"{where}: the number is too large")
    if column != "index":
        return float(value)
    if not (float(value).is_integer() and abs(value) < 2**62):
        raise ResultError(f"{where}: must be a pixel number, not {value!r}")
    return int(value)


def _plain_arrays(file: str | Path | BinaryIO) -> dict[str, np.ndarray]:
    try:
        return npz_arrays(file, _MOST_BYTES)
    except UnpackError as error:
        raise ResultError(str(error)) from error


def _filled(key: str, table: np.ndarray) -> np.ndarray:
    """A table of version 0 or 1 as one of version 1."""
    names = list(table.dtype.names or ())
    if names not in _COLUMNS_OF_VERSION.values() or table.ndim != 1:
        raise ResultError(f"{key}: must be a one-dimensional array with the columns {_COLUMNS}, not {names}")
    whole = nan_rows(np.full(len(table), -1))
    for name in names:
        whole[name] = table[name]
    return whole


def _header_rows(header: np.ndarray | None) -> list[dict[str, Any]]:
    if header is None:
        return []
    if not header.dtype.names:
        raise ResultError("header: must be a structured array with one row per nside")
    return [dict(zip(header.dtype.names, row, strict=True)) for row in header.tolist()]


def _common_metadata(
        headers: Iterable[dict[str, Any]]) -> tuple[ScanMetadata, bool, Method, EventEnergy | None]:
    """What all nsides share: event, whether each of them is complete, method, and the best fit's energy."""
    headers = list(headers)
    if not headers:
        return ScanMetadata(), False, Method(), None
    found = [(_metadata(header), _method(header), _energy(header)) for header in headers]
    if any(repr(other) != repr(found[0]) for other in found):
        raise ResultError("metadata: the nsides belong to different events or reconstructions")
    metadata, method, energy = found[0]
    return metadata, all(header.get("complete") is True for header in headers), method, energy


def _energy(header: Mapping[str, Any]) -> EventEnergy | None:
    values = {name: math.nan if value == NAN else value for name, value in header.items()}
    try:
        return EventEnergy.from_header(values)
    except ValueError as error:
        raise ResultError(str(error)) from None


def _method(header: Mapping[str, Any]) -> Method:
    names = [header.get(name, "") for name in ("reco_algo", "reconstruction")]
    if not all(isinstance(name, str) for name in names):
        raise ResultError("metadata.reco_algo and metadata.reconstruction: must be text")
    return Method(*names)


def _metadata(header: Mapping[str, Any]) -> ScanMetadata:
    values: dict[str, Any] = {}
    for name, kinds, default in (("run_id", (int,), 0), ("event_id", (int,), 0), ("event_type", (str,), ""),
                                 ("mjd", (int, float), 0.0), ("is_real_event", (bool,), False)):
        value = header.get(name, default)
        value = math.nan if value == NAN and name == "mjd" else value
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise ResultError(f"metadata.{name}: must be {wanted}, not {value!r}")
        values[name] = value
    values["mjd"] = float(values["mjd"])
    return ScanMetadata(**values)
