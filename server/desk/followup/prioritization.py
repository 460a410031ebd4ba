"""Ranking requests: by the probability of a sky map at their objects, or by brightness.

Requests that were once ranked by a map of an event are ranked again when a newer map of that event comes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from iceprod.ids import now
from server.common.errors import ApiError, BadRequest
from server.desk.common.access import Document, Visitor, may, visible
from server.desk.common.acls import SYSTEM_ADMIN
from server.desk.common.errors import Unauthorized
from server.desk.followup import requests
from server.desk.followup.states import Phase
from server.desk.maps import localizations
from server.desk.maps.tiles import Tiles
from server.desk.objects import distances, measurements, objs
from server.rest.context import Context
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "SERVICES", "Ranking", "priorities", "rank"]

TYPES, ORDERINGS = ("magnitude", "localization"), ("ascending", "descending")
MOST = 1000  # requests that are ranked at once
PERIOD = 15.0  # seconds

INDEXES = [Index("desk_localizations", "ranked", [("ranked", 1)])]


@dataclass(frozen=True)
class Ranking:
    """By what requests are ranked, and the range of priorities; the highest comes first.

    Magnitudes `ascending`: the brightest gets the highest priority.
    """

    kind: str
    ordering: str = "ascending"
    localization_id: int | None = None
    lowest: int = 1
    highest: int = 5

    def check(self) -> None:
        """Raise BadRequest, which names the field."""
        for name, value, known in (("priorityType", self.kind, TYPES),
                                   ("magnitudeOrdering", self.ordering, ORDERINGS)):
            if value not in known:
                raise BadRequest(f"{name}: must be one of {', '.join(known)}, not {value[:40]!r}")
        if not 1 <= self.lowest <= self.highest <= 5:
            raise BadRequest("minimumPriority, maximumPriority: must be from 1 to 5, and the minimum not"
                             " above the maximum")
        if self.kind == "localization" and self.localization_id is None:
            raise BadRequest("localizationId: is needed to rank by a sky map")


def priorities(weights: Sequence[float], lowest: int, highest: int) -> list[int]:
    """Weights scaled linearly to priorities: one alone gets the highest, equal ones the middle."""
    if len(weights) == 1:
        return [highest]
    values = np.asarray(weights, dtype=float)
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return [math.floor((lowest + highest) / 2 + 0.5)] * len(values)
    share = (values - low) / (high - low)
    return [math.floor(lowest + each * (highest - lowest) + 0.5) for each in share.tolist()]


async def rank(ctx: Context, who: Visitor, request_ids: Sequence[int], ranking: Ranking) -> None:
    """Give requests their priorities, and tell their facilities. Raises BadRequest, Unauthorized.

    All are looked at before the first changes; one that a facility refuses to change ends it with its reason.
    """
    ranking.check()
    found = await _found(ctx, who, request_ids)
    known = await objs.find_many(ctx, {row["obj_id"] for row in found})
    places = [known.get(row["obj_id"], {}) for row in found]
    weights, dateobs = await _weights(ctx, who, places, ranking)
    mark = {} if dateobs is None else {"ranked": {
        "dateobs": dateobs, "lowest": ranking.lowest, "highest": ranking.highest}}
    for row, priority in zip(found, priorities(weights, ranking.lowest, ranking.highest), strict=True):
        await _set(ctx, who, row, priority, mark)


async def _found(ctx: Context, who: Visitor, request_ids: Sequence[int]) -> list[Document]:
    wanted = sorted(set(request_ids))
    if not 0 < len(wanted) <= MOST:
        raise BadRequest(f"requestIds: name 1 to {MOST} requests")
    query = {"$and": [{"_id": {"$in": wanted}}, visible("followup_request", who)]}
    found = await ctx.db.desk_followup_requests.find(query, sort=[("_id", 1)]).to_list()
    if missing := set(wanted) - {row["_id"] for row in found}:
        raise BadRequest(f"requestIds: no follow-up request {min(missing)} of a group that you belong to")
    if not all(may("followup_request", who, row) for row in found):
        raise Unauthorized("Insufficient permissions: changing a request needs the right 'Upload data'")
    return found


async def _weights(ctx: Context, who: Visitor, places: Sequence[Mapping[str, Any]], ranking: Ranking
                   ) -> tuple[list[float], Any]:
    """Of each object a weight; of a sky map also which event it is of. Raises BadRequest."""
    if ranking.kind == "magnitude":
        return await _by_brightness(ctx, who, places, ranking.ordering == "ascending"), None
    row = await ctx.db.desk_localizations.find_one({"_id": ranking.localization_id})
    if row is None:
        raise BadRequest(f"localizationId: there is no localization {ranking.localization_id}")
    tiles = await localizations.tiles_of(ctx, row)
    return await asyncio.to_thread(lambda: [_probability(tiles, place) for place in places]), row["dateobs"]


def _probability(tiles: Tiles, obj: Mapping[str, Any]) -> float:
    """Probability density at an object, times that of its distance where map and object have one."""
    deep = obj.get("hpix29")
    tile = -1 if deep is None else int(tiles.rows_at(deep))
    if tile < 0:
        return 0.0
    return float(tiles.density[tile]) * _distance_term(tiles, tile, obj)


def _distance_term(tiles: Tiles, tile: int, obj: Mapping[str, Any]) -> float:
    """Singer et al. (2016), ApJ 829 L15, equation 2: density in distance along a line of sight, per Mpc."""
    if not tiles.has_distance or obj.get("redshift") is None:
        return 1.0
    far = distances.distance(obj.get("altdata"), obj["redshift"]).luminosity_distance
    names = ("distmu", "distsigma", "distnorm")
    if far is None or not all(name in tiles.distance for name in names):
        return 1.0
    mu, sigma, norm = (float(tiles.distance[name][tile]) for name in names)
    if not (math.isfinite(mu) and math.isfinite(norm) and 0 < sigma < math.inf):
        return 0.0
    return norm * far**2 * math.exp(-0.5 * ((far - mu) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


async def _by_brightness(ctx: Context, who: Visitor, places: Sequence[Mapping[str, Any]],
                         is_brightest_first: bool) -> list[float]:
    """Weights by the latest magnitude; an object without one comes last."""
    latest: dict[str, float] = {}
    names = {place["_id"] for place in places if place}
    for point in await measurements.rows(ctx, who, "photometry", names):
        if (magnitude := _magnitude(point)) is not None:
            latest[point["obj_id"]] = magnitude
    sign = -1.0 if is_brightest_first else 1.0
    last = min((sign * value for value in latest.values()), default=0.0)
    return [sign * latest[place["_id"]] if place and place["_id"] in latest else last for place in places]


def _magnitude(point: Mapping[str, Any]) -> float | None:
    """AB magnitude of a point that is a detection; fluxes are in µJy."""
    if not measurements.is_detection(dict(point)):
        return None
    if point.get("flux") is not None:
        return 23.9 - 2.5 * math.log10(point["flux"]) if point["flux"] > 0 else None
    return float(point["mag"])


async def _set(ctx: Context, who: Visitor, row: Mapping[str, Any], priority: int,
               mark: Mapping[str, Any]) -> None:
    if row["phase"] not in (Phase.OPEN, Phase.FAILED, Phase.REJECTED):
        raise BadRequest(f"requestIds: request {row['_id']} is {row['phase']}: its priority does not matter")
    if row["payload"].get("priority") != priority:
        payload = {**row["payload"], "priority": priority}
        if row["phase"] == Phase.OPEN:
            await requests.change(ctx, who, row, payload)
        else:
            mark = {**mark, "payload": payload}
    if mark:
        await ctx.db.desk_followup_requests.update_one({"_id": row["_id"]}, {"$set": dict(mark)})


# -- when a newer map comes


async def follow_maps(ctx: Context) -> None:
    """Rank the requests of events again that have a new map of a scan."""
    new = {"ranked": None}
    async for row in ctx.db.desk_localizations.find(new, {"dateobs": 1, "scan_id": 1, "modified": 1}):
        if row.get("scan_id"):
            await _rank_again(ctx, row)
        same = {"_id": row["_id"], "modified": row["modified"]}
        await ctx.db.desk_localizations.update_one(same, {"$set": {"ranked": now()}})


async def _rank_again(ctx: Context, row: Mapping[str, Any]) -> None:
    query = {"ranked.dateobs": row["dateobs"], "phase": Phase.OPEN.value}
    by_range: dict[tuple[int, int], list[int]] = {}
    async for found in ctx.db.desk_followup_requests.find(query, {"ranked": 1}).limit(MOST):
        by_range.setdefault((found["ranked"]["lowest"], found["ranked"]["highest"]), []).append(found["_id"])
    for (lowest, highest), ids in by_range.items():
        try:
            await rank(ctx, _DESK, ids, Ranking("localization", "ascending", row["_id"], lowest, highest))
        except ApiError:
            continue  # a facility's refusal stands in its transactions


_DESK = Visitor(0, "desk", frozenset({SYSTEM_ADMIN}))

SERVICES = [Service("follow-up ranking", lambda ctx: PERIOD, follow_maps, signal="localizations")]
