"""Logging in by name and password, through a directory service.

Which one is a matter of the settings (section `login`); without one nobody can log in this way. Failed tries
of one name are counted, and too many are refused for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TTLCache

from iceprod.tokens import ROLES, encode
from server.context import Context
from server.errors import Forbidden, TooManyRequests
from server.production import users
from server.production.documents import Document

__all__ = ["Backend", "log_in", "use_backend"]

MAX_TRIES = 10  # of one name
TRIES_SECONDS = 60.0

Backend = Callable[[str, str], bool]
"""Whether a name and password belong together. Runs in a thread."""


@dataclass
class _Login:
    backend: Backend | None = None


_login = _Login()
_tries: TTLCache[str, int] = TTLCache(100_000, TRIES_SECONDS, timer=time.monotonic)


def use_backend(backend: Backend | None) -> None:
    """Let names and passwords be checked by `backend`."""
    _login.backend = backend


def ldap_backend(url: str, user_dn: str) -> Backend:
    """A backend that binds to an LDAP server; `user_dn` with ``{}`` where the escaped name goes."""
    import ldap3
    from ldap3.core.exceptions import LDAPException
    from ldap3.utils.dn import escape_rdn

    def check(username: str, password: str) -> bool:
        try:
            server = ldap3.Server(url, connect_timeout=5)
            with ldap3.Connection(server, user=user_dn.format(escape_rdn(username)), password=password,
                                  receive_timeout=5) as connection:
                return bool(connection.bound)
        except LDAPException:
            return False

    return check


def _backend(ctx: Context) -> Backend | None:
    settings = ctx.settings.login
    if _login.backend is None and settings.ldap_url:
        _login.backend = ldap_backend(settings.ldap_url, settings.ldap_user_dn)
    return _login.backend


async def log_in(ctx: Context, username: object, password: object) -> Document:
    """A token for a user. Raises Forbidden, TooManyRequests."""
    backend = _backend(ctx)
    if not isinstance(username, str) or not isinstance(password, str) or not username or not password:
        raise Forbidden("Login failed")
    if _tries.get(username, 0) >= MAX_TRIES:
        raise TooManyRequests(f"too many failed logins; wait {TRIES_SECONDS:.0f} s")
    if backend is None or not await asyncio.to_thread(backend, username, password):
        _tries[username] = _tries.get(username, 0) + 1
        raise Forbidden("Login failed")
    _tries.pop(username, None)
    user = await users.ensure(ctx, username, groups=["users"], roles=["user"])
    role = "user" if "user" in user["roles"] else "anonymous"
    roles = ["user"] if role == "user" else []
    token = encode(ctx.secret, username, roles, groups=user["groups"], hours=ctx.settings.tokens.hours)
    shown = [name for name in ROLES if name in user["roles"]]
    return {"token": token, "username": username, "roles": shown, "current_role": role,
            "groups": user["groups"]}
