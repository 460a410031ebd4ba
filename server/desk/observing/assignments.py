"""Assignments: which objects are to be observed in a run, in which order, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_id
from server.desk.common.paging import Page
from server.desk.objects import objs
from server.desk.observing import runs
from server.desk.observing.nights import Night
from server.desk.people import people
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "change", "find", "listed", "remove", "shown"]

Window = tuple[datetime, datetime] | None
"""When an object rises and sets in a night; None when it does not."""

INDEXES = [
    Index("desk_assignments", "run_obj", [("run_id", 1), ("obj_id", 1)], unique=True),
    Index("desk_assignments", "group", [("group_id", 1), ("_id", -1)]),
]


async def add(ctx: Context, who: Visitor, fields: Mapping[str, Any]) -> int:
    """Assign an object to a run; the id. Raises BadRequest: no such object or run, or it is assigned."""
    await objs.find(ctx, fields["obj_id"])
    run = await runs.find(ctx, who, fields["run_id"])
    moment = now()
    row = {"_id": await next_id(ctx, "assignments"), **fields, "group_id": run.get("group_id"),
           "requester_id": who.user_id, "last_modified_by_id": who.user_id, "created_at": moment,
           "modified": moment}
    try:
        await ctx.db.desk_assignments.insert_one(row)
    except DuplicateKeyError:
        raise BadRequest(f"obj_id: {fields['obj_id']!r} is in run {fields['run_id']} already") from None
    return int(row["_id"])


async def find(ctx: Context, who: Visitor, assignment_id: int) -> Document:
    """An assignment of a run that the visitor sees. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_assignments.find_one(
        {"$and": [{"_id": assignment_id}, visible("assignment", who)]})
    if row is None:
        raise BadRequest(f"no assignment {assignment_id} of a run that you see")
    return row


async def listed(ctx: Context, who: Visitor, page: Page, run_id: int | None = None) -> list[Document]:
    """A page of the assignments that the visitor sees, the newest first."""
    wanted = {} if run_id is None else {"run_id": run_id}
    cursor = ctx.db.desk_assignments.find({"$and": [wanted, visible("assignment", who)]}).sort([("_id", -1)])
    return [row async for row in cursor.skip(page.skip).limit(page.size)]


async def change(ctx: Context, who: Visitor, assignment_id: int, fields: Mapping[str, Any]) -> None:
    """Change comment, status or priority."""
    await ctx.db.desk_assignments.update_one(
        {"_id": assignment_id},
        {"$set": {**fields, "last_modified_by_id": who.user_id, "modified": now()}})


async def remove(ctx: Context, assignment_id: int) -> None:
    """Remove an assignment."""
    await ctx.db.desk_assignments.delete_one({"_id": assignment_id})


async def shown(ctx: Context, who: Visitor, rows: Sequence[Mapping[str, Any]]) -> list[Document]:
    """Assignments as the API shows them: with object, requester, and when the object rises and sets."""
    known = await objs.find_many(ctx, {row["obj_id"] for row in rows})
    requesters = await people.find_users(ctx, {row["requester_id"] for row in rows})
    windows = await _windows(ctx, who, rows, known)
    return [{"id": row["_id"], **{name: value for name, value in row.items() if name != "_id"},
             "obj": objs.shown(known[row["obj_id"]]) if row["obj_id"] in known else None,
             "requester": requesters.get(row["requester_id"]),
             **_times(windows.get((row["run_id"], row["obj_id"])))} for row in rows]


def _times(window: Window) -> Document:
    rise, sets = window or (None, None)
    return {"rise_time_utc": rise, "set_time_utc": sets}


async def _windows(ctx: Context, who: Visitor, rows: Sequence[Mapping[str, Any]],
                   known: Mapping[str, Document]) -> dict[tuple[int, str], Window]:
    """By run and object; runs of the same night and place are looked at each for itself."""
    found: dict[tuple[int, str], Window] = {}
    for run_id in sorted({row["run_id"] for row in rows}):
        run = await runs.find(ctx, who, run_id)
        night = await runs.night_of(ctx, run)
        names = sorted({row["obj_id"] for row in rows if row["run_id"] == run_id})
        placed = [known[name] for name in names if name in known and known[name]["ra"] is not None]
        if night is not None and placed:
            times = await asyncio.to_thread(_in_night, night, placed)
            found |= {(run_id, obj["_id"]): time for obj, time in zip(placed, times, strict=True)}
    return found


def _in_night(night: Night, placed: Sequence[Mapping[str, Any]]) -> list[Window]:
    return night.windows([obj["ra"] for obj in placed], [obj["dec"] for obj in placed])
