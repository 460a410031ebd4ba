"""Objects: named places on the sky that filters select and people judge. Their names are their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor
from server.desk.common.bodies import Body, Finite, Id, Text
from server.desk.common.positions import check_position, hpix29
from server.desk.objects import galaxies
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "RELATIONS", "ObjFields", "change", "ensure", "find", "find_many", "host", "new",
           "own_fields", "shown", "thumbnails"]

INDEXES = [
    Index("desk_objs", "hpix29", [("hpix29", 1)]),
    Index("desk_objs", "host_id", [("host_id", 1)]),
    Index("desk_objs", "redshift", [("redshift", 1)]),
]

RELATIONS = (
    "host", "comments", "reminders", "comments_on_spectra", "reminders_on_spectra", "annotations",
    "annotations_on_spectra", "annotations_on_photometry", "classifications", "photometry", "photstats",
    "photometric_series", "spectra", "thumbnails", "followup_requests", "assignments", "obj_notifications",
    "obj_analyses", "sources_in_gcns", "candidates", "sources", "users")
"""What SkyPortal's documentation lists among an object's fields although it lives elsewhere."""


class ObjFields(Body):
    """What an upload may say of an object; angles in degrees, redshift without unit."""

    ra: Finite | None = None
    dec: Finite | None = None
    ra_dis: Finite | None = None
    dec_dis: Finite | None = None
    ra_err: Finite | None = None
    dec_err: Finite | None = None
    offset: Finite | None = None
    redshift: Finite | None = None
    redshift_error: Finite | None = None
    redshift_origin: Text | None = None
    host_id: Id | None = None
    summary: Text | None = None
    summary_history: Any = None
    altdata: Any = None
    dist_nearest_source: Finite | None = None
    mag_nearest_source: Finite | None = None
    e_mag_nearest_source: Finite | None = None
    transient: bool | None = None
    varstar: bool | None = None
    is_roid: bool | None = None
    mpc_name: Text | None = None
    gcn_crossmatch: Any = None
    tns_name: Text | None = None
    tns_info: Any = None
    score: Finite | None = None
    origin: Text | None = None
    alias: Any = None
    healpix: Id | None = None  # ours is computed from the position
    detect_photometry_count: Id | None = None


FIELDS = tuple(name for name in ObjFields.__struct_fields__ if name != "healpix")
MAX_NAME = 200
_PICTURES = {
    "sdss": "https://skyserver.sdss.org/dr17/SkyServerWS/ImgCutout/getjpeg"
            "?ra={ra}&dec={dec}&scale=0.3&width=200&height=200&opt=G",
    "ls": "https://www.legacysurvey.org/viewer/jpeg-cutout"
          "?ra={ra}&dec={dec}&size=200&layer=ls-dr10&pixscale=0.262"}


def own_fields(body: ObjFields) -> Document:
    """The object's fields in a body, those that were given."""
    return {name: value for name in FIELDS if (value := getattr(body, name)) is not None}


def new(who: Visitor, name: str, fields: Mapping[str, Any]) -> Document:
    """An object's document, not yet stored. Raises BadRequest: bad name or position."""
    _check_name(name)
    check_position(fields.get("ra"), fields.get("dec"))
    moment = now()
    row = {**dict.fromkeys(FIELDS), **fields, "_id": name, "created_at": moment, "modified": moment}
    row["hpix29"] = hpix29(row["ra"], row["dec"]) if row["ra"] is not None else None
    row["redshift_history"] = [_redshift_set(who, fields)] if fields.get("redshift") is not None else None
    return row


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MAX_NAME or any(sign in name for sign in "/?#\0") or name != name.strip():
        raise BadRequest(f"id: a name has 1 to {MAX_NAME} characters, none of / ? # and no blank at its ends")


async def _check_host(ctx: Context, fields: Mapping[str, Any]) -> None:
    number = fields.get("host_id")
    if number is not None and await galaxies.find(ctx, number) is None:
        raise BadRequest(f"host_id: there is no galaxy {number}")


async def host(ctx: Context, row: Mapping[str, Any]) -> Document | None:
    """The galaxy that hosts an object."""
    return None if row["host_id"] is None else await galaxies.find(ctx, row["host_id"])


def _redshift_set(who: Visitor, fields: Mapping[str, Any]) -> Document:
    return {"set_by_user_id": who.user_id, "set_at_utc": now().isoformat(), "value": fields["redshift"],
            "uncertainty": fields.get("redshift_error"), "origin": fields.get("redshift_origin")}


async def ensure(ctx: Context, who: Visitor, name: str, fields: Mapping[str, Any]) -> Document:
    """The object of that name, made with these fields when it is new. Raises BadRequest.

    One without a position is never found in a region. Who comes second gets the row that is there.
    """
    known = await ctx.db.desk_objs.find_one({"_id": name})
    if known is not None:
        return dict(known)
    await _check_host(ctx, fields)
    row = new(who, name, fields)
    try:
        await ctx.db.desk_objs.insert_one(row)
    except DuplicateKeyError:
        return await find(ctx, name)
    return row


async def find(ctx: Context, name: str) -> Document:
    """An object; everybody with a token may see it. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_objs.find_one({"_id": name})
    if row is None:
        raise BadRequest(f"Invalid ID: there is no object {name[:MAX_NAME]!r}")
    return row


async def find_many(ctx: Context, names: Iterable[str]) -> dict[str, Document]:
    """Those of the objects that are there, by name."""
    rows = await ctx.db.desk_objs.find({"_id": {"$in": list(names)}}).to_list()
    return {row["_id"]: row for row in rows}


async def change(ctx: Context, who: Visitor, name: str, fields: Mapping[str, Any]) -> None:
    """Set some of an object's fields; its candidates follow it to a new position. Raises BadRequest."""
    row = await find(ctx, name)
    await _check_host(ctx, fields)
    update: Document = {"$set": {**fields, "modified": now()}}
    ra, dec = fields.get("ra", row["ra"]), fields.get("dec", row["dec"])
    check_position(ra, dec)
    if (ra, dec) != (row["ra"], row["dec"]):
        update["$set"]["hpix29"] = hpix29(ra, dec) if ra is not None else None
    if fields.get("redshift") is not None and fields["redshift"] != row["redshift"]:
        update["$set"]["redshift_history"] = [*(row["redshift_history"] or ()), _redshift_set(who, fields)]
    await ctx.db.desk_objs.update_one({"_id": name}, update)
    if "hpix29" in update["$set"]:
        await ctx.db.desk_candidates.update_many({"obj_id": name},
                                                 {"$set": {"hpix29": update["$set"]["hpix29"]}})


def shown(row: Mapping[str, Any]) -> Document:
    """An object as the API shows it."""
    rest = {name: value for name, value in row.items() if name not in ("_id", "hpix29")}
    return {"id": row["_id"], **rest, "healpix": row["hpix29"]}


def thumbnails(row: Mapping[str, Any]) -> list[Document]:
    """Where pictures of the place are; nobody has to fetch them for us."""
    if row["ra"] is None:
        return []
    return [{"type": kind, "public_url": address.format(ra=row["ra"], dec=row["dec"])}
            for kind, address in _PICTURES.items()]
