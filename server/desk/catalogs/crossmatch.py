"""What archives know at an object's place, kept as annotations: stars, infrared sources, quasars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from astropy import units
from astropy.coordinates import SkyCoord

from iceprod.ids import now
from server.common.errors import BadRequest, Forbidden
from server.desk.common.access import Document, Visitor, own_groups
from server.desk.common.bodies import Body, Finite, Id, Name
from server.desk.objects import notes, objs
from server.desk.outside import archives
from server.desk.outside.archives import Cone
from server.desk.outside.votables import Row
from server.desk.people.groups import check_groups
from server.rest.context import Context

__all__ = ["CrossmatchBody", "gaia", "irsa", "vizier"]

DEFAULT_RADIUS = 2.0  # arcseconds
LARGEST_RADIUS = 3600.0
FAINTEST = 20.5  # G magnitude
MOST_MATCHES = 50
QUASARS, GALEX = "VII/290", "II/335/galex_ais"
ALREADY = "Annotation already posted."

_GAIA_KEYS = {"pmra": "pm_ra", "pmdec": "pm_dec", "phot_g_mean_mag": "Mag_G", "phot_bp_mean_mag": "Mag_BP",
              "phot_rp_mean_mag": "Mag_RP", "parallax": "Plx", "parallax_error": "Plx_err",
              "ag_gspphot": "A_G", "ruwe": "RUWE"}
_WISE_KEYS = ("ra", "dec", *(f"w{band}{part}" for band in (1, 2, 3, 4) for part in ("mpro", "sigmpro")))
_VIZIER_KEYS = {QUASARS: ("Qpct", "z"), GALEX: ("FUVmag", "e_FUVmag", "NUVmag", "e_NUVmag")}
_MISSING = -99  # how some catalogues of VizieR write what they do not have
_LONGEST_TEXT = 500


class CrossmatchBody(Body):
    """Which catalogue to ask, and how far from the object (arcseconds)."""

    catalog: Name | None = None
    crossmatchRadius: Finite | None = None
    crossmatchLimmag: Finite | None = None
    crossmatchNumber: Id | None = None
    group_ids: list[Id] | None = None


async def gaia(ctx: Context, who: Visitor, obj_id: str, body: CrossmatchBody) -> None:
    """Keep the nearest stars that Gaia knows there, where they are now.

    Raises Forbidden, BadRequest, ServiceError.
    """
    catalog = body.catalog or "gaiadr3.gaia_source"
    obj, groups = await _allowed(ctx, who, obj_id, body)
    await _check_new(ctx, who, obj_id, catalog)
    faintest = FAINTEST if body.crossmatchLimmag is None else body.crossmatchLimmag
    rows = await archives.gaia_near(ctx, catalog, _cone(obj, body))
    bright = [row for row in rows if row.get("phot_g_mean_mag", 99.0) <= faintest]
    number = min(1 if body.crossmatchNumber is None else body.crossmatchNumber, MOST_MATCHES)
    stars = _nearest_now(obj, bright)[:max(number, 1)]
    if not stars:
        raise BadRequest("No Gaia Photometry available.")
    for index, data in enumerate(stars):
        await notes.add(ctx, who, obj_id, f"{catalog}-{index + 1}" if index else catalog, data, groups)


async def irsa(ctx: Context, who: Visitor, obj_id: str, body: CrossmatchBody) -> None:
    """Keep the nearest source of a table of IRSA. Raises Forbidden, BadRequest, ServiceError."""
    catalog = body.catalog or "allwise_p3as_psd"
    obj, groups = await _allowed(ctx, who, obj_id, body)
    rows = await archives.irsa_near(ctx, catalog, _cone(obj, body))
    if not rows:
        raise BadRequest("No WISE Photometry available.")
    known = {name: rows[0][name] for name in _WISE_KEYS if name in rows[0]}
    origin = f"{catalog}-{rows[0]['ra']}-{rows[0]['dec']}"
    await notes.add(ctx, who, obj_id, origin, known if "w1mpro" in known else _columns(rows[0]), groups)


async def vizier(ctx: Context, who: Visitor, obj_id: str, body: CrossmatchBody) -> None:
    """Keep the nearest source of a catalogue of VizieR. Raises Forbidden, BadRequest, ServiceError."""
    catalog = body.catalog or QUASARS
    obj, groups = await _allowed(ctx, who, obj_id, body)
    tables = await archives.vizier_near(ctx, catalog, _cone(obj, body))
    if not tables:
        raise BadRequest(f"No {catalog} sources found within the radius.")
    if len(tables) > 1:
        raise BadRequest(f"{catalog} has more than one table there: name one,"
                         f" such as {catalog}/table1")
    row = tables[0][0]
    wanted = _VIZIER_KEYS.get(catalog)
    data = {name: row[name] for name in wanted if _is_known(row.get(name))} if wanted else _columns(row)
    name = str(row.get("Name") or row.get("name") or row.get("recno") or row.get("objid") or "").strip()
    await notes.add(ctx, who, obj_id, f"{catalog}-{name}" if name else catalog,
                    {**data, "ra": row["_RAJ2000"], "dec": row["_DEJ2000"]}, groups)


async def _allowed(ctx: Context, who: Visitor, obj_id: str, body: CrossmatchBody
                   ) -> tuple[Document, list[int]]:
    """The object and the groups that the annotation is for. Raises Forbidden."""
    try:
        obj = await objs.find(ctx, obj_id)
        groups = own_groups(who, body.group_ids)
        await check_groups(ctx, who, groups)
    except BadRequest as error:
        raise Forbidden(error.reason) from None
    if obj["ra"] is None:
        raise BadRequest(f"{obj_id} has no position")
    return obj, groups


async def _check_new(ctx: Context, who: Visitor, obj_id: str, origin: str) -> None:
    """Raise BadRequest when the annotation is there: no need to ask the archive."""
    known = (await notes.of_objects(ctx, who, [obj_id])).get(obj_id, [])
    if any(note["origin"] == origin for note in known):
        raise BadRequest(ALREADY)


def _cone(obj: Mapping[str, Any], body: CrossmatchBody) -> Cone:
    radius = DEFAULT_RADIUS if body.crossmatchRadius is None else body.crossmatchRadius
    if not 0 < radius <= LARGEST_RADIUS:
        raise BadRequest(f"crossmatchRadius: must be more than 0 and at most {LARGEST_RADIUS:g} arcseconds")
    return Cone(obj["ra"], obj["dec"], radius)


def _nearest_now(obj: Mapping[str, Any], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Gaia's rows as annotations at today's places, the nearest first."""
    moment, centre = now(), SkyCoord(obj["ra"] * units.deg, obj["dec"] * units.deg)
    found = []
    for row in rows:
        ra, dec = archives.moved_to(row, moment)
        apart = float(centre.separation(SkyCoord(ra * units.deg, dec * units.deg)).arcsec)
        data = {"ra": ra, "dec": dec, **{key: row[name] for name, key in _GAIA_KEYS.items() if name in row}}
        found.append((apart, data))
    return [data for _, data in sorted(found, key=lambda pair: pair[0])]


def _columns(row: Row) -> dict[str, Any]:
    """All that a row says, as an annotation's data."""
    return {name.lstrip("_").replace(".", "_").replace("$", "_"): value[:_LONGEST_TEXT]
            if isinstance(value, str) else value for name, value in row.items() if _is_known(value)}


def _is_known(value: Any) -> bool:
    return value is not None and value != _MISSING
