"""The rows of requests: their indexes, who sees them, how they are shown, and the one way they change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, may, visible
from server.desk.common.errors import Unauthorized
from server.desk.common.paging import Page
from server.desk.followup.adaptors import Outcome
from server.desk.followup.states import OVER, Phase, sources_of
from server.rest.context import Context
from server.rules import events
from server.store.database import Index

__all__ = ["INDEXES", "Asked", "about", "changeable", "find", "in_words", "listed", "move", "of_allocation",
           "shown", "transactions"]

INDEXES = [
    Index("desk_followup_requests", "allocation", [("allocation_id", 1), ("_id", -1)]),
    Index("desk_followup_requests", "obj", [("obj_id", 1), ("_id", -1)]),
    Index("desk_followup_requests", "instrument", [("instrument_id", 1), ("_id", -1)]),
    Index("desk_followup_requests", "group", [("group_id", 1), ("_id", -1)]),
    Index("desk_followup_requests", "waiting", [("phase", 1), ("lease", 1)]),
    Index("desk_followup_requests", "uncounted", [("is_counted", 1)], options={"sparse": True}),
    Index("desk_followup_requests", "scan", [("grid.scan_id", 1)], options={"sparse": True}),
    Index("desk_followup_requests", "event", [("payload.event", 1)], options={"sparse": True}),
    Index("desk_followup_requests", "ranked", [("ranked.dateobs", 1), ("phase", 1)],
          options={"sparse": True}),
    events.unlogged("desk_followup_requests"),
    Index("desk_followup_requests", "key", [("key", 1)], unique=True, options={"sparse": True}),
]

_MOST_CALLS = 100
_HIDDEN = ("_id", "lease", "key", "facility_id", "sent", "ranked", "hours_asked", "is_counted",
           "counted_at", "unlogged")


@dataclass(frozen=True)
class Asked:
    """Which requests a list is of; what is None does not matter."""

    obj_part: str | None = None
    obj_id: str | None = None
    status_part: str | None = None
    first: datetime | None = None
    last: datetime | None = None
    instrument_id: int | None = None
    allocation_id: int | None = None
    watcher_id: int | None = None
    phases: Sequence[Phase] | None = None
    scan_id: str | None = None  # that a request made, or is to be done again

    @property
    def query(self) -> Document:
        created = {"$gte": self.first, "$lte": self.last}
        wanted = {
            "obj_id": self.obj_id if self.obj_part is None else _contains(self.obj_part),
            "status": self.status_part and _contains(self.status_part),
            "created_at": {sign: date for sign, date in created.items() if date is not None} or None,
            "instrument_id": self.instrument_id, "allocation_id": self.allocation_id,
            "watchers": self.watcher_id,
            "phase": None if self.phases is None else {"$in": [phase.value for phase in self.phases]}}
        scan = {"$or": [{"grid.scan_id": self.scan_id}, {"payload.event": self.scan_id}]}
        found = {name: value for name, value in wanted.items() if value is not None}
        return found if self.scan_id is None else {**found, **scan}


def _contains(text: str) -> Document:
    return {"$regex": re.escape(text), "$options": "i"}


async def find(ctx: Context, who: Visitor, request_id: int) -> Document:
    """A request that the visitor sees. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_followup_requests.find_one(
        {"$and": [{"_id": request_id}, visible("followup_request", who)]})
    if row is None:
        raise BadRequest(f"no follow-up request {request_id} of a group that you belong to")
    return row


async def changeable(ctx: Context, who: Visitor, request_id: int) -> Document:
    """A request that the visitor may change. Raises BadRequest, Unauthorized."""
    row = await find(ctx, who, request_id)
    if not may("followup_request", who, row):
        raise Unauthorized("Insufficient permissions: changing a request needs the right 'Upload data'")
    return row


async def listed(ctx: Context, who: Visitor, asked: Asked, page: Page) -> tuple[list[Document], int]:
    """A page of the requests that the visitor sees, the newest first, and how many there are."""
    query = {"$and": [asked.query, visible("followup_request", who)]}
    total = await ctx.db.desk_followup_requests.count_documents(query)
    page.check(total)
    cursor = ctx.db.desk_followup_requests.find(query).sort([("_id", -1)]).skip(page.skip).limit(page.size)
    return [row async for row in cursor], total


async def of_allocation(ctx: Context, allocation_id: int, limit: int) -> list[Document]:
    """The newest requests of an allocation, of whoever may see that."""
    cursor = ctx.db.desk_followup_requests.find({"allocation_id": allocation_id})
    return [row async for row in cursor.sort([("_id", -1)]).limit(limit)]


async def move(ctx: Context, request_id: int, outcome: Outcome, condition: Mapping[str, Any] | None = None,
               **fields: Any) -> Document | None:
    """Make a request what it is after a call, if its phase and the condition allow; the row, or None."""
    query = {"_id": request_id, "phase": {"$in": sources_of(outcome.phase)}, **(condition or {})}
    new = {"status": outcome.status, "reason": outcome.reason, "phase": outcome.phase.value,
           **outcome.fields, **fields, "modified": now()}
    if outcome.phase in OVER:
        new["unlogged"] = True  # whoever watches it wants to hear of that
    row: Document | None = await ctx.db.desk_followup_requests.find_one_and_update(
        query, {"$set": new}, return_document=ReturnDocument.AFTER)
    if row is not None:
        ctx.signals.notify("followup")
    return row


async def transactions(ctx: Context, row: Mapping[str, Any]) -> list[Document]:
    """What was said between the desk and a request's facility, in its order; kept for 90 days."""
    cursor = ctx.db.desk_transactions.find({"about": about(row["_id"])}).sort([("_id", 1)]).limit(_MOST_CALLS)
    return [{"id": one.pop("_id"), **one} async for one in cursor]


def about(request_id: int) -> str:
    """What the records of a request's calls belong to."""
    return f"followup_request {request_id}"


def shown(row: Mapping[str, Any]) -> Document:
    """A request as the API shows it."""
    rest = {name: value for name, value in row.items() if name not in _HIDDEN}
    return {"id": row["_id"], "reason": "", **rest}


def in_words(row: Mapping[str, Any]) -> str:
    """How a request stands, and why."""
    return f"{row['status']}: {row['reason']}" if row.get("reason") else str(row["status"])
