"""Users: who owns datasets, with their groups, roles and weight among others."""

from __future__ import annotations

import contextlib
from typing import Any

from pymongo.errors import DuplicateKeyError

from iceprod.ids import new_id
from server.common.errors import NotFound
from server.production.common.documents import Document
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "change", "create", "ensure", "find", "get", "new_user", "remove"]

INDEXES = [
    Index("users", "username", [("username", 1)], unique=True),
    Index("users", "user_id", [("user_id", 1)], unique=True),
]


def new_user(username: str) -> Document:
    """A user's document, not yet stored."""
    return {"user_id": new_id(), "username": username, "groups": [], "roles": [], "priority": 0.5}


async def create(ctx: Context, username: str, **fields: Any) -> str | None:
    """Add a user with the given fields; the id, or None when there is one of that name."""
    user = {**new_user(username), **fields}
    try:
        await ctx.db.users.insert_one(dict(user))
    except DuplicateKeyError:
        return None
    return str(user["user_id"])


async def ensure(ctx: Context, username: str, **fields: Any) -> Document:
    """The user of that name, added with the given fields when there is none."""
    user = {**new_user(username), **fields}
    new = {name: value for name, value in user.items() if name != "username"}
    with contextlib.suppress(DuplicateKeyError):  # added by somebody else just now
        await ctx.db.users.update_one({"username": username}, {"$setOnInsert": new}, upsert=True)
    return await get(ctx, username)


async def find(ctx: Context, username: str | None = None) -> list[Document]:
    """All users by name, or those of one name."""
    query = {"username": username} if username is not None else {}
    return await ctx.db.users.find(query, {"_id": 0}, sort=[("username", 1)]).to_list()


async def get(ctx: Context, name_or_id: str) -> Document:
    """A user by name or id. Raises NotFound."""
    user = await ctx.db.users.find_one({"user_id": name_or_id}, {"_id": 0}) \
        or await ctx.db.users.find_one({"username": name_or_id}, {"_id": 0})
    if user is None:
        raise NotFound("User not found")
    return user


async def remove(ctx: Context, name_or_id: str) -> None:
    """Remove a user, if there is one of that name or id."""
    await ctx.db.users.delete_one({"$or": [{"user_id": name_or_id}, {"username": name_or_id}]})


async def change(ctx: Context, name_or_id: str, update: Document) -> None:
    """Apply an update to a user. Raises NotFound."""
    user = await get(ctx, name_or_id)
    await ctx.db.users.update_one({"user_id": user["user_id"]}, update)
