"""Sources: objects that a group keeps. A row joins an object with a group and says who saved it when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pymongo import UpdateOne

from iceprod.ids import now
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_ids
from server.desk.people.groups import shown as shown_group
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "listed", "save", "saved_groups", "unsave"]

INDEXES = [
    Index("desk_sources", "obj_group", [("obj_id", 1), ("group_id", 1)], unique=True),
    Index("desk_sources", "active", [("active", 1), ("saved_at", -1), ("obj_id", 1)]),
    Index("desk_sources", "group_active", [("group_id", 1), ("active", 1), ("saved_at", -1), ("obj_id", 1)]),
]


async def save(ctx: Context, who: Visitor, names: Iterable[str], group_ids: Iterable[int]) -> None:
    """Save objects to groups; what is saved already stays as it is."""
    pairs = [(name, group) for name in names for group in group_ids]
    if not pairs:
        return
    numbers, moment = await next_ids(ctx, "sources", len(pairs)), now()
    await ctx.db.desk_sources.bulk_write([
        UpdateOne({"obj_id": name, "group_id": group}, {
            "$setOnInsert": {"_id": number, "saved_at": moment, "saved_by_id": who.user_id,
                             "created_at": moment}, "$set": {"active": True}}, upsert=True)
        for number, (name, group) in zip(numbers, pairs, strict=True)], ordered=False)


async def unsave(ctx: Context, name: str, group_ids: Iterable[int]) -> None:
    """Take an object from groups; the rows stay, inactive."""
    query = {"obj_id": name, "group_id": {"$in": sorted(group_ids)}}
    await ctx.db.desk_sources.update_many(query, {"$set": {"active": False}})


async def saved_groups(ctx: Context, who: Visitor, names: Iterable[str]) -> dict[str, list[Document]]:
    """By object: the groups that it is saved to, those that the visitor sees."""
    query = {"obj_id": {"$in": list(names)}, "active": True}
    rows = await ctx.db.desk_sources.find({"$and": [query, visible("source", who)]}).to_list()
    groups = {group["_id"]: group for group in await ctx.db.desk_groups.find(
        {"_id": {"$in": sorted({row["group_id"] for row in rows})}}, {"members": 0}).to_list()}
    found: defaultdict[str, list[Document]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["group_id"]):
        if row["group_id"] in groups:
            found[row["obj_id"]].append({
                **shown_group(groups[row["group_id"]]), "active": True, "saved_at": row["saved_at"],
                "saved_by_id": row["saved_by_id"]})
    return dict(found)


async def listed(ctx: Context, who: Visitor, group_ids: list[int] | None, among: Sequence[str] | None,
                 skip: int, limit: int) -> tuple[list[str], int]:
    """Names of the saved objects that the visitor sees, newest first, one page of them; and their number.

    `among` names the objects that may be on the list, if not all.
    """
    query: Document = {"active": True}
    if group_ids is not None:
        query["group_id"] = {"$in": group_ids}
    if among is not None:
        query["obj_id"] = {"$in": list(among)}
    match = {"$and": [query, visible("source", who)]}
    grouped: list[Document] = [
        {"$match": match}, {"$group": {"_id": "$obj_id", "saved_at": {"$max": "$saved_at"}}}]
    cursor = await ctx.db.desk_sources.aggregate(
        [*grouped, {"$sort": {"saved_at": -1, "_id": 1}}, {"$skip": skip}, {"$limit": limit}])
    names = [row["_id"] for row in await cursor.to_list()]
    counted = await (await ctx.db.desk_sources.aggregate([*grouped, {"$count": "n"}])).to_list()
    return names, counted[0]["n"] if counted else 0
