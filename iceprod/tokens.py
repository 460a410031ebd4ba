"""Bearer tokens: JSON web tokens signed with the installation's own secret (RFC 7519, HS256)."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

__all__ = ["ROLES", "Caller", "TokenError", "decode", "decode_login", "encode", "encode_login", "read_secret",
           "token_ids"]

ROLES = ("admin", "user", "client", "system", "pilot")
"""The roles a token may carry; the first that the token has is the one shown."""

ISSUER = "iceprod"
_LOGIN = "one-time login"  # the audience of a link that logs in once; as an access token it is none


class TokenError(ValueError):
    """A token is malformed, expired or not signed by us."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request, and what they may do."""

    username: str
    roles: frozenset[str]
    groups: tuple[str, ...] = ()
    kind: str = "user"  # user, system or temp
    expires: float = 0.0  # seconds since 1970
    issued: float = 0.0  # seconds since 1970: the token, or the first of those that it was derived from
    token_ids: tuple[str, ...] = ()  # of the token, and before it of those that it was derived from
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def descent(self) -> dict[str, Any]:
        """Claims of a token that is derived from this one: it is revoked with it, or with all of its time.

        Who is just being shut out may still derive tokens while the revocation is on its way: by their own
        age they would outlive it.
        """
        return {"chain": list(self.token_ids), "since": self.issued}

    @property
    def bypasses_datasets(self) -> bool:
        """Whether per-dataset permissions do not apply."""
        return bool(self.roles & {"admin", "system", "client"})


def read_secret(path: Path) -> str:
    """The signing secret; made (readable by its owner alone) when it does not exist.

    It appears under its name in one step, so whoever comes at the same time reads a whole one.
    """
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".secret")
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        os.unlink(draft)
    return path.read_text(encoding="ascii").strip()


def encode(
    secret: str,
    username: str,
    roles: Iterable[str],
    *,
    groups: Iterable[str] = ("users",),
    kind: str = "user",
    hours: float = 24.0,
    **claims: Any,
) -> str:
    """A signed token that every API family understands: it carries both dialects' role claims.

    `claims` are added as they are: those of its `Caller.descent`, say, when it is derived from another.
    """
    names = [role for role in ROLES if role in set(roles)]
    issued = time.time()
    payload = {
        "iss": ISSUER, "sub": username, "username": username, "type": kind,
        "role": names[0] if names else "anonymous", "roles": names, "groups": list(groups),
        "jti": secrets.token_urlsafe(12), "iat": issued, "exp": issued + hours * 3600, **claims,
    }
    return jwt.encode(payload, secret, algorithm="HS256")


def decode(secret: str, token: str) -> Caller:
    """Check a token of ours and tell who it is. Raises TokenError."""
    try:
        claims = jwt.decode(token, secret, algorithms=["HS256"], issuer=ISSUER,
                            options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError as error:
        raise TokenError(str(error)) from None
    return _caller(claims)


def encode_login(secret: str, username: str, roles: Iterable[str], *, minutes: float = 10.0) -> str:
    """What the address of a one-time login carries; whoever takes it marks its `jti` as used."""
    issued = time.time()
    return jwt.encode({"iss": ISSUER, "aud": _LOGIN, "sub": username, "roles": list(roles),
                       "jti": secrets.token_urlsafe(12), "iat": issued, "exp": int(issued + minutes * 60)},
                      secret, algorithm="HS256")


def decode_login(secret: str, text: str) -> Caller:
    """Who may log in with it, once. Raises TokenError."""
    try:
        claims = jwt.decode(text, secret, algorithms=["HS256"], issuer=ISSUER, audience=_LOGIN,
                            options={"require": ["exp", "sub", "jti"]})
    except jwt.InvalidTokenError as error:
        raise TokenError(str(error)) from None
    return _caller(claims)


def _caller(claims: dict[str, Any]) -> Caller:
    names = claims.get("roles")
    roles = names if isinstance(names, list) else [claims.get("role")]
    groups = claims.get("groups")
    return Caller(
        username=str(claims.get("username") or claims["sub"]),
        roles=frozenset(role for role in roles if role in ROLES),
        groups=tuple(str(group) for group in groups) if isinstance(groups, list) else (),
        kind=str(claims.get("type", "user")),
        expires=float(claims["exp"]),
        issued=min(float(claims.get("iat", 0)), float(claims.get("since", "inf"))),
        token_ids=token_ids(claims),
        claims=claims,
    )


def token_ids(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the tokens that a token was derived from, the first one first, and its own."""
    chain = claims.get("chain")
    before = [str(name) for name in chain] if isinstance(chain, list) else []
    return (*before, str(claims["jti"])) if claims.get("jti") else tuple(before)
