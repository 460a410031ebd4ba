"""Star and galaxy archives: Gaia and IRSA (TAP), VizieR (its VOTable interface), each around a position.

Every function takes degrees and arcseconds and gives rows as the archive names its columns. Column meanings:
gea.esac.esa.int (gaia_source), irsa.ipac.caltech.edu (allwise_p3as_psd), vizier.cds.unistra.fr/doc/asu.html.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from astropy import units
from astropy.coordinates import SkyCoord
from astropy.time import Time

from server.common.errors import BadRequest
from server.desk.outside.calls import Call, ServiceError, fetch
from server.desk.outside.votables import Row, read_tables, tap
from server.rest.context import Context

__all__ = ["Cone", "gaia_by_id", "gaia_near", "irsa_near", "moved_to", "vizier_near"]

GAIA = "The Gaia archive"
IRSA = "IRSA"
VIZIER = "VizieR"
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
_CATALOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9/_.+-]*")
_LONGEST_NAME = 100
_GAIA_COLUMNS = ("source_id, ra, dec, pmra, pmdec, parallax, parallax_error, phot_g_mean_mag,"
                 " phot_bp_mean_mag, phot_rp_mean_mag, ruwe, ref_epoch")
_MOST_STARS = 200


@dataclass(frozen=True)
class Cone:
    """A circle on the sky: degrees, radius in arcseconds."""

    ra: float
    dec: float
    radius: float

    def adql(self) -> str:
        """The condition that a row is inside."""
        return (f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {self.ra:.9f}, {self.dec:.9f},"
                f" {self.radius / 3600:.9f}))")


async def gaia_near(ctx: Context, table: str, cone: Cone, faintest: float | None = None) -> list[Row]:
    """Sources of a Gaia table, the nearest first. Raises BadRequest, ServiceError."""
    limit = "" if faintest is None else f" AND phot_g_mean_mag <= {faintest:.3f}"
    columns = _GAIA_COLUMNS + (", ag_gspphot" if "dr3" in table.lower() else "")
    rows = await tap(ctx, GAIA, ctx.settings.catalogs.gaia_tap_url,
                     f"SELECT TOP {_MOST_STARS} {columns} FROM {_table(table)} WHERE {cone.adql()}{limit}")
    return _nearest_first(GAIA, cone, rows)


async def gaia_by_id(ctx: Context, release: str, source_id: int) -> Row:
    """The Gaia source of an id; `release` is dr2 or dr3. Raises BadRequest when there is none."""
    rows = await tap(ctx, GAIA, ctx.settings.catalogs.gaia_tap_url,
                     f"SELECT {_GAIA_COLUMNS} FROM gaia{release}.gaia_source WHERE source_id = {source_id:d}")
    if not rows:
        raise BadRequest(f"catalog_id: Gaia {release.upper()} has no source {source_id}")
    _check_columns(GAIA, rows, ("ra", "dec"))
    return rows[0]


async def irsa_near(ctx: Context, table: str, cone: Cone) -> list[Row]:
    """Sources of a table of IRSA, the nearest first. Raises BadRequest, ServiceError."""
    names = [f"w{band}{part}" for band in (1, 2, 3, 4) for part in ("mpro", "sigmpro")]
    columns = f"ra, dec, {', '.join(names)}" if table.lower().startswith(("allwise", "allsky")) else "*"
    rows = await tap(ctx, IRSA, ctx.settings.catalogs.irsa_tap_url,
                     f"SELECT TOP {_MOST_STARS} {columns} FROM {_table(table)} WHERE {cone.adql()}")
    return _nearest_first(IRSA, cone, rows)


async def vizier_near(ctx: Context, catalog: str, cone: Cone) -> list[list[Row]]:
    """Sources of a catalogue of VizieR, by table, the nearest first; tables without any are left out.

    Positions are in the columns ``_RAJ2000`` and ``_DEJ2000``. Raises BadRequest, ServiceError.
    """
    if not _CATALOG.fullmatch(catalog) or len(catalog) > _LONGEST_NAME:
        raise BadRequest(f"catalog: VizieR's names look like VII/290, not {catalog[:60]!r}")
    query = {"-source": catalog, "-c": f"{cone.ra:.7f}{cone.dec:+.7f}", "-c.rs": f"{cone.radius:.3f}",
             "-c.eq": "J2000", "-out.max": "50", "-out": "**", "-out.add": "_RAJ2000,_DEJ2000",
             "-oc.form": "d"}
    data = await fetch(ctx, Call(VIZIER, ctx.settings.catalogs.vizier_url, query))
    tables = await asyncio.to_thread(read_tables, VIZIER, data)
    return [_nearest_first(VIZIER, cone, rows, ("_RAJ2000", "_DEJ2000")) for rows in tables if rows]


def moved_to(row: Mapping[str, float], moment: datetime) -> tuple[float, float]:
    """Where a Gaia source is at a time (UTC), by its proper motion; degrees."""
    years = Time(moment, scale="tdb").jyear - row.get("ref_epoch", 2016.0)
    dec = row["dec"] + row.get("pmdec", 0.0) * years / 3.6e6
    stretch = max(math.cos(math.radians(row["dec"])), 1e-9)  # pmra is along the sky
    ra = (row["ra"] + row.get("pmra", 0.0) * years / 3.6e6 / stretch) % 360.0
    return ra, min(max(dec, -90.0), 90.0)


def _table(name: str) -> str:
    """A table's name that is one, and nothing else. Raises BadRequest."""
    if not _TABLE.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise BadRequest(f"catalog: a table's name has letters, digits and _ and dots, not {name[:60]!r}")
    return name


def _nearest_first(service: str, cone: Cone, rows: Sequence[Row], names: tuple[str, str] = ("ra", "dec")
                   ) -> list[Row]:
    if not rows:
        return []
    _check_columns(service, rows, names)
    centre = SkyCoord(cone.ra * units.deg, cone.dec * units.deg)
    places = SkyCoord([float(row[names[0]]) for row in rows] * units.deg,
                      [float(row[names[1]]) for row in rows] * units.deg)
    apart = centre.separation(places).arcsec
    return [row for _, row in sorted(zip(apart, rows, strict=True), key=lambda pair: pair[0])]


def _check_columns(service: str, rows: Iterable[Row], names: tuple[str, ...]) -> None:
    for row in rows:
        for name in names:
            if not isinstance(row.get(name), int | float):
                raise ServiceError(f"{service} answers rows without a number in {name!r}")
