"""Searches of outside catalogues for what changed inside a sky map's region within some days."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from scanner.maps import healpix
from server.common.errors import BadRequest
from server.desk.catalogs import transients
from server.desk.common import jobs, positions
from server.desk.common.access import Visitor
from server.desk.common.dates import parse_date
from server.desk.common.jobs import Job
from server.desk.maps import regions
from server.desk.maps.tiles import inside
from server.desk.observing import allocations
from server.desk.outside import imports
from server.desk.outside.brokers import BROKERS, Window
from server.desk.outside.imports import Transient
from server.desk.people.groups import check_groups
from server.rest.context import Context

__all__ = ["KIND", "SERVICES", "add"]

KIND = "catalog_query"
CATALOGS = ("ZTF-Kowalski", "ZTF-Fink", "LSXPS", "Gaia")
MOST_CONES = 500  # of one search: 500 square degrees and a little
_CELL_ORDER = 6  # pixels of 0.9°: no point of one is further than 1° from its centre
_POLITE = 0.2  # seconds between two questions


async def add(ctx: Context, who: Visitor, allocation_id: int, payload: Any, group_ids: list[int] | None
              ) -> int:
    """Have a region searched; the id of the search. Raises BadRequest."""
    allocation = await allocations.find(ctx, who, allocation_id)
    fields = _checked(payload)
    await regions.find_region(ctx, fields["localizationDateobs"], fields["localizationName"],
                              fields["localizationCumprob"])
    await check_groups(ctx, who, group_ids or [])
    targets = sorted({*(group_ids or ()), allocation["group_id"]})
    return await jobs.add(ctx, who, KIND, {**fields, "allocation_id": allocation_id}, targets)


def _checked(payload: Any) -> dict[str, Any]:
    """What a search needs. Raises BadRequest."""
    if not isinstance(payload, dict) or not payload.get("catalogName"):
        raise BadRequest("payload: must be an object with catalogName")
    if payload["catalogName"] not in CATALOGS:
        raise BadRequest(f"payload.catalogName: must be one of {', '.join(CATALOGS)}")
    for name in ("localizationDateobs", "localizationName", "startDate", "endDate"):
        if not isinstance(payload.get(name), str) or not payload[name]:
            raise BadRequest(f"payload.{name}: must be text")
    cumprob = payload.get("localizationCumprob", regions.DEFAULT_CUMPROB)
    if isinstance(cumprob, bool) or not isinstance(cumprob, int | float) or not 0 <= cumprob <= 1:
        raise BadRequest("payload.localizationCumprob: must be a number from 0 to 1")
    first, last = (parse_date(payload[name], f"payload.{name}") for name in ("startDate", "endDate"))
    if last < first:
        raise BadRequest("payload.endDate: must not be before startDate")
    names = ("catalogName", "localizationDateobs", "localizationName")
    return {**{name: payload[name] for name in names}, "localizationCumprob": float(cumprob),
            "startDate": first, "endDate": last}


async def _search(ctx: Context, job: Job) -> str:
    asked = job.payload
    region = await regions.find_region(ctx, asked["localizationDateobs"], asked["localizationName"],
                                       asked["localizationCumprob"])
    found = await _found(ctx, job, region, Window(asked["startDate"], asked["endDate"]))
    if not found:
        return "completed: No new objects"
    pixels = positions.hpix29_many([each.ra for each in found], [each.dec for each in found])
    within = [each for each, is_in in zip(found, inside(region, pixels), strict=True) if is_in]
    new = await transients.keep(ctx, job, within, job.group_ids)
    if not new:
        return "completed: No new objects"
    return f"completed: Added {len(new)} objects: {', '.join(new[:20])}{', …' if len(new) > 20 else ''}"


async def _found(ctx: Context, job: Job, region: regions.Ranges, window: Window) -> list[Transient]:
    """What the catalogue knows of those days, inside the region and around it. Raises ServiceError."""
    name = job.payload["catalogName"]
    if name == "Gaia":
        return await imports.gaia_alerts(ctx, window.first, window.last)
    if name == "LSXPS":
        return [each for each in await imports.swift_transients(ctx)
                if each.day is None or window.first <= each.day <= window.last]
    secret = await _secret(ctx, job.payload)
    found: dict[str, Transient] = {}
    cones = await asyncio.to_thread(cones_over, region)
    for number, (ra, dec) in enumerate(cones, 1):
        found |= {each.name: each for each in await BROKERS[name](ctx, ra, dec, window, secret)}
        await jobs.note(ctx, job, cones_done=number, cones=len(cones))
        await asyncio.sleep(_POLITE)
    return list(found.values())


async def _secret(ctx: Context, payload: Mapping[str, Any]) -> dict[str, Any]:
    row = await ctx.db.desk_allocations.find_one({"_id": payload["allocation_id"]})
    if row is None:
        raise BadRequest("the allocation is not there any more")
    return allocations.secret_of(ctx, row)


def cones_over(region: regions.Ranges) -> list[tuple[float, float]]:
    """Centres (degrees) of cones of one degree that together cover a region. Raises BadRequest."""
    shift = 2 * (healpix.MAX_ORDER - _CELL_ORDER)
    first, last = region[:, 0] >> shift, (region[:, 1] - 1) >> shift
    if (last - first + 1).sum() > 2 * MOST_CONES + len(region):
        raise BadRequest(f"the region is too large to be searched: more than {MOST_CONES} cones of 1 degree")
    cells = np.unique(np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]))
    if len(cells) > MOST_CONES:
        raise BadRequest(f"the region is too large to be searched: more than {MOST_CONES} cones of 1 degree")
    nside = healpix.nside_of(_CELL_ORDER)
    ra, dec = healpix.centres(nside, healpix.nest_to_ring(nside, cells))
    return list(zip(ra.tolist(), dec.tolist(), strict=True))


SERVICES = [jobs.service(KIND, _search)]
