"""Routes that make tokens, logging in and deriving a lesser token from a token, and one that revokes them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any

from iceprod.tokens import Caller, TokenError, encode
from server.common.errors import BadRequest, Forbidden, NotFound
from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.people import login, users
from server.rest import sites
from server.rest.context import Context
from server.rest.routing import Route, allow

__all__ = ["ROUTES", "derive", "revoke"]

TYPES = ("temp", "user", "system")
MAX_CHAIN = 16  # tokens that are derived from one another


class Login(ProductionHandler):
    """Logging in by name and password."""

    @allow("everybody")
    @takes(Field("username", "str", required=True), Field("password", "str", required=True))
    async def post(self) -> None:
        """A token for a name and password; every failure is 403."""
        try:
            body = self.body()
        except BadRequest:
            raise Forbidden("Login failed") from None
        found = await login.log_in(self.ctx, body.get("username"), body.get("password"), self.caller_address)
        self.send(found)


async def derive(ctx: Context, caller: Caller, body: dict[str, Any]) -> str:
    """A token that the caller may give away: no more roles, and no longer life. Raises BadRequest.

    It is revoked with the caller's own.
    """
    if caller.kind not in ("user", "system") or len(caller.token_ids) >= MAX_CHAIN:
        raise BadRequest("invalid token type")
    kind = body.get("type", "temp")
    if kind not in TYPES:
        raise BadRequest("invalid token type request")
    roles = await _roles(ctx, caller, kind, body.get("role"))
    expires = _expiry(caller, body.get("exp"))
    site = body.get("site")
    if site is not None and not isinstance(site, str):
        raise BadRequest("invalid site")
    bound = {"site": name} if (name := sites.own_site(caller, site)) else {}
    return encode(ctx.secret, caller.username, roles, groups=caller.groups, kind=kind,
                  exp=expires, **caller.descent, **bound)


async def _roles(ctx: Context, caller: Caller, kind: str, wanted: Any) -> Iterable[str]:
    if wanted is not None and not isinstance(wanted, str):
        raise BadRequest("invalid role")
    held = await _present_roles(ctx, caller)
    if kind == "system":
        return [_system_role(held, wanted)]
    if kind == "temp":
        if not held & {"admin", "user"}:
            raise BadRequest("invalid role")
        if wanted is not None and wanted not in held & {"admin", "user"}:
            raise BadRequest("invalid role request")
        return [wanted] if wanted else sorted(held & {"admin", "user"})
    if "admin" not in held | await _switchable(ctx, caller):
        raise BadRequest("invalid role")
    if wanted not in ("admin", "user"):
        raise BadRequest("invalid role request")
    return [wanted]


async def _switchable(ctx: Context, caller: Caller) -> frozenset[str]:
    """The roles that a login token's owner may change to, and still has; derived tokens have none."""
    named = caller.claims.get("switch")
    if not isinstance(named, list):
        return frozenset()
    known = await users.find(ctx, caller.username)
    return frozenset(str(role) for role in named) & frozenset(known[0]["roles"] if known else ())


def _system_role(held: frozenset[str], wanted: str | None) -> str:
    if "admin" in held and wanted in ("system", "client", "pilot"):
        return wanted
    if held & {"client", "system"} and wanted in ("pilot", None):
        return "pilot"
    raise BadRequest("invalid role request")


async def _present_roles(ctx: Context, caller: Caller) -> frozenset[str]:
    """The roles of the token that the user, if known to us, still has."""
    with contextlib.suppress(NotFound):
        user = await users.get(ctx, caller.username)
        if user["roles"]:
            return caller.roles & frozenset(user["roles"])
    return caller.roles


def _expiry(caller: Caller, seconds: Any) -> float:
    if seconds is None:
        return caller.expires
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
        raise BadRequest("invalid expiration")
    expires = time.time() + seconds
    if expires > caller.expires + 1:
        raise BadRequest("invalid expiration")
    return min(expires, caller.expires)


class CreateToken(ProductionHandler):
    """Deriving a token."""

    @allow("admin", "client", "system", "user")
    @takes(Field("type", "str"), Field("role", "str"), Field("exp", "int"), Field("site", "str"))
    async def post(self) -> None:
        """A token of type temp, user or system with a role, for exp seconds."""
        self.send({"result": await derive(self.ctx, self.user, self.body(required=False))})


class RevokeToken(ProductionHandler):
    """Revoking tokens."""

    @allow("any")
    @takes(Field("token", "str"), Field("username", "str"))
    async def post(self) -> None:
        """Refuse a token from now on, with those derived from it; or with username all of that user's.

        Administrators may do so to everybody, others to themselves.
        """
        await revoke(self.ctx, self.user, self.body())
        self.send({})


async def revoke(ctx: Context, caller: Caller, body: dict[str, Any]) -> None:
    """Refuse a token, or all of a user, as the body says. Raises BadRequest, Forbidden."""
    match body:
        case {"token": str(token)}:
            await _revoke_token(ctx, caller, token)
        case {"username": str(username)}:
            _check_owner(caller, username)
            await ctx.tokens.revocations.revoke_user(username)
        case _:
            raise BadRequest("missing key: token or username")


async def _revoke_token(ctx: Context, caller: Caller, token: str) -> None:
    try:
        revoked = await ctx.tokens.caller(token)
    except TokenError as error:
        raise BadRequest(f"this token is not good anyway: {error}") from None
    _check_owner(caller, revoked.username)
    if not revoked.claims.get("jti"):
        raise BadRequest("this token has no id (jti); revoke all of its user's with username")
    await ctx.tokens.revocations.revoke_token(revoked.token_ids[-1], revoked.expires)


def _check_owner(caller: Caller, username: str) -> None:
    if username != caller.username and "admin" not in caller.roles:
        raise Forbidden("authorization failed")


ROUTES = [Route("/ldap", Login, "auth"), Route("/create_token", CreateToken, "auth"),
          Route("/revoke_token", RevokeToken, "auth")]
