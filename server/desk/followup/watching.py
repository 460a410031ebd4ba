"""Who watches which request: the list of those they want to see the end of, and its end as an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.common.errors import ApiError, BadRequest
from server.desk.common.access import Visitor
from server.desk.followup import rows
from server.desk.people import people
from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind

__all__ = ["KIND", "begin", "end"]

_MOST = 1000


async def begin(ctx: Context, who: Visitor, request_id: int) -> None:
    """Put the visitor on a request's watch list. Raises BadRequest."""
    row = await rows.find(ctx, who, request_id)
    if len(row["watchers"]) >= _MOST:
        raise BadRequest(f"followup_request_id: {_MOST} people watch request {request_id} already")
    absent = {"_id": request_id, "watchers": {"$ne": who.user_id}}
    change = {"$push": {"watchers": who.user_id}}
    if not (await ctx.db.desk_followup_requests.update_one(absent, change)).modified_count:
        raise BadRequest(f"followup_request_id: you watch request {request_id} already")


async def end(ctx: Context, who: Visitor, request_id: int) -> None:
    """Take the visitor off a request's watch list. Raises BadRequest."""
    await rows.find(ctx, who, request_id)
    present = {"_id": request_id, "watchers": who.user_id}
    change = {"$pull": {"watchers": who.user_id}}
    if not (await ctx.db.desk_followup_requests.update_one(present, change)).modified_count:
        raise BadRequest(f"followup_request_id: you do not watch request {request_id}")


# -- what others hear of


async def _read(ctx: Context, row: Mapping[str, Any]) -> Event:
    """The end of a request: one event however often it is told, whoever watches by then."""
    facts = {"request_id": row["_id"], "obj_id": row["obj_id"], "phase": row["phase"],
             "status": rows.in_words(row)[:500]}
    event = events.made(KIND.name, row["_id"], row["modified"], facts)
    return replace(event, facts={**facts, "watchers": await _who_watches(ctx, row)})


async def _who_watches(ctx: Context, row: Mapping[str, Any]) -> list[str]:
    """The names of those on the watch list who still may see the request."""
    names = []
    for user_id in row["watchers"]:
        try:
            visitor = await people.of_user(ctx, user_id)
            await rows.find(ctx, visitor, row["_id"])
        except ApiError:  # they are gone, or left its groups
            continue
        names.append(visitor.username)
    return sorted(names)


KIND = register_kind(Kind("watched_request", {
    "request_id": "which request", "obj_id": "of which object", "phase": "done, failed or rejected",
    "status": "in the facility's words", "watchers": "the names of those who watch it"},
    Source("desk_followup_requests", _read)))
