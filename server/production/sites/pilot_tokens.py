"""Tokens that are good for one pilot alone: given at its registration, and renewed while it lives.

The first lasts as long as the one that it registered with. A renewed one may outlast that, since a pilot may
have waited long before it started, but not the life that the pilot announced when it registered. All of them
are one token for whoever revokes it, and are revoked with the one that the pilot registered with.
"""

from __future__ import annotations

import time
from typing import Any

from iceprod.tokens import Caller, encode
from server.production.common.documents import Document
from server.rest import sites
from server.rest.context import Context

__all__ = ["another", "first"]

RENEWED_SECONDS = 6 * 3600.0
OVERTIME_SECONDS = 2 * 3600.0  # after a pilot's life, for what it still reports
LONGEST_HOURS = 14 * 24.0
UNTOLD_HOURS = 24.0  # of a pilot that does not say how long it lives


def first(ctx: Context, caller: Caller, pilot_id: str, registration: Document) -> Document:
    """A token for a pilot that registers, and how long it lasts; nothing for who may do more than a pilot."""
    if not sites.is_mere_pilot(caller):
        return {}
    bounds: dict[str, Any] = {"pilot": pilot_id, "ends": time.time() + _life(registration)}
    if site := sites.bound_site(caller):
        bounds["site"] = site
    return _made(ctx, caller, caller.expires, bounds | caller.descent)


def another(ctx: Context, caller: Caller) -> Document:
    """A fresh token like the caller's; nothing when it is no pilot's own, or its life is over."""
    ends = caller.claims.get("ends")
    if not sites.bound_pilot(caller) or not isinstance(ends, int | float):
        return {}
    expires = min(float(ends), time.time() + RENEWED_SECONDS)
    if expires <= caller.expires:
        return {}
    kept = ("pilot", "site", "ends", "jti", "chain")
    claims = {name: caller.claims[name] for name in kept if name in caller.claims}
    return _made(ctx, caller, expires, claims | {"since": caller.issued})


def _made(ctx: Context, caller: Caller, expires: float, claims: dict[str, Any]) -> Document:
    token = encode(ctx.secret, caller.username, ["pilot"], groups=caller.groups, kind="temp", exp=expires,
                   **claims)
    return {"token": token, "expires": expires, "expires_in": expires - time.time()}


def _life(registration: Document) -> float:
    hours: Any = (registration.get("resources") or {}).get("time")
    known = isinstance(hours, int | float) and not isinstance(hours, bool)
    return min(max(float(hours) if known else UNTOLD_HOURS, 0.0), LONGEST_HOURS) * 3600 + OVERTIME_SECONDS
