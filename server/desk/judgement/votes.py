"""Votes on classifications, one for each user, and labels: who looked at an object for a group."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, in_groups
from server.desk.common.ids import next_id
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "cast", "label", "of_classifications", "withdraw"]

INDEXES = [
    Index("desk_votes", "voter", [("classification_id", 1), ("voter_id", 1)], unique=True),
    Index("desk_labels", "label", [("obj_id", 1), ("group_id", 1), ("labeller_id", 1)], unique=True),
]


async def cast(ctx: Context, who: Visitor, classification_id: int, vote: int) -> None:
    """Vote, or change one's vote."""
    key = {"classification_id": classification_id, "voter_id": who.user_id}
    change = {"$set": {"vote": vote, "modified": now()}}
    if (await ctx.db.desk_votes.update_one(key, change)).matched_count:
        return
    new = {"$setOnInsert": {"_id": await next_id(ctx, "votes"), "created_at": now()}, **change}
    try:
        await ctx.db.desk_votes.update_one(key, new, upsert=True)
    except DuplicateKeyError:  # their other request was first
        await ctx.db.desk_votes.update_one(key, change)


async def withdraw(ctx: Context, who: Visitor, classification_id: int) -> None:
    """Take one's vote back. Raises BadRequest when there is none."""
    key = {"classification_id": classification_id, "voter_id": who.user_id}
    if not (await ctx.db.desk_votes.delete_one(key)).deleted_count:
        raise BadRequest(f"you have no vote on classification {classification_id}")


async def of_classifications(ctx: Context, numbers: Iterable[int]) -> dict[int, list[Document]]:
    """By classification: its votes, oldest first."""
    query = {"classification_id": {"$in": list(numbers)}}
    found: defaultdict[int, list[Document]] = defaultdict(list)
    for row in await ctx.db.desk_votes.find(query, sort=[("_id", 1)]).to_list():
        found[row["classification_id"]].append({
            "id": row["_id"], "voter_id": row["voter_id"], "vote": row["vote"],
            "created_at": row["created_at"]})
    return dict(found)


async def label(ctx: Context, who: Visitor, obj_id: str, group_ids: Iterable[int]) -> None:
    """Mark an object as looked at by the visitor, for each of these groups that they belong to."""
    for group in group_ids:
        if in_groups(who, [group]):
            key = {"obj_id": obj_id, "group_id": group, "labeller_id": who.user_id}
            with contextlib.suppress(DuplicateKeyError):  # marked already, just now
                await ctx.db.desk_labels.update_one(key, {"$setOnInsert": {"created_at": now()}}, upsert=True)
