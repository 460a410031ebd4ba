"""Who owns rules: with the rights last seen, for as long as these count.

Nobody shows a token when something happens, so rules go by what the owner's latest token said. That is good
for `notify.rights_days`, and not after all tokens of the owner were revoked.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from iceprod.tokens import Caller
from server.alerts.common.rights import RIGHT
from server.common.errors import ApiError, Forbidden
from server.desk.people import people
from server.notifications.topics import Audience, Topic
from server.production.common import access
from server.rest.context import Context

__all__ = ["Owner", "find", "may_hear", "seen", "verified_email", "why_asleep"]

_SHORT = 60.0  # seconds: a visit sooner after the last writes nothing


class Owner(msgspec.Struct, kw_only=True):
    """A user as last seen; times in seconds since 1970."""

    username: str
    roles: list[str]
    groups: list[str]
    user_id: int  # at the desk
    email: str = ""  # that the issuer of the token has verified
    seen: float = 0.0

    @property
    def caller(self) -> Caller:
        return Caller(self.username, frozenset(self.roles), tuple(self.groups))

    @property
    def is_admin(self) -> bool:
        return bool({"admin", "system"} & set(self.roles))


def verified_email(caller: Caller) -> str:
    """The address that a token's issuer has verified as its owner's (OpenID Connect Core 1.0, 5.1)."""
    email = caller.claims.get("email")
    is_verified = caller.claims.get("email_verified") is True
    return email if is_verified and isinstance(email, str) and len(email) <= 254 else ""


async def seen(ctx: Context, caller: Caller, token: str) -> Owner:
    """Note who comes with a token."""
    known = await find(ctx, caller.username)
    visitor = await people.visitor(ctx, token)
    owner = Owner(username=caller.username, roles=sorted(caller.roles), groups=sorted(set(caller.groups)),
                  user_id=visitor.user_id, seen=time.time(),
                  email=verified_email(caller) or (known.email if known else ""))
    if known is None or _told(known) != _told(owner) or owner.seen - known.seen > _SHORT:
        row = msgspec.to_builtins(owner)
        await ctx.db.notification_owners.update_one({"_id": row.pop("username")}, {"$set": row}, upsert=True)
    return owner


def _told(owner: Owner) -> dict[str, Any]:
    return {**msgspec.to_builtins(owner), "seen": 0}


async def find(ctx: Context, username: str) -> Owner | None:
    """An owner of rules."""
    row = await ctx.db.notification_owners.find_one({"_id": username})
    return None if row is None else msgspec.convert({**row, "username": row["_id"]}, Owner)


async def why_asleep(ctx: Context, owner: Owner) -> str:
    """Why nothing is told in an owner's name; empty when it is."""
    days = ctx.settings.notify.rights_days
    if time.time() - owner.seen > days * 86400:
        return f"{owner.username} was not here for {days:g} days; rights count for no longer"
    if owner.seen <= await ctx.tokens.revocations.revoked_before(owner.username):
        return f"all tokens of {owner.username} were revoked"
    return ""


async def may_hear(ctx: Context, owner: Owner, topic: Topic, facts: dict[str, Any] | None = None) -> bool:
    """Whether an owner may hear of a topic; with facts, of one happening."""
    match topic.audience:
        case Audience.ADMINS:
            return owner.is_admin
        case Audience.ALERTS:
            return owner.is_admin or await _has_right(ctx, owner)
        case Audience.READERS if facts is not None:
            return await _may_read(ctx, owner, facts["dataset_id"])
        case Audience.WATCHERS if facts is not None:
            return owner.username in facts["watchers"]
    return True


async def _has_right(ctx: Context, owner: Owner) -> bool:
    try:
        return (await people.of_user(ctx, owner.user_id)).has(RIGHT)
    except ApiError:  # the account is gone or expired
        return False


async def _may_read(ctx: Context, owner: Owner, dataset_id: str) -> bool:
    try:
        await access.require(ctx, owner.caller, dataset_id, "read")
    except Forbidden:
        return False
    return True
