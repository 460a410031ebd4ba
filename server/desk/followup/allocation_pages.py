"""All that belongs to an allocation: its requests and hours, its telescope's night, what follows its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from iceprod.ids import now
from server.common.errors import ApiError, BadRequest
from server.desk.common.access import Document, Visitor
from server.desk.common.paging import Page
from server.desk.followup import requests, rows, spending
from server.desk.followup.states import ACTIVE
from server.desk.objects import objs
from server.desk.observing import allocations, instruments, nights
from server.desk.people import people
from server.rest.context import Context

__all__ = ["GRID", "change", "listed", "remove", "whole"]

GRID = "GRIDSCANAPI"
API_TYPES = ("api_classname", "api_classname_obsplan")
MOST_REQUESTS = 100  # on an allocation's page; the list of requests has all


async def listed(ctx: Context, who: Visitor, instrument_id: int | None, api_type: str | None,
                 page: Page) -> list[Document]:
    """A page of the visitor's allocations, with their hours. Raises BadRequest: no such `apiType`."""
    if api_type is not None and api_type not in API_TYPES:
        raise BadRequest(f"apiType: must be one of {', '.join(API_TYPES)}, not {api_type[:40]!r}")
    wanted = await _instruments(ctx, instrument_id, api_type)
    found = await allocations.listed(ctx, who, wanted, page)
    admins = {each for row in found for each in row.get("allocation_admin_ids", ())}
    users = await people.find_users(ctx, admins)
    hours = await spending.usages(ctx, found)
    return [{**allocations.shown(row), **hours[row["_id"]].shown(), "allocation_users": _admins(row, users)}
            for row in found]


def _admins(row: Mapping[str, Any], users: Mapping[int, Document]) -> list[Document]:
    return [users[each] for each in row.get("allocation_admin_ids", ()) if each in users]


async def _instruments(ctx: Context, instrument_id: int | None, api_type: str | None) -> list[int] | None:
    if api_type is None:
        return None if instrument_id is None else [instrument_id]
    known = await ctx.db.desk_instruments.find({api_type: {"$ne": None}}, {"_id": 1}).to_list()
    return [row["_id"] for row in known if instrument_id in (None, row["_id"])]


async def whole(ctx: Context, row: Document) -> Document:
    """An allocation as its page shows it. Raises BadRequest when its instrument is gone."""
    instrument = await instruments.find_instrument(ctx, row["instrument_id"])
    telescope = await instruments.find_telescope(ctx, instrument["telescope_id"])
    users = await people.find_users(ctx, row.get("allocation_admin_ids", ()))
    found = await rows.of_allocation(ctx, row["_id"], MOST_REQUESTS)
    place = None if instrument.get("api_classname") == GRID else nights.place_of(telescope)
    night = None if place is None else nights.coming_night(place, now())
    ephemeris = None if night is None else await asyncio.to_thread(night.ephemeris)
    return {**allocations.shown(row), **(await spending.usage(ctx, row)).shown(),
            "allocation_users": _admins(row, users), "instrument": _shown(instrument),
            "telescope": _shown(telescope), "ephemeris": ephemeris,
            "requests": await _shown_requests(ctx, found, night)}


def _shown(row: Mapping[str, Any]) -> Document:
    return {"id": row["_id"], **{name: value for name, value in row.items() if name != "_id"}}


async def _shown_requests(ctx: Context, found: Sequence[Document],
                          night: nights.Night | None) -> list[Document]:
    known = await objs.find_many(ctx, {row["obj_id"] for row in found})
    users = await people.find_users(ctx, {row["requester_id"] for row in found})
    placed = [obj for obj in known.values() if obj["ra"] is not None]
    windows = {} if night is None else dict(zip([obj["_id"] for obj in placed], await asyncio.to_thread(
        night.windows, [obj["ra"] for obj in placed], [obj["dec"] for obj in placed]), strict=True))
    return [{**rows.shown(row), "requester": users.get(row["requester_id"]), "obj": _obj(known, row),
             "rise_time_utc": (windows.get(row["obj_id"]) or (None, None))[0],
             "set_time_utc": (windows.get(row["obj_id"]) or (None, None))[1]} for row in found]


def _obj(known: Mapping[str, Document], row: Mapping[str, Any]) -> Document | None:
    obj = known.get(row["obj_id"])
    return None if obj is None else {**objs.shown(obj), "thumbnails": objs.thumbnails(obj)}


async def change(ctx: Context, row: Mapping[str, Any], fields: Mapping[str, Any],
                 altdata: str | None) -> None:
    """Change an allocation; its requests belong to the group that it belongs to. Raises BadRequest."""
    if fields.get("instrument_id", row["instrument_id"]) != row["instrument_id"] and \
            await ctx.db.desk_followup_requests.find_one({"allocation_id": row["_id"]}, {"_id": 1}):
        raise BadRequest("instrument_id: the allocation has requests on its instrument; make another one")
    await allocations.change(ctx, row, fields, altdata)
    if "group_id" in fields:
        await ctx.db.desk_followup_requests.update_many(
            {"allocation_id": row["_id"]}, {"$set": {"group_id": fields["group_id"]}})


async def remove(ctx: Context, who: Visitor, row: Mapping[str, Any]) -> None:
    """Remove an allocation: what is under way is taken back, and its requests go with it."""
    active = {"allocation_id": row["_id"], "phase": {"$in": [phase.value for phase in ACTIVE]}}
    async for request in ctx.db.desk_followup_requests.find(active):
        try:
            await requests.take_back(ctx, who, request)
        except ApiError:
            continue  # a facility that does not answer cannot keep an allocation
    await allocations.remove(ctx, row["_id"])
    await ctx.db.desk_followup_requests.delete_many({"allocation_id": row["_id"]})
