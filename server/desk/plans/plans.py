"""Observation plans: asked for by people and by rules, computed in the background, kept until deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_id
from server.desk.common.paging import Page
from server.desk.maps import localizations
from server.desk.maps.tiles import Tiles
from server.desk.observing import allocations, instruments
from server.desk.observing.footprints import Field, Footprint, fields_of, footprint_of
from server.desk.people.groups import check_groups
from server.desk.plans import scheduling, tiling, working
from server.desk.plans.payloads import PlanPayload, read_plan, window_of
from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "KIND", "SERVICES", "Wanted", "check", "delete", "find", "instrument_of", "listed",
           "shown", "submit"]

INDEXES = [
    Index("desk_observation_plans", "waiting", [("status", 1), ("lease", 1)]),
    Index("desk_observation_plans", "localization", [("localization_id", 1), ("_id", -1)]),
    Index("desk_observation_plans", "groups", [("group_ids", 1), ("_id", -1)]),
    Index("desk_observation_plans", "key", [("key", 1)], unique=True, options={"sparse": True}),
    events.unlogged("desk_observation_plans"),
]
SIGNAL = "desk_plans"
_HIDDEN = {"_id", "lease", "tries", "key", "unlogged", "tiles", "observations"}


@dataclass(frozen=True)
class Wanted:
    """A plan for a sky map by an allocation, for some groups besides the allocation's.

    `key` makes one wish one plan, however often it is submitted; `rule` is the standing request that asks.
    """

    localization_id: int
    allocation_id: int
    payload: Any
    target_group_ids: Sequence[int] = ()
    key: str | None = None
    rule: int | None = None


async def submit(ctx: Context, who: Visitor, wanted: Wanted) -> int:
    """Store a plan that is to be computed; its id. Raises BadRequest."""
    if wanted.key is not None:
        known = await ctx.db.desk_observation_plans.find_one({"key": wanted.key}, {"_id": 1})
        if known is not None:
            return int(known["_id"])
    row = await _new(ctx, who, wanted)
    try:
        await ctx.db.desk_observation_plans.insert_one(row)
    except DuplicateKeyError:  # another server took the same firing up
        return await submit(ctx, who, wanted)
    ctx.signals.notify(SIGNAL)
    return int(row["_id"])


async def _new(ctx: Context, who: Visitor, wanted: Wanted) -> Document:
    allocation, plan = await check(ctx, who, wanted.allocation_id, wanted.payload)
    await check_groups(ctx, who, wanted.target_group_ids)
    map_row = await _map_row(ctx, wanted.localization_id)
    start, end = window_of(plan, now())
    event = await ctx.db.desk_gcn_events.find_one({"dateobs": map_row["dateobs"]}, {"_id": 1})
    payload = {**msgspec.to_builtins(plan), "start_date": start.isoformat(), "end_date": end.isoformat()}
    row = {"_id": await next_id(ctx, "observation_plans"), "localization_id": map_row["_id"],
           "gcnevent_id": event and event["_id"], "dateobs": map_row["dateobs"],
           "localization_name": map_row["name"], "allocation_id": allocation["_id"],
           "instrument_id": allocation["instrument_id"], "requester_id": who.user_id, "payload": payload,
           "group_ids": sorted({allocation["group_id"], *wanted.target_group_ids}),
           "default_plan_id": wanted.rule, "statistics": {}, "tiles": [], "observations": [],
           **working.fresh()}
    return row if wanted.key is None else {**row, "key": wanted.key}


async def check(ctx: Context, who: Visitor, allocation_id: int, payload: Any) -> tuple[Document, PlanPayload]:
    """The allocation that a plan goes by, and its payload. Raises BadRequest."""
    allocation = await allocations.find(ctx, who, allocation_id)
    instrument = await instruments.find_instrument(ctx, allocation["instrument_id"])
    return allocation, read_plan(payload, instrument)


async def _map_row(ctx: Context, localization_id: int) -> Document:
    row: Document | None = await ctx.db.desk_localizations.find_one({"_id": localization_id})
    if row is None:
        raise BadRequest(f"localization_id: no localization {localization_id}")
    return row


async def instrument_of(ctx: Context, row: Mapping[str, Any]) -> Document:
    """The instrument of a plan. Raises BadRequest."""
    return await instruments.find_instrument(ctx, row["instrument_id"])


# -- reading


async def find(ctx: Context, who: Visitor, plan_id: int) -> Document:
    """A plan that the visitor sees. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_observation_plans.find_one(
        {"$and": [{"_id": plan_id}, visible("observation_plan", who)]})
    if row is None:
        raise BadRequest(f"observation_plan_id: no observation plan {plan_id} of a group that you belong to")
    return row


async def listed(ctx: Context, who: Visitor, query: Mapping[str, Any],
                 page: Page) -> tuple[list[Document], int]:
    """A page of the plans that the visitor sees, the newest first, without exposures; how many there are."""
    match = {"$and": [dict(query), visible("observation_plan", who)]}
    total = await ctx.db.desk_observation_plans.count_documents(match)
    page.check(total)
    found = ctx.db.desk_observation_plans.find(match, {"tiles": 0, "observations": 0}, sort=[("_id", -1)],
                                               skip=page.skip, limit=page.size)
    return await found.to_list(), total


async def delete(ctx: Context, who: Visitor, plan_id: int) -> None:
    """Remove a plan and what was simulated with it. Raises BadRequest."""
    row = await find(ctx, who, plan_id)
    await ctx.db.desk_survey_efficiencies.delete_many({"observation_plan_id": row["_id"]})
    await ctx.db.desk_observation_plans.delete_one({"_id": row["_id"]})


def shown(row: Mapping[str, Any], *, whole: bool = False) -> Document:
    """A plan as the API shows it; with its exposures when it is to be whole."""
    rest = {name: value for name, value in row.items() if name not in _HIDDEN}
    plan: Document = {"id": row["_id"], "plan_name": row["payload"].get("queue_name") or f"plan {row['_id']}",
                      "status": row["status"], "statistics": [{"statistics": row["statistics"]}],
                      "validity_window_start": row["payload"]["start_date"],
                      "validity_window_end": row["payload"]["end_date"],
                      "instrument_id": row["instrument_id"]}
    if whole:
        plan |= {"fields": row["tiles"], "planned_observations": row["observations"]}
    return {"id": row["_id"], **rest, "observation_plans": [plan]}


# -- computing


async def make_plans(ctx: Context) -> None:
    """Compute the observation plans that wait."""
    for row in await working.work(ctx, "desk_observation_plans", _compute):
        if row["status"] == working.COMPLETE:
            await events.log_row(ctx, KIND, row)


async def _compute(ctx: Context, row: Mapping[str, Any]) -> Document:
    instrument = await instrument_of(ctx, row)
    telescope = await instruments.find_telescope(ctx, instrument["telescope_id"])
    tiles = await localizations.tiles_of(ctx, await _map_row(ctx, row["localization_id"]))
    plan = msgspec.convert(row["payload"], PlanPayload)
    return await asyncio.to_thread(made, tiles, footprint_of(instrument), fields_of(instrument), telescope,
                                   plan)


def made(tiles: Tiles, footprint: Footprint, fields: Sequence[Field], telescope: Mapping[str, Any],
         plan: PlanPayload) -> Document:
    """The fields and exposures of a plan, and what they come to; the fields of its row."""
    share = min(plan.integrated_probability / 100, 0.99)  # the last percent of a map is all over the sky
    beyond = 1 - (1 - share) / 2  # fields at the edge of the region hold more than its corners in them
    samples = tiling.samples_of(tiles, beyond, min(footprint.width, footprint.height))
    found = tiling.tile(samples, tiles.best, footprint, fields, share)
    window, place = window_of(plan, now()), scheduling.place_of(telescope)
    sky = scheduling.sky_over(place, found, window)
    visits = scheduling.schedule(found, sky, plan, window, is_on_ground=place is not None)
    return {"unlogged": True, "tiles": [_tile(one) for one in found],
            "observations": [_observation(found[one.tile], one, plan) for one in visits],
            "statistics": _statistics(found, visits, footprint, plan)}


def _tile(one: tiling.Tile) -> Document:
    return {"field_id": one.number, "ra": round(one.ra, 6), "dec": round(one.dec, 6),
            "probability": one.probability}


def _observation(tile: tiling.Tile, visit: scheduling.Visit, plan: PlanPayload) -> Document:
    return {"obstime": visit.start, "field_id": tile.number, "ra": round(tile.ra, 6),
            "dec": round(tile.dec, 6), "filt": visit.band, "exposure_time": plan.exposure_time,
            "weight": tile.probability, "airmass": visit.airmass,
            "overhead_per_exposure": scheduling.OVERHEAD}


def _statistics(found: Sequence[tiling.Tile], visits: Sequence[scheduling.Visit], footprint: Footprint,
                plan: PlanPayload) -> Document:
    seen = {one.tile for one in visits}
    length = len(visits) * (plan.exposure_time + scheduling.OVERHEAD)
    return {"num_observations": len(visits), "fields": len(found), "fields_observed": len(seen),
            "probability": sum(found[one].probability for one in seen),
            "probability_wanted": sum(one.probability for one in found), "area": len(seen) * footprint.area,
            "tot_time_with_overheads": length, "start_observation": visits[0].start if visits else None,
            "end_observation": visits[-1].start if visits else None, "filters": plan.bands,
            "unallocated_fields": len(found) - len(seen)}


SERVICES = [Service("observation plans", lambda ctx: 5.0, make_plans, signal=SIGNAL)]


# -- what rules hear of


async def _event(ctx: Context, row: Mapping[str, Any]) -> Event:
    statistics = row["statistics"]
    facts = {"default_plan": row["default_plan_id"], "observations": statistics["num_observations"],
             "probability": statistics["probability"], "dateobs": row["dateobs"].isoformat()}
    return events.made(KIND.name, row["_id"], row["modified"], facts, row["group_ids"])


KIND = register_kind(Kind("observation_plan", {
    "default_plan": "the default plan that asked for it", "observations": "number of exposures",
    "probability": "that the observed fields hold", "dateobs": "the event's time"},
    Source("desk_observation_plans", _event)))
