"""Photometry, spectra and comments of objects: what imports bring and candidates show.

A photometry row has `obj_id`, `mjd`, `filter`, `instrument_id`, `flux` and `fluxerr` (µJy, AB) or `mag` and
`magerr`, `group_ids`, and `annotations`: a list of ``{origin, data, created_at}``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from server.desk.common.access import Document, Visitor, seen_groups, visible
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "Statistics", "is_detection", "latest", "rows", "statistics"]

_COLLECTIONS = {"photometry": "desk_photometry", "spectrum": "desk_spectra", "comment": "desk_comments"}
_ORDER = {"photometry": ("mjd", 1), "spectrum": ("_id", 1), "comment": ("created_at", -1)}
DETECTION = 5.0  # times its error: what counts as seen

INDEXES = [
    Index("desk_photometry", "obj_mjd", [("obj_id", 1), ("mjd", 1)]),
    Index("desk_spectra", "obj_id", [("obj_id", 1)]),
    Index("desk_comments", "obj_id", [("obj_id", 1), ("created_at", -1)]),
]


@dataclass(frozen=True)
class Statistics:
    """How often an object was seen, and when; days are MJD."""

    num_obs_global: int
    num_det_global: int
    first_detected_mjd: float | None
    last_detected_mjd: float | None


async def rows(ctx: Context, who: Visitor, kind: str, names: Iterable[str]) -> list[Document]:
    """Rows of a kind of some objects that the visitor sees; comments newest first, photometry by time."""
    query = {"$and": [{"obj_id": {"$in": list(names)}}, visible(kind, who)]}
    found = await ctx.db[_COLLECTIONS[kind]].find(query, sort=[_ORDER[kind]]).to_list()
    return [_shown(who, row) for row in found]


async def latest(ctx: Context, who: Visitor, kind: str, name: str, limit: int) -> list[Document]:
    """The last rows of a kind of one object that the visitor sees, the latest first."""
    query = {"$and": [{"obj_id": name}, visible(kind, who)]}
    order = [(_ORDER[kind][0], -1)]
    found = await ctx.db[_COLLECTIONS[kind]].find(query, sort=order, limit=limit).to_list()
    return [_shown(who, row) for row in found]


def _shown(who: Visitor, row: Document) -> Document:
    return {"id": row["_id"], **{name: value for name, value in row.items() if name != "_id"},
            "group_ids": seen_groups(who, row["group_ids"])}


async def statistics(ctx: Context, who: Visitor, names: Iterable[str]) -> dict[str, Statistics]:
    """By object, of the photometry that the visitor sees."""
    points: defaultdict[str, list[Document]] = defaultdict(list)
    for row in await rows(ctx, who, "photometry", names):
        points[row["obj_id"]].append(row)
    return {name: _statistics(found) for name, found in points.items()}


def _statistics(points: list[Document]) -> Statistics:
    seen = [point["mjd"] for point in points if is_detection(point)]
    return Statistics(len(points), len(seen), min(seen, default=None), max(seen, default=None))


def is_detection(point: Document) -> bool:
    """Whether a point is a detection rather than a limit."""
    if point.get("flux") is not None and point.get("fluxerr"):
        return bool(point["flux"] / point["fluxerr"] > DETECTION)
    return point.get("mag") is not None
