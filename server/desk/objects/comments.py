"""Comments: what people write about an object, for their groups."""

from __future__ import annotations

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, may, visible
from server.desk.common.ids import next_id
from server.desk.objects import objs
from server.rest.context import Context

__all__ = ["LONGEST", "add", "remove"]

LONGEST = 5000  # characters


async def add(ctx: Context, who: Visitor, obj_id: str, text: str) -> int:
    """A comment for all groups of the visitor; its id. Raises BadRequest."""
    await objs.find(ctx, obj_id)
    words = text.strip()
    if not words:
        raise BadRequest("text: a comment says something")
    if len(words) > LONGEST:
        raise BadRequest(f"text: at most {LONGEST} characters, not {len(words)}")
    if not who.groups and not who.system:
        raise BadRequest("a comment is for groups, and you belong to none")
    moment = now()
    row: Document = {"_id": await next_id(ctx, "comments"), "obj_id": obj_id, "text": words, "bot": False,
                     "author_id": who.user_id, "author_name": who.username, "origin": None,
                     "group_ids": sorted(who.groups), "created_at": moment, "modified": moment}
    await ctx.db.desk_comments.insert_one(row)
    return int(row["_id"])


async def remove(ctx: Context, who: Visitor, number: int) -> str:
    """Take a comment back; the object that it was about. Raises BadRequest."""
    row = await ctx.db.desk_comments.find_one({"$and": [{"_id": number}, visible("comment", who)]})
    if row is None or not may("comment", who, row):
        raise BadRequest(f"there is no comment {number} that you may take back")
    await ctx.db.desk_comments.delete_one({"_id": number})
    return str(row["obj_id"])
