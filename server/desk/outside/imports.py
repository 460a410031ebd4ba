"""Lists of transients: Gaia's alerts (CSV) and the Swift LSXPS transients (JSON), as plain values.

Formats: gsaweb.ast.cam.ac.uk/alerts (alerts.csv, lightcurve.csv), www.swift.ac.uk/LSXPS (queryDB of its API).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from config.json_text import JsonError, decode
from server.desk.outside.calls import Call, ServiceError, fetch
from server.rest.context import Context

__all__ = ["Measurement", "Transient", "gaia_alerts", "gaia_light_curve", "swift_transients"]

GAIA_ALERTS = "The Gaia alerts site"
SWIFT = "The Swift LSXPS service"
_SWIFT_ROWS = 1000  # at once, as its own client asks
_MOST_PAGES = 100
_MJD0 = datetime(1858, 11, 17)
_JD0 = 2_400_000.5  # of MJD 0


@dataclass(frozen=True)
class Measurement:
    """One point of a light curve: MJD, and a magnitude or a rate (counts/s) with its error."""

    mjd: float
    filter: str
    mag: float | None = None
    magerr: float | None = None
    flux: float | None = None
    fluxerr: float | None = None


@dataclass(frozen=True)
class Transient:
    """One object of a list."""

    name: str  # without blanks
    ra: float
    dec: float
    origin: str
    measurements: tuple[Measurement, ...] = ()
    comment: str = ""
    day: datetime | None = None


# -- Gaia


async def gaia_alerts(ctx: Context, first: datetime | None, last: datetime | None) -> list[Transient]:
    """Alerts of these days (UTC). Raises ServiceError."""
    data = await fetch(ctx, Call(GAIA_ALERTS, f"{_gaia_base(ctx)}/alerts.csv"))
    rows = list(_csv_rows(data, skip=0))
    if rows and not {"#Name", "Date", "RaDeg", "DecDeg"} <= set(rows[0]):
        raise ServiceError(f"{GAIA_ALERTS} answers a table without #Name, Date, RaDeg, DecDeg")
    found = (_gaia_alert(row) for row in rows)
    return [alert for alert in found if alert and alert.day
            and (first is None or alert.day >= first) and (last is None or alert.day <= last)]


def _gaia_alert(row: Mapping[str, str]) -> Transient | None:
    ra, dec = _float(row["RaDeg"]), _float(row["DecDeg"])
    try:
        day = datetime.fromisoformat(row["Date"].strip())
    except ValueError:
        return None
    name = row["#Name"].strip().replace(" ", "")
    return Transient(name, ra, dec, GAIA_ALERTS, day=day.replace(tzinfo=None),
                     comment=(row.get("Comment") or "").strip()) \
        if name and _is_place(ra, dec) else None


async def gaia_light_curve(ctx: Context, name: str) -> tuple[Measurement, ...]:
    """All that Gaia measured of an alert; what it does not trust is left out. Raises ServiceError."""
    address = f"{_gaia_base(ctx)}/alert/{quote(name, safe='')}/lightcurve.csv"
    data = await fetch(ctx, Call(GAIA_ALERTS, address))
    points = []
    for row in _csv_rows(data, skip=1):  # the first line is the name alone
        day, mag = _float(row.get("JD(TCB)")), _float(row.get("averagemag"))
        if day and mag:
            points.append(Measurement(round(day - _JD0, 6), "gaia::g", mag, round(_gaia_error(mag), 4)))
    return tuple(points)


def _gaia_error(mag: float) -> float:
    """The error of one Gaia measurement in magnitudes, a polynomial in G (good from 13 to 21)."""
    g = min(max(mag, 13.0), 21.0)
    return 3.43779 - g / 1.13759 + (g / 3.44123) ** 2 - (g / 6.51996) ** 3 + (g / 11.45922) ** 4


def _gaia_base(ctx: Context) -> str:
    return ctx.settings.catalogs.gaia_alerts_url.rstrip("/")


def _csv_rows(data: bytes, skip: int) -> Iterator[dict[str, str]]:
    lines = data.decode("utf8", errors="replace").lstrip("\ufeff").splitlines()[skip:]
    reader = csv.reader(io.StringIO("\n".join(lines)), skipinitialspace=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        for cells in reader:
            if len(cells) == len(header):
                yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ServiceError(f"{GAIA_ALERTS} answers no CSV: {error}") from None


# -- Swift


async def swift_transients(ctx: Context) -> list[Transient]:
    """Confirmed X-ray transients (classification 1). Raises ServiceError."""
    found: list[Transient] = []
    for page in range(_MOST_PAGES):
        rows = await _swift_page(ctx, page * _SWIFT_ROWS)
        found += [transient for row in rows if (transient := _swift_transient(row))]
        if len(rows) < _SWIFT_ROWS:
            break
    return found


async def _swift_page(ctx: Context, first: int) -> list[dict[str, Any]]:
    question = {"APIFunc": "queryDB", "APIVersion": "1.0.5", "database": "LSXPS", "table": "transients",
                "adUnits": "arcsec", "sortDir": "ASC", "sortBy": "Transient_ID", "cols": "*",
                "constraints": [{"colName": "Classification", "filter": "=", "val": 1, "val2": None}],
                "numRows": _SWIFT_ROWS, "firstRow": first}
    call = Call(SWIFT, ctx.settings.catalogs.swift_url, body=msgspec.json.encode(question))
    try:
        answer = decode(await fetch(ctx, call))
    except JsonError:
        raise ServiceError(f"{SWIFT} does not answer JSON") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("Results"), list):
        text = answer.get("ERRORTEXT") or answer.get("ERROR") if isinstance(answer, dict) else ""
        raise ServiceError(f"{SWIFT} answers no results{f': {str(text)[:200]}' if text else ''}")
    return [row for row in answer["Results"] if isinstance(row, dict)]


def _swift_transient(row: Mapping[str, Any]) -> Transient | None:
    ra, dec = _float(row.get("RA")), _float(row.get("Decl"))
    name = str(row.get("IAUName") or "").strip().replace(" ", "-")
    if not name or not _is_place(ra, dec) or str(row.get("Classification", 1)) != "1":
        return None
    day = _day(row.get("TransientDetectionTime") or row.get("DiscoveryDate") or row.get("FirstTrigger"))
    rate, error = _float(row.get("Rate") or row.get("PeakRate")), _float(
        row.get("Rate_pos") or row.get("PeakRate_pos"))
    points = (Measurement(_mjd(day), "swiftxrt", flux=rate, fluxerr=error or 0.0),) if day and rate else ()
    url = str(row.get("DiscoverySpectrumURL") or "")
    return Transient(name, ra, dec, SWIFT, points, f"discovery spectrum: {url}" if url else "", day)


def _day(value: Any) -> datetime | None:
    """A date of the Swift tables: ISO text, or MJD."""
    if isinstance(value, int | float) and 0 < value < 200_000:
        return _MJD0 + timedelta(days=float(value))
    try:
        return datetime.fromisoformat(str(value).strip()).replace(tzinfo=None)
    except ValueError:
        return None


def _mjd(day: datetime) -> float:
    return round((day - _MJD0) / timedelta(days=1), 6)


# -- numbers


def _float(value: Any) -> float:
    """A finite number, or 0 for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def _is_place(ra: float, dec: float) -> bool:
    return 0 <= ra < 360 and -90 <= dec <= 90 and (ra, dec) != (0.0, 0.0)

