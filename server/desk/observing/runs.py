"""Observing runs: nights that a group has on an instrument, observed by people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_id
from server.desk.common.paging import Page
from server.desk.observing import instruments, nights
from server.desk.observing.nights import Night
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "find", "listed", "night_of", "shown"]

INDEXES = [Index("desk_observing_runs", "group", [("group_id", 1), ("_id", -1)])]


async def add(ctx: Context, who: Visitor, fields: Mapping[str, Any]) -> int:
    """A new run; its id. Raises BadRequest: no date."""
    _day(fields["calendar_date"])
    moment = now()
    row = {"_id": await next_id(ctx, "observing_runs"), **fields, "owner_id": who.user_id,
           "created_at": moment, "modified": moment}
    await ctx.db.desk_observing_runs.insert_one(row)
    return int(row["_id"])


async def find(ctx: Context, who: Visitor, run_id: int) -> Document:
    """A run that the visitor sees; one without a group is everybody's. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_observing_runs.find_one(
        {"$and": [{"_id": run_id}, visible("observing_run", who)]})
    if row is None:
        raise BadRequest(f"run_id: no observing run {run_id} of a group that you belong to")
    return row


async def listed(ctx: Context, who: Visitor, page: Page) -> list[Document]:
    """A page of the runs that the visitor sees, the newest first."""
    cursor = ctx.db.desk_observing_runs.find(visible("observing_run", who)).sort([("_id", -1)])
    return [row async for row in cursor.skip(page.skip).limit(page.size)]


async def night_of(ctx: Context, run: Mapping[str, Any]) -> Night | None:
    """The night of a run at its telescope; None when nobody said where that stands."""
    instrument = await instruments.find_instrument(ctx, run["instrument_id"])
    place = nights.place_of(await instruments.find_telescope(ctx, instrument["telescope_id"]))
    return None if place is None else nights.night_of(place, _day(run["calendar_date"]))


def shown(row: Mapping[str, Any]) -> Document:
    """A run as the API shows it."""
    return {"id": row["_id"], **{name: value for name, value in row.items() if name != "_id"}}


def _day(text: str) -> date:
    """A calendar date. Raises BadRequest."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"calendar_date: not a date: {text[:40]!r}; expected something like 2031-03-15") \
            from None
    if not 1970 <= day.year <= 2200:
        raise BadRequest("calendar_date: must be from 1970 to 2200")
    return day
