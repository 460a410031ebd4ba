"""Personal lists of objects, such as favorites and rejected candidates."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_id
from server.desk.objects import objs
from server.desk.people.groups import shown
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "listed", "lists_of", "remove"]

INDEXES = [Index("desk_listings", "entry", [("user_id", 1), ("list_name", 1), ("obj_id", 1)], unique=True)]


async def add(ctx: Context, who: Visitor, obj_id: str, list_name: str) -> int:
    """Put an object on a list of the visitor's; the id. Raises BadRequest: unknown, or there already."""
    await objs.find(ctx, obj_id)
    row: Document = {"_id": await next_id(ctx, "listings"), "user_id": who.user_id, "obj_id": obj_id,
                     "list_name": list_name, "created_at": now()}
    try:
        await ctx.db.desk_listings.insert_one(row)
    except DuplicateKeyError:
        raise BadRequest(f"{obj_id} is on your list {list_name!r} already") from None
    return int(row["_id"])


async def listed(ctx: Context, who: Visitor, list_name: str | None) -> list[Document]:
    """What is on the visitor's lists, or on one of them."""
    query = {"list_name": list_name} if list_name is not None else {}
    rows = await ctx.db.desk_listings.find({"$and": [query, visible("listing", who)]}).to_list()
    return [shown(row) for row in sorted(rows, key=lambda row: row["_id"])]


async def lists_of(ctx: Context, who: Visitor, obj_id: str) -> set[str]:
    """The names of the visitor's lists that an object is on."""
    query = {"$and": [{"obj_id": obj_id, "user_id": who.user_id}, visible("listing", who)]}
    return {row["list_name"] for row in await ctx.db.desk_listings.find(query).to_list()}


async def remove(ctx: Context, who: Visitor, listing_id: int) -> None:
    """Take an entry off its list. Raises BadRequest."""
    query = {"$and": [{"_id": listing_id}, visible("listing", who)]}
    if not (await ctx.db.desk_listings.delete_one(query)).deleted_count:
        raise BadRequest(f"no entry {listing_id} of your lists")
