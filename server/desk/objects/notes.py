"""Annotations: what a catalogue or a person's program says of an object, one per origin, for some groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, seen_groups, visible
from server.desk.common.ids import next_id
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "of_objects", "shown"]

INDEXES = [
    Index("desk_annotations", "obj_origin", [("obj_id", 1), ("origin", 1), ("author_id", 1)], unique=True),
    Index("desk_annotations", "origin", [("origin", 1), ("group_ids", 1)]),
]


async def add(ctx: Context, who: Visitor, obj_id: str, origin: str, data: Mapping[str, Any],
              group_ids: list[int]) -> int:
    """Annotate an object for groups that the visitor belongs to; the id.

    Raises BadRequest when the visitor sees one of this origin already. One that they do not see is no
    hindrance: the refusal would tell of it.
    """
    same = {"obj_id": obj_id, "origin": origin}
    known = await ctx.db.desk_annotations.find_one({"$and": [same, visible("annotation", who)]}, {"_id": 1})
    moment = now()
    row: Document = {
        "_id": await next_id(ctx, "annotations"), **same, "data": dict(data), "author_id": who.user_id,
        "group_ids": group_ids, "created_at": moment, "modified": moment}
    try:
        if known is None:
            await ctx.db.desk_annotations.insert_one(row)
            return int(row["_id"])
    except DuplicateKeyError:
        pass  # their other request was first
    raise BadRequest(f"Annotation already posted: {obj_id} has one of origin {origin!r}.")


async def of_objects(ctx: Context, who: Visitor, names: Iterable[str]) -> dict[str, list[Document]]:
    """By object: the annotations that the visitor sees, by origin."""
    query = {"$and": [{"obj_id": {"$in": list(names)}}, visible("annotation", who)]}
    found: defaultdict[str, list[Document]] = defaultdict(list)
    for row in await ctx.db.desk_annotations.find(query, sort=[("origin", 1), ("_id", 1)]).to_list():
        found[row["obj_id"]].append(shown(who, row))
    return dict(found)


def shown(who: Visitor, row: Document) -> Document:
    """An annotation as the API shows it."""
    rest = {name: value for name, value in row.items() if name != "_id"}
    return {"id": row["_id"], **rest, "group_ids": seen_groups(who, row["group_ids"])}
