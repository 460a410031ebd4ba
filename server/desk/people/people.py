"""Users and tokens of the desk.

A user is whoever shows a token of the installation (or of its issuer); the row is made at first sight, and
keeps what the token claims: its roles give rights, its groups are desk groups. A desk token is an unguessable
word of which only the hash is kept; it carries some of its owner's rights.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterable
from typing import Any

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from iceprod.tokens import Caller, TokenError
from server.common.errors import BadRequest, Forbidden
from server.desk.common import acls
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.errors import Unauthorized
from server.desk.common.ids import next_id
from server.desk.people import groups
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add_token", "add_user", "check_users", "find_user", "find_users", "named_or_numbered",
           "of_user", "profile", "remove_token", "shared_rights", "shown_user", "tokens", "users", "visitor"]

INDEXES = [
    Index("desk_users", "username", [("username", 1)], unique=True),
    Index("desk_tokens", "user_id", [("user_id", 1)]),
    Index("desk_tokens", "token_id", [("token_id", 1)], unique=True),
]


# -- who asks


async def visitor(ctx: Context, token: str) -> Visitor:
    """Whom a token stands for. Raises Unauthorized; Forbidden for an expired account."""
    if token.count(".") == 2:
        return await _by_claims(ctx, token)
    return await _by_word(ctx, token)


async def of_user(ctx: Context, user_id: int) -> Visitor:
    """Who a user is, with the rights and groups last seen: for what is done in the user's name.

    Raises BadRequest when there is no such user, Forbidden for an expired account.
    """
    user = await find_user(ctx, user_id)
    return await _as_visitor(ctx, user, _rights(user))


async def _by_claims(ctx: Context, token: str) -> Visitor:
    try:
        caller = await ctx.tokens.caller(token)
    except TokenError:
        raise Unauthorized("Unknown or expired token") from None
    if caller.roles == {"pilot"}:
        raise Forbidden("a pilot's token is good for its own tasks alone")
    user = await _seen(ctx, caller)
    return await _as_visitor(ctx, user, _rights(user))


async def _by_word(ctx: Context, token: str) -> Visitor:
    row = await ctx.db.desk_tokens.find_one({"_id": _hash(token)})
    user = row and await ctx.db.desk_users.find_one({"_id": row["user_id"]})
    if not row or not user or _expired(row):
        raise Unauthorized("Unknown or expired token")
    return await _as_visitor(ctx, user, _rights(user) & set(row["acls"]))


async def _as_visitor(ctx: Context, user: Document, rights: frozenset[str]) -> Visitor:
    if _expired(user):
        raise Forbidden("Account expired")
    return await groups.with_groups(ctx, Visitor(user["_id"], user["username"], rights, extra=user),
                                    user["claimed_groups"])


async def _seen(ctx: Context, caller: Caller) -> Document:
    """The row of who holds a token of the installation, made or brought up to date."""
    claims = {"claimed_roles": sorted(caller.roles), "claimed_groups": sorted(set(caller.groups))}
    user = await ctx.db.desk_users.find_one({"username": caller.username})
    if user is None:
        with contextlib.suppress(DuplicateKeyError):  # their other request was first
            await _insert(ctx, caller.username, claims)
        user = await _by_name(ctx, caller.username)
    if any(user[name] != value for name, value in claims.items()):
        await ctx.db.desk_users.update_one({"_id": user["_id"]}, {"$set": {**claims, "modified": now()}})
    return {**user, **claims}


def _rights(user: Document) -> frozenset[str]:
    return acls.of_roles([*user["roles"], *user["claimed_roles"]]) | set(user["acls"])


def _expired(row: Document) -> bool:
    return bool(row.get("expires") and row["expires"] < now())


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# -- users


async def _insert(ctx: Context, username: str, fields: Document) -> Document:
    moment = now()
    user = {"_id": await next_id(ctx, "users"), "username": username, "roles": [], "acls": [],
            "claimed_roles": [], "claimed_groups": [], "created_at": moment, "modified": moment, **fields}
    await ctx.db.desk_users.insert_one(user)
    return user


async def add_user(ctx: Context, username: str, fields: Document) -> int:
    """Add a user; the id. Raises BadRequest when the name is taken."""
    try:
        return int((await _insert(ctx, username, fields))["_id"])
    except DuplicateKeyError:
        raise BadRequest(f"username: there is a user {username!r} already") from None


async def users(ctx: Context) -> list[Document]:
    """All users, by name."""
    rows = await ctx.db.desk_users.find({}, sort=[("username", 1)]).to_list()
    return [shown_user(row) for row in rows]


async def find_user(ctx: Context, user_id: int) -> Document:
    """A user. Raises BadRequest."""
    user: Document | None = await ctx.db.desk_users.find_one({"_id": user_id})
    if user is None:
        raise BadRequest(f"no user {user_id}")
    return user


async def check_users(ctx: Context, user_ids: Iterable[int], name: str) -> None:
    """Raise BadRequest, which names the field, unless there are all these users."""
    wanted = set(user_ids)
    if missing := wanted - set(await find_users(ctx, wanted)):
        raise BadRequest(f"{name}: no user {min(missing)}")


async def find_users(ctx: Context, user_ids: Iterable[int]) -> dict[int, Document]:
    """Those of the users that are there, by id, as others see them."""
    rows = await ctx.db.desk_users.find({"_id": {"$in": sorted(user_ids)}}).to_list()
    return {row["_id"]: shown_user(row) for row in rows}


async def _by_name(ctx: Context, username: str) -> Document:
    user: Document | None = await ctx.db.desk_users.find_one({"username": username})
    if user is None:
        raise BadRequest(f"no user {username!r}")
    return user


async def named_or_numbered(ctx: Context, user_id: int | None, username: str | None) -> Document:
    """A user by id, or else by name. Raises BadRequest."""
    if user_id is not None:
        return await find_user(ctx, user_id)
    if username is None:
        raise BadRequest("userID: name a user")
    return await _by_name(ctx, username)


def shown_user(user: Document) -> Document:
    """What others see of a user."""
    names = ("username", "first_name", "last_name", "contact_email", "affiliations", "expires", "created_at",
             "modified")
    return {"id": user["_id"], **{name: user.get(name) for name in names},
            "roles": sorted({*user["roles"], *user["claimed_roles"]}), "acls": sorted(_rights(user))}


async def profile(ctx: Context, who: Visitor) -> Document:
    """The visitor's own row, with groups and the token's rights."""
    rows = await groups.readable(ctx, who, own=True)
    return {**shown_user(dict(who.extra)), "permissions": sorted(who.acls), "groups": rows,
            "tokens": [row["id"] for row in await tokens(ctx, who)]}


# -- tokens


def shared_rights(owner: Document, maker: Visitor) -> frozenset[str]:
    """What a token may do at most: all that its owner may, and who makes it."""
    return _rights(owner) if maker.system else _rights(owner) & maker.acls


async def add_token(ctx: Context, who: Visitor, owner: Document, name: str, rights: Iterable[str]) -> str:
    """A new token of a user; the word is shown this once. Raises BadRequest, Unauthorized."""
    wanted = set(rights)
    if unknown := wanted - acls.ACLS:
        raise BadRequest(f"acls: there is no right {min(unknown)!r}")
    if not wanted <= shared_rights(owner, who):
        raise Unauthorized("acls: a token can have no more rights than its owner and who makes it")
    word = secrets.token_hex(24)
    await ctx.db.desk_tokens.insert_one({
        "_id": _hash(word), "token_id": secrets.token_hex(8), "user_id": owner["_id"], "name": name,
        "acls": sorted(wanted), "created_at": now()})
    return word


async def tokens(ctx: Context, who: Visitor) -> list[Document]:
    """The visitor's tokens, without the words themselves."""
    rows = await ctx.db.desk_tokens.find({"user_id": who.user_id}, sort=[("created_at", 1)]).to_list()
    return [{"id": row["token_id"], "name": row["name"], "acls": row["acls"], "created_at": row["created_at"],
             "created_by_id": row["user_id"]} for row in rows]


async def remove_token(ctx: Context, who: Visitor, token_id: str) -> None:
    """End a token. Raises BadRequest."""
    query: dict[str, Any] = {**visible("token", who), "token_id": token_id}
    if not (await ctx.db.desk_tokens.delete_one(query)).deleted_count:
        raise BadRequest(f"no token {token_id!r}")
