"""Taxonomies: trees of class names that groups judge objects by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, may, seen_groups, visible
from server.desk.common.errors import Unauthorized
from server.desk.common.ids import next_id
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "class_names", "find", "find_many", "readable", "remove", "shown_taxonomy"]

INDEXES = [
    Index("desk_taxonomies", "group_ids", [("group_ids", 1)]),
    Index("desk_taxonomies", "name", [("name", 1), ("version", 1)]),
]

MOST_CLASSES = 10_000


def class_names(hierarchy: Any) -> Iterator[str]:
    """The names in a tree of ``{class, subclasses}``, from the top. Raises BadRequest: no such tree."""
    name = hierarchy.get("class") if isinstance(hierarchy, dict) else None
    if not isinstance(name, str) or not name:
        raise BadRequest("hierarchy: every node needs a name, as {class: name, subclasses: [nodes]}")
    below = hierarchy.get("subclasses")
    if below is not None and not isinstance(below, list):
        raise BadRequest(f"hierarchy: subclasses of {name[:60]!r} must be a list")
    yield name
    for node in below or ():
        yield from class_names(node)


async def add(ctx: Context, who: Visitor, fields: Document, group_ids: list[int]) -> int:
    """A new taxonomy for some groups; the id. Raises BadRequest: the hierarchy is no tree of class names."""
    names = list(class_names(fields["hierarchy"]))
    if len(names) > MOST_CLASSES:
        raise BadRequest(f"hierarchy: at most {MOST_CLASSES} classes")
    moment = now()
    row: Document = {
        "_id": await next_id(ctx, "taxonomies"), **fields, "classes": sorted(set(names)),
        "author_id": who.user_id, "group_ids": group_ids, "created_at": moment, "modified": moment}
    await ctx.db.desk_taxonomies.insert_one(row)
    return int(row["_id"])


async def find(ctx: Context, who: Visitor, taxonomy_id: int) -> Document:
    """A taxonomy. Raises BadRequest when there is none that the visitor reads."""
    row: Document | None = await ctx.db.desk_taxonomies.find_one(
        {"$and": [{"_id": taxonomy_id}, visible("taxonomy", who)]})
    if row is None:
        raise BadRequest(f"no taxonomy {taxonomy_id} that you can use")
    return row


async def find_many(ctx: Context, who: Visitor, numbers: list[int]) -> dict[int, Document]:
    """Those of the taxonomies that the visitor reads, by id."""
    query = {"$and": [{"_id": {"$in": numbers}}, visible("taxonomy", who)]}
    return {row["_id"]: row for row in await ctx.db.desk_taxonomies.find(query).to_list()}


async def readable(ctx: Context, who: Visitor) -> list[Document]:
    """The taxonomies that the visitor reads, by id."""
    return await ctx.db.desk_taxonomies.find(visible("taxonomy", who), sort=[("_id", 1)]).to_list()


async def remove(ctx: Context, who: Visitor, taxonomy_id: int) -> None:
    """Remove a taxonomy that nothing is classified by. Raises BadRequest, Unauthorized."""
    row = await find(ctx, who, taxonomy_id)
    if not may("taxonomy", who, row):
        raise Unauthorized("Insufficient permissions: only the author and admins of its groups remove it")
    if await ctx.db.desk_classifications.find_one({"taxonomy_id": taxonomy_id}, {"_id": 1}):
        raise BadRequest(f"taxonomy {taxonomy_id} is in use and stays")
    await ctx.db.desk_taxonomies.delete_one({"_id": taxonomy_id})


def shown_taxonomy(who: Visitor, row: Document) -> Document:
    """A taxonomy as the API shows it."""
    rest = {name: value for name, value in row.items() if name not in ("_id", "classes")}
    return {"id": row["_id"], **rest, "allowed_classes": row["classes"],
            "group_ids": seen_groups(who, row["group_ids"])}
