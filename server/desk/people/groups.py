"""Groups, who own everything, and streams, the sources of alerts that groups may read.

A group that an installation's token names is a desk group of that name; whoever holds one belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from iceprod.priorities import GROUP_WEIGHTS
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, may, visible
from server.desk.common.errors import Unauthorized
from server.desk.common.ids import next_id
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add_group", "add_member", "add_stream", "attach_stream", "find_group", "readable",
           "readable_streams", "remove_member", "shown", "with_groups"]

INDEXES = [
    Index("desk_groups", "name", [("name", 1)], unique=True),
    Index("desk_groups", "member", [("members.user_id", 1)]),
    Index("desk_streams", "name", [("name", 1)], unique=True),
    Index("desk_streams", "owner_id", [("owner_id", 1)]),
]


# -- whose groups


async def with_groups(ctx: Context, who: Visitor, claimed: list[str]) -> Visitor:
    """The visitor with groups and streams filled in; groups that the token names are made when missing."""
    rows = await _groups_of(ctx, who.user_id, claimed)
    if missing := set(claimed) - {row["name"] for row in rows}:
        for name in sorted(missing):
            await _ensure(ctx, name)
        rows = await _groups_of(ctx, who.user_id, claimed)
    owned = await ctx.db.desk_streams.find({"owner_id": who.user_id}, {"_id": 1}).to_list()
    streams = {row["_id"] for row in owned}.union(*(row["stream_ids"] for row in rows))
    admin_of = frozenset(row["_id"] for row in rows if _is_admin(row, who.user_id))
    return replace(who, groups=frozenset(row["_id"] for row in rows), admin_of=admin_of,
                   streams=frozenset(streams))


async def _groups_of(ctx: Context, user_id: int, claimed: list[str]) -> list[Document]:
    query = {"$or": [{"members.user_id": user_id}, {"name": {"$in": claimed}}]}
    return await ctx.db.desk_groups.find(query).to_list()


async def _ensure(ctx: Context, name: str) -> None:
    try:
        await ctx.db.desk_groups.insert_one(await _new_group(ctx, name, []))
    except DuplicateKeyError:
        return  # made by somebody else just now


def _is_admin(group: Document, user_id: int) -> bool:
    return any(member["user_id"] == user_id and member["admin"] for member in group["members"])


# -- groups


async def _new_group(ctx: Context, name: str, members: list[Document]) -> Document:
    moment = now()
    return {"_id": await next_id(ctx, "groups"), "name": name, "nickname": None, "description": None,
            "private": False, "members": members, "stream_ids": [], "created_at": moment, "modified": moment}


def _member(user_id: int, admin: bool = False, can_save: bool = True) -> Document:
    return {"user_id": user_id, "admin": admin, "can_save": can_save}


async def add_group(ctx: Context, who: Visitor, name: str, fields: Document, admins: Iterable[int]) -> int:
    """A new group with the visitor and others as its admins; the id. Raises BadRequest: the name is taken."""
    if not who.system and await _is_installations(ctx, name):
        raise BadRequest(f"name: {name!r} is a group of the whole installation")
    members = [_member(number, admin=True) for number in sorted({who.user_id, *admins})]
    group = {**await _new_group(ctx, name, members), **fields}
    try:
        await ctx.db.desk_groups.insert_one(group)
    except DuplicateKeyError:
        raise BadRequest(f"name: there is a group {name!r} already") from None
    return int(group["_id"])


async def _is_installations(ctx: Context, name: str) -> bool:
    """Whether tokens of the installation may name it: who took it could read what is meant for others."""
    known = name in GROUP_WEIGHTS or name in ctx.settings.oidc.groups
    return known or await ctx.db.groups.find_one({"name": name}, {"_id": 1}) is not None


async def readable(ctx: Context, who: Visitor, *, own: bool = False) -> list[Document]:
    """The groups that the visitor sees (all of them for a system admin, unless `own`), by name."""
    query = {"_id": {"$in": sorted(who.groups)}} if own else visible("group", who)
    return [shown(row) for row in await ctx.db.desk_groups.find(query, sort=[("name", 1)]).to_list()]


async def find_group(ctx: Context, who: Visitor, group_id: int) -> Document:
    """A group. Raises BadRequest when there is none that the visitor sees."""
    group: Document | None = await ctx.db.desk_groups.find_one(
        {"$and": [{"_id": group_id}, visible("group", who)]})
    if group is None:
        raise BadRequest(f"no group {group_id} that you belong to")
    return group


async def check_groups(ctx: Context, who: Visitor, group_ids: Iterable[int]) -> None:
    """Raise BadRequest unless all these groups exist and the visitor sees them."""
    wanted = set(group_ids)
    found = await ctx.db.desk_groups.find(
        {"$and": [{"_id": {"$in": sorted(wanted)}}, visible("group", who)]}, {"_id": 1}).to_list()
    if missing := wanted - {row["_id"] for row in found}:
        raise BadRequest(f"no group {min(missing)} that you belong to")


def shown(group: Document) -> Document:
    """A group as the API shows it."""
    rest = {name: value for name, value in group.items() if name != "_id"}
    return {"id": group["_id"], **rest}


async def _changeable(ctx: Context, who: Visitor, group_id: int) -> Document:
    group = await find_group(ctx, who, group_id)
    if not may("group", who, group):
        raise Unauthorized("Insufficient permissions: only an admin of the group may change it")
    return group


async def add_member(ctx: Context, who: Visitor, group_id: int, user_id: int, admin: bool,
                     can_save: bool) -> None:
    """Add a user to a group. Raises BadRequest, Unauthorized."""
    await _changeable(ctx, who, group_id)
    absent = {"_id": group_id, "members.user_id": {"$ne": user_id}}
    change = {"$push": {"members": _member(user_id, admin, can_save)}, "$set": {"modified": now()}}
    if not (await ctx.db.desk_groups.update_one(absent, change)).modified_count:
        raise BadRequest(f"user {user_id} is a member of group {group_id} already")


async def remove_member(ctx: Context, who: Visitor, group_id: int, user_id: int) -> None:
    """Take a user out of a group. Raises BadRequest, Unauthorized."""
    await _changeable(ctx, who, group_id)
    present = {"_id": group_id, "members.user_id": user_id}
    change = {"$pull": {"members": {"user_id": user_id}}, "$set": {"modified": now()}}
    if not (await ctx.db.desk_groups.update_one(present, change)).modified_count:
        raise BadRequest(f"user {user_id} is no member of group {group_id}")


# -- streams


async def add_stream(ctx: Context, who: Visitor, name: str, altdata: object) -> int:
    """A new stream that its maker reads; the id. Raises BadRequest: the name is taken."""
    moment = now()
    stream: Document = {
        "_id": await next_id(ctx, "streams"), "name": name, "altdata": altdata, "owner_id": who.user_id,
        "created_at": moment, "modified": moment}
    try:
        await ctx.db.desk_streams.insert_one(stream)
    except DuplicateKeyError:
        raise BadRequest(f"name: there is a stream {name!r} already") from None
    return int(stream["_id"])


async def readable_streams(ctx: Context, who: Visitor) -> list[Document]:
    """The streams that the visitor reads, by name."""
    rows = await ctx.db.desk_streams.find(visible("stream", who), sort=[("name", 1)]).to_list()
    return [shown(row) for row in rows]


async def find_stream(ctx: Context, who: Visitor, stream_id: int) -> Document:
    """A stream. Raises BadRequest when there is none that the visitor reads."""
    stream: Document | None = await ctx.db.desk_streams.find_one(
        {"$and": [{"_id": stream_id}, visible("stream", who)]})
    if stream is None:
        raise BadRequest(f"no stream {stream_id} that you can read")
    return stream


async def attach_stream(ctx: Context, who: Visitor, group_id: int, stream_id: int) -> None:
    """Let a group read a stream. Raises BadRequest, Unauthorized."""
    await _changeable(ctx, who, group_id)
    await find_stream(ctx, who, stream_id)
    absent = {"_id": group_id, "stream_ids": {"$ne": stream_id}}
    change = {"$push": {"stream_ids": stream_id}, "$set": {"modified": now()}}
    if not (await ctx.db.desk_groups.update_one(absent, change)).modified_count:
        raise BadRequest(f"group {group_id} reads stream {stream_id} already")
