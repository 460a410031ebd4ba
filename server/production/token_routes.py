"""Routes that make tokens: logging in, and deriving a lesser token from a token."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any

from iceprod.tokens import Caller, encode
from server import sites
from server.context import Context
from server.errors import BadRequest, Forbidden, NotFound
from server.production import login, users
from server.production.fields import Field, takes
from server.production.handler import ProductionHandler
from server.routing import Route, allow

__all__ = ["ROUTES", "derive"]

TYPES = ("temp", "user", "system")


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
        self.send(await login.log_in(self.ctx, body.get("username"), body.get("password")))


async def derive(ctx: Context, caller: Caller, body: dict[str, Any]) -> str:
    """A token that the caller may give away: no more roles, and no longer life. Raises BadRequest."""
    if caller.kind not in ("user", "system"):
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
                  hours=(expires - time.time()) / 3600, **bound)


async def _roles(ctx: Context, caller: Caller, kind: str, wanted: Any) -> Iterable[str]:
    if wanted is not None and not isinstance(wanted, str):
        raise BadRequest("invalid role")
    if kind == "system":
        return [_system_role(caller, wanted)]
    held = await _present_roles(ctx, caller)
    if kind == "temp":
        if not held & {"admin", "user"}:
            raise BadRequest("invalid role")
        if wanted is not None and wanted not in held & {"admin", "user"}:
            raise BadRequest("invalid role request")
        return [wanted] if wanted else sorted(held & {"admin", "user"})
    if "admin" not in held:
        raise BadRequest("invalid role")
    if wanted not in ("admin", "user"):
        raise BadRequest("invalid role request")
    return [wanted]


def _system_role(caller: Caller, wanted: str | None) -> str:
    if "admin" in caller.roles and wanted in ("system", "client", "pilot"):
        return wanted
    if caller.roles & {"client", "system"} and wanted in ("pilot", None):
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
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds <= 0:
        raise BadRequest("invalid expiration")
    expires = time.time() + seconds
    if expires > caller.expires + 1:
        raise BadRequest("invalid expiration")
    return expires


class CreateToken(ProductionHandler):
    """Deriving a token."""

    @allow("admin", "client", "system", "user")
    @takes(Field("type", "str"), Field("role", "str"), Field("exp", "int"), Field("site", "str"))
    async def post(self) -> None:
        """A token of type temp, user or system with a role, for exp seconds."""
        self.send({"result": await derive(self.ctx, self.user, self.body(required=False))})


ROUTES = [Route("/ldap", Login, "auth"), Route("/create_token", CreateToken, "auth")]
