"""Survey efficiencies: how many simulated sources a plan would find, or exposures that were taken."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from pymongo.errors import DuplicateKeyError

from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, own_groups, visible
from server.desk.common.dates import parse_date
from server.desk.common.ids import next_id
from server.desk.common.paging import Page
from server.desk.maps import localizations
from server.desk.observing import instruments
from server.desk.observing.footprints import footprint_of
from server.desk.plans import plans, simulation, working
from server.desk.plans.payloads import EfficiencyPayload, read_efficiency
from server.desk.plans.simulation import Exposure, Found, limiting_magnitude
from server.rest.context import Context
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "SERVICES", "Taken", "delete", "find", "listed", "of_exposures", "of_plan", "shown"]

INDEXES = [
    Index("desk_survey_efficiencies", "waiting", [("status", 1), ("lease", 1)]),
    Index("desk_survey_efficiencies", "plan", [("observation_plan_id", 1), ("_id", -1)]),
    Index("desk_survey_efficiencies", "event", [("kind", 1), ("gcnevent_id", 1), ("_id", -1)]),
    Index("desk_survey_efficiencies", "kind", [("kind", 1), ("_id", -1)]),
    Index("desk_survey_efficiencies", "groups", [("kind", 1), ("group_ids", 1)]),
    Index("desk_survey_efficiencies", "key", [("key", 1)], unique=True, options={"sparse": True}),
]
SIGNAL = "desk_efficiencies"
MOST_EXPOSURES = 5000
_HIDDEN = {"_id", "lease", "tries", "key", "kind", "exposures"}

Which = Literal["observations", "observation_plan"]


class Taken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An exposure that was taken: degrees, UTC, seconds, 5σ magnitude if it is known."""

    ra: float
    dec: float
    obstime: str
    filt: str
    exposure_time: float = 30.0
    limmag: float | None = None


@dataclass(frozen=True)
class _About:
    """What an efficiency is of."""

    kind: Which
    instrument_id: int
    localization: Mapping[str, Any]
    gcnevent_id: int | None
    plan_id: int | None = None


async def of_plan(ctx: Context, who: Visitor, plan_id: int, payload: Any,
                  group_ids: Sequence[int] | None = None, key: str | None = None) -> int:
    """Have a plan's efficiency computed; the id. The same key is the same efficiency. Raises BadRequest."""
    wanted, plan = read_efficiency(payload), await plans.find(ctx, who, plan_id)
    groups = plan["group_ids"] if group_ids is None else own_groups(who, group_ids)
    about = _About("observation_plan", plan["instrument_id"], await _map_row(ctx, plan["localization_id"]),
                   plan["gcnevent_id"], plan_id)
    return await _add(ctx, who, about, wanted, groups, [], key)


async def of_exposures(ctx: Context, who: Visitor, gcnevent_id: int, localization_name: str | None,
                       instrument_id: int, taken: Sequence[Taken], payload: Any,
                       group_ids: Sequence[int] | None) -> int:
    """Have the efficiency of exposures that were taken computed; the id. Raises BadRequest."""
    wanted = read_efficiency(payload)
    event = await ctx.db.desk_gcn_events.find_one({"_id": gcnevent_id})
    if event is None:
        raise BadRequest(f"gcnevent_id: no event {gcnevent_id}")
    row = await localizations.find(ctx, event["dateobs"], localization_name)
    instrument = await instruments.find_instrument(ctx, instrument_id)
    if not 0 < len(taken) <= MOST_EXPOSURES:
        raise BadRequest(f"observations: from 1 to {MOST_EXPOSURES} exposures")
    exposures = [_exposure(one, instrument) for one in taken]
    about = _About("observations", instrument_id, row, gcnevent_id)
    return await _add(ctx, who, about, wanted, own_groups(who, group_ids), exposures, None)


def _exposure(one: Taken, instrument: Mapping[str, Any]) -> Document:
    if not (0 <= one.ra < 360 and -90 <= one.dec <= 90 and 0 < one.exposure_time <= 86400):
        raise BadRequest("observations: ra from 0 to 360, dec from -90 to 90, exposure_time to 86400")
    if one.limmag is not None and not -30 <= one.limmag <= 40:
        raise BadRequest("observations: limmag: from -30 to 40")
    limit = limiting_magnitude(instrument, one.filt, one.exposure_time) if one.limmag is None else one.limmag
    return {"ra": one.ra, "dec": one.dec, "start": parse_date(one.obstime, "observations: obstime"),
            "band": one.filt[:100], "limit": limit}


async def _map_row(ctx: Context, localization_id: int) -> Document:
    row: Document | None = await ctx.db.desk_localizations.find_one({"_id": localization_id})
    if row is None:
        raise BadRequest(f"localization {localization_id} is not there any more")
    return row


async def _add(ctx: Context, who: Visitor, about: _About, wanted: EfficiencyPayload, group_ids: Sequence[int],
               exposures: list[Document], key: str | None) -> int:
    if key is not None:
        known = await ctx.db.desk_survey_efficiencies.find_one({"key": key}, {"_id": 1})
        if known is not None:
            return int(known["_id"])
    row = {"_id": await next_id(ctx, "survey_efficiencies"), "kind": about.kind, "requester_id": who.user_id,
           "instrument_id": about.instrument_id, "localization_id": about.localization["_id"],
           "gcnevent_id": about.gcnevent_id, "observation_plan_id": about.plan_id,
           "payload": msgspec.to_builtins(wanted), "group_ids": sorted(set(group_ids)), "lightcurves": None,
           "exposures": exposures, **working.fresh(), **({} if key is None else {"key": key})}
    try:
        await ctx.db.desk_survey_efficiencies.insert_one(row)
    except DuplicateKeyError:  # another server took the same firing up
        return await _add(ctx, who, about, wanted, group_ids, exposures, key)
    ctx.signals.notify(SIGNAL)
    return int(row["_id"])


# -- reading


async def find(ctx: Context, who: Visitor, number: int) -> Document:
    """An efficiency that the visitor sees. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_survey_efficiencies.find_one(
        {"$and": [{"_id": number}, visible("survey_efficiency", who)]})
    if row is None:
        raise BadRequest(f"no survey efficiency {number} of a group that you belong to")
    return row


async def listed(ctx: Context, who: Visitor, kind: Which, query: Mapping[str, Any],
                 page: Page) -> list[Document]:
    """A page of the efficiencies of a kind that the visitor sees, the newest first."""
    match = {"$and": [{"kind": kind, **query}, visible("survey_efficiency", who)]}
    found = ctx.db.desk_survey_efficiencies.find(match, {"exposures": 0}, sort=[("_id", -1)], skip=page.skip,
                                                 limit=page.size)
    return [dict(row) for row in await found.to_list()]


async def delete(ctx: Context, who: Visitor, number: int) -> None:
    """Remove an efficiency. Raises BadRequest."""
    row = await find(ctx, who, number)
    await ctx.db.desk_survey_efficiencies.delete_one({"_id": row["_id"]})


def shown(row: Mapping[str, Any]) -> Document:
    """An efficiency as the API shows it."""
    rest = {name: value for name, value in row.items() if name not in _HIDDEN}
    return {"id": row["_id"], **rest, "groups": [{"id": number} for number in row["group_ids"]]}


# -- computing


async def simulate_waiting(ctx: Context) -> None:
    """Compute the survey efficiencies that wait."""
    await working.work(ctx, "desk_survey_efficiencies", _compute)


async def _compute(ctx: Context, row: Mapping[str, Any]) -> Document:
    map_row = await _map_row(ctx, row["localization_id"])
    tiles = await localizations.tiles_of(ctx, map_row)
    instrument = await instruments.find_instrument(ctx, row["instrument_id"])
    exposures = await _exposures(ctx, row, instrument)
    wanted = msgspec.convert(row["payload"], EfficiencyPayload)
    seed = zlib.crc32(f"{map_row['blob']} {row['_id']}".encode())
    found = await asyncio.to_thread(simulation.simulate, tiles, map_row["dateobs"], exposures,
                                    footprint_of(instrument), wanted, seed)
    return {"lightcurves": _told(found, wanted)}


async def _exposures(ctx: Context, row: Mapping[str, Any], instrument: Mapping[str, Any]) -> list[Exposure]:
    if row["kind"] == "observations":
        return [Exposure(**one) for one in row["exposures"]]
    plan = await ctx.db.desk_observation_plans.find_one({"_id": row["observation_plan_id"]})
    if plan is None or plan["status"] == working.FAILED:
        raise BadRequest("the observation plan is not there any more" if plan is None
                         else f"there is no plan: {plan['reason']}")
    return [Exposure(one["ra"], one["dec"], one["obstime"], one["filt"],
                     limiting_magnitude(instrument, one["filt"], one["exposure_time"]))
            for one in plan["observations"]]


def _told(found: Found, wanted: EfficiencyPayload) -> Document:
    return {"model": wanted.modelName, "ntransients": found.simulated, "ncovered": found.covered,
            "ndetected": found.detected, "efficiency": found.efficiency,
            "efficiency_interval": list(found.interval), "sources": found.sources}


SERVICES = [Service("survey efficiencies", lambda ctx: 5.0, simulate_waiting, signal=SIGNAL)]
