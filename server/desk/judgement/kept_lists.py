"""Lists of names that stay as they were while somebody turns the pages.

The names are kept in parts, since a list may be longer than a document can hold; the first part, which also
holds the length, is written last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from iceprod.ids import new_id, now
from server.desk.common.access import Document, Visitor
from server.desk.common.paging import Page
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "KeptList", "find", "keep", "names_of"]

INDEXES = [
    Index("desk_lists", "owner", [("user_id", 1), ("question", 1), ("created_at", -1), ("version", -1)]),
    Index("desk_lists", "expires", [("expires", 1)], options={"expireAfterSeconds": 0}),
]

PART = 2000  # names
LONG, LONG_SECONDS = 50_000, 60.0  # so many names take seconds, and are not gathered more often than this


@dataclass(frozen=True)
class KeptList:
    """A kept list: its id, and how many names it has."""

    list_id: str
    total: int
    version: int  # of the candidates, when the list was made
    created_at: datetime

    def is_current(self, version: int) -> bool:
        """Whether it is good for a first page: nothing changed since, or it is long and young."""
        age = (now() - self.created_at).total_seconds()
        return version == self.version or (self.total > LONG and age < LONG_SECONDS)


async def keep(ctx: Context, who: Visitor, question: str, names: list[str], version: int) -> KeptList:
    """Keep the names that answer a question of a user's."""
    list_id, moment = new_id(), now()
    until = moment + timedelta(minutes=ctx.settings.desk.list_minutes)
    parts = [_part(list_id, n, names[start:start + PART], until)
             for n, start in enumerate(range(0, len(names), PART))] or [_part(list_id, 0, [], until)]
    if parts[1:]:
        await ctx.db.desk_lists.insert_many(parts[1:])
    await ctx.db.desk_lists.insert_one({**parts[0], "user_id": who.user_id, "question": question,
                                        "created_at": moment, "total": len(names), "version": version})
    return KeptList(list_id, len(names), version, moment)


def _part(list_id: str, number: int, names: list[str], until: datetime) -> Document:
    return {"_id": f"{list_id}/{number}", "names": names, "expires": until}


async def find(ctx: Context, who: Visitor, question: str, list_id: str | None) -> KeptList | None:
    """The list that a user was given for this question: that of the id, or the newest."""
    query: Document = {"user_id": who.user_id, "question": question, "expires": {"$gt": now()}}
    if list_id is not None:
        query["_id"] = f"{list_id}/0"
    row = await ctx.db.desk_lists.find_one(query, {"names": 0}, sort=[("created_at", -1), ("version", -1)])
    return row and KeptList(row["_id"].removesuffix("/0"), row["total"], row["version"], row["created_at"])


async def names_of(ctx: Context, kept: KeptList, page: Page) -> list[str]:
    """The names of a page."""
    first, last = page.skip // PART, (page.skip + page.size - 1) // PART
    ids = [f"{kept.list_id}/{number}" for number in range(first, last + 1)]
    parts = {row["_id"]: row["names"] for row in
             await ctx.db.desk_lists.find({"_id": {"$in": ids}}, {"names": 1}).to_list()}
    names = [name for number in ids for name in parts.get(number, [])]
    start = page.skip - first * PART
    return names[start:start + page.size]
