"""Who watches which request: the list of those they want to see the end of."""

from __future__ import annotations

from server.common.errors import BadRequest
from server.desk.common.access import Visitor
from server.desk.followup import rows
from server.rest.context import Context

__all__ = ["begin", "end"]

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
