"""Groups and roles: the names that permissions are given to."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from iceprod.ids import new_id
from iceprod.priorities import DEFAULT_WEIGHT, GROUP_WEIGHTS
from iceprod.tokens import ROLES
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.common.fields import number
from server.rest.context import Context
from server.store.database import Index

__all__ = [
    "INDEXES",
    "add_group",
    "add_role",
    "get_group",
    "get_role",
    "groups",
    "remove_group",
    "remove_role",
    "roles",
    "unknown_groups",
    "unknown_roles",
]

INDEXES = [
    Index("groups", "name", [("name", 1)], unique=True),
    Index("groups", "group_id", [("group_id", 1)], unique=True),
    Index("roles", "name", [("name", 1)], unique=True),
]


async def _seed(ctx: Context) -> None:
    """Make the groups and roles that every installation has, once."""
    if await ctx.db.counters.find_one({"_id": "groups seeded"}, {"_id": 1}):
        return
    for name in GROUP_WEIGHTS:
        await add_group(ctx, name)
    for name in ROLES:
        await add_role(ctx, name)
    await ctx.db.counters.update_one({"_id": "groups seeded"}, {"$set": {"value": 1}}, upsert=True)


# -- groups


async def groups(ctx: Context) -> list[Document]:
    """All groups, by name."""
    await _seed(ctx)
    return await ctx.db.groups.find({}, {"_id": 0}, sort=[("name", 1)]).to_list()


async def add_group(ctx: Context, name: str, fields: Document | None = None) -> str:
    """Add a group, or change the fields of one that is there; its id. Raises BadRequest."""
    if "priority" in (fields or {}) and not number((fields or {})["priority"]):
        raise BadRequest("key priority should be of type number")
    new = {"group_id": new_id(), "priority": GROUP_WEIGHTS.get(name, DEFAULT_WEIGHT)}
    given = {key: value for key, value in (fields or {}).items() if key not in ("name", "group_id")}
    inserted = {key: value for key, value in new.items() if key not in given}
    update: Document = {"$setOnInsert": inserted} | ({"$set": given} if given else {})
    for _ in range(2):
        try:
            await ctx.db.groups.update_one({"name": name}, update, upsert=True)
            break
        except DuplicateKeyError:  # added by somebody else just now
            continue
    return str((await get_group(ctx, name))["group_id"])


async def get_group(ctx: Context, name_or_id: str) -> Document:
    """A group by its name or id. Raises NotFound."""
    group = await ctx.db.groups.find_one({"name": name_or_id}, {"_id": 0}) \
        or await ctx.db.groups.find_one({"group_id": name_or_id}, {"_id": 0})
    if group is None:
        raise NotFound("Group not found")
    return group


async def remove_group(ctx: Context, name_or_id: str) -> None:
    """Remove a group, if there is one of that name or id."""
    await ctx.db.groups.delete_one({"$or": [{"name": name_or_id}, {"group_id": name_or_id}]})


async def unknown_groups(ctx: Context, names: list[str]) -> list[str]:
    """Those of the names that are no group's."""
    known = {group["name"] for group in await groups(ctx)}
    return [name for name in names if name not in known]


# -- roles


async def roles(ctx: Context) -> list[Document]:
    """All roles, by name."""
    await _seed(ctx)
    return await ctx.db.roles.find({}, {"_id": 0}, sort=[("name", 1)]).to_list()


async def add_role(ctx: Context, name: str) -> None:
    """Add a role, if it is not there."""
    try:
        await ctx.db.roles.update_one({"name": name}, {"$setOnInsert": {"name": name}}, upsert=True)
    except DuplicateKeyError:
        return  # added by somebody else just now


async def get_role(ctx: Context, name: str) -> Document:
    """A role. Raises NotFound."""
    role = await ctx.db.roles.find_one({"name": name}, {"_id": 0})
    if role is None:
        raise NotFound("Role not found")
    return role


async def remove_role(ctx: Context, name: str) -> None:
    """Remove a role, if it is there."""
    await ctx.db.roles.delete_one({"name": name})


async def unknown_roles(ctx: Context, names: list[str]) -> list[str]:
    """Those of the names that are no role's."""
    known = {role["name"] for role in await roles(ctx)}
    return [name for name in names if name not in known]
