"""Logging in by name and password, through a directory service (LDAP, RFC 4511).

Which one is a matter of the settings (section `login`); without one nobody can log in this way. Failed tries
are counted, and too many are refused for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from config.settings import Login
from iceprod.tokens import ROLES, encode
from server.common.errors import Forbidden
from server.production.common.documents import Document
from server.production.people import users
from server.production.people.throttle import Throttle
from server.rest.context import Context

__all__ = ["Backend", "log_in", "use_backend"]

log = logging.getLogger("server.login")

MAX_NAME = 200
TIMEOUT_SECONDS = 5
NAME_TRIES, ADDRESS_TRIES = 5, 20  # times `login.tries`: of a name from anywhere, of an address for any name

Backend = Callable[[str, str], bool]
"""Whether a name and password belong together. Runs in a thread."""


@dataclass
class _Chosen:
    backend: Backend | None = None


_chosen = _Chosen()


def use_backend(backend: Backend | None) -> None:
    """Let names and passwords be checked by `backend`, whatever the settings say."""
    _chosen.backend = backend


def ldap_backend(settings: Login) -> Backend:
    """A backend that binds to an LDAP server as the user."""
    import ldap3  # large, and needed where there is a directory service alone
    from ldap3.core.exceptions import LDAPException
    from ldap3.utils.dn import escape_rdn

    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=settings.ldap_ca_file or None)

    def check(username: str, password: str) -> bool:
        user = settings.ldap_user_dn.format(escape_rdn(username))
        server = ldap3.Server(settings.ldap_url, connect_timeout=TIMEOUT_SECONDS, tls=tls,
                              get_info=ldap3.NONE)
        connection = ldap3.Connection(server, user=user, password=password,
                                      receive_timeout=TIMEOUT_SECONDS)
        try:
            encrypted = connection.start_tls() if settings.ldap_start_tls else True
            return bool(encrypted and connection.bind())
        except LDAPException as error:
            log.info("login failed", extra={"action": "login", "reason": str(error)[:200]})
            return False
        finally:
            opened = connection.socket  # of a connection that failed, unbind would leave it open
            with contextlib.suppress(LDAPException):
                connection.unbind()
            if opened is not None:
                opened.close()

    return check


def _backend(ctx: Context) -> Backend | None:
    if _chosen.backend is None and ctx.settings.login.ldap_url:
        return ldap_backend(ctx.settings.login)
    return _chosen.backend


async def log_in(ctx: Context, username: object, password: object, address: str = "") -> Document:
    """A token for a user who calls from an address. Raises Forbidden, TooManyRequests."""
    if not isinstance(username, str) or not isinstance(password, str) or not username or not password:
        raise Forbidden("Login failed")  # an empty password would bind anonymously (RFC 4513, section 5.1.2)
    if len(username) > MAX_NAME or len(password) > MAX_NAME or "\0" in username + password:
        raise Forbidden("Login failed")
    await _check(ctx, username, password, address)
    user = await users.ensure(ctx, username, groups=["users"], roles=["user"])
    role = "user" if "user" in user["roles"] else "anonymous"
    roles = ["user"] if role == "user" else []
    shown = [name for name in ROLES if name in user["roles"]]
    token = encode(ctx.secret, username, roles, groups=user["groups"], hours=ctx.settings.tokens.hours,
                   switch=shown)
    return {"token": token, "username": username, "roles": shown, "current_role": role,
            "groups": user["groups"]}


async def _check(ctx: Context, username: str, password: str, address: str) -> None:
    """Raise unless the password is the user's. A try counts before it is made, so that many at once count."""
    name, settings = username.casefold(), ctx.settings.login
    throttle, tries = Throttle(ctx.db, settings.tries_seconds), settings.tries
    limits = {f"both {address} {name}": tries, f"name {name}": NAME_TRIES * tries,
              f"address {address}": ADDRESS_TRIES * tries}
    await throttle.count(limits)
    backend = _backend(ctx)
    if backend is None or not await asyncio.to_thread(backend, username, password):
        raise Forbidden("Login failed")
    await throttle.forgive(limits)
