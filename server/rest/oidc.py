"""Tokens of an OpenID Connect issuer: checked with its published keys, read by the installation's rules.

The issuer says where its key set is (OpenID Connect Discovery 1.0, section 4; RFC 7517). Keys are kept; a
token that names an unknown key makes us ask again, for issuers rotate their keys, but not more often than
`oidc.retry_seconds`. Only signatures by asymmetric keys count (RFC 8725, section 3.1).
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from config.settings import Oidc
from iceprod.tokens import ROLES, Caller, TokenError, token_ids
from server.common.errors import Unavailable
from server.common.patterns import compile_pattern

__all__ = ["ALGORITHMS", "Issuer", "claimed_issuer", "matching"]

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MAX_BYTES = 1 << 20  # of an answer of the issuer


class Description(msgspec.Struct):
    """What an issuer says of itself."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""


class Answer(msgspec.Struct):
    """The tokens that an issuer gives for a code."""

    id_token: str
    access_token: str = ""


class KeySet(msgspec.Struct):
    """The keys that an issuer publishes."""

    keys: list[dict[str, Any]]


def claimed_issuer(token: str) -> str:
    """The issuer that a token names, unchecked. Raises TokenError when it is no token."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise TokenError(str(error)) from None
    return str(claims.get("iss", ""))


def matching(rules: Mapping[str, list[str]], claims: Mapping[str, Any]) -> list[str]:
    """The names one of whose rules, ``claim=pattern``, holds for the claims."""
    return [name for name, lines in rules.items() if any(_holds(line, claims) for line in lines)]


def _holds(rule: str, claims: Mapping[str, Any]) -> bool:
    path, _, pattern = rule.partition("=")
    known = compile_pattern(pattern, any_case=False)
    return any(known.fullmatch(value) for value in _values(path, claims))


def _values(path: str, claims: Mapping[str, Any]) -> Iterator[str]:
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item


class Issuer:
    """The issuer of the settings, with the keys that it published."""

    def __init__(self, settings: Oidc) -> None:
        self.settings = settings
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    async def caller(self, token: str) -> Caller:
        """Check a token and tell who it is. Raises TokenError; Unavailable when there are no keys."""
        return self._caller(await self._verified(token, self.settings.audiences))

    def _caller(self, claims: dict[str, Any]) -> Caller:
        username = claims.get(self.settings.username_claim) or claims["sub"]
        roles = frozenset(matching(self.settings.roles, claims)) & frozenset(ROLES)
        return Caller(
            username=str(username), roles=roles, groups=tuple(matching(self.settings.groups, claims)),
            kind="system" if roles == {"system"} else "user", expires=float(claims["exp"]),
            issued=float(claims.get("iat", 0)), token_ids=token_ids(claims), claims=claims)

    async def description(self) -> Description:
        """What the issuer says of itself. Raises Unavailable."""
        base = self.settings.issuer.rstrip("/")
        description = await self._get(f"{base}/.well-known/openid-configuration", Description)
        if description.issuer != self.settings.issuer:
            raise Unavailable("the token issuer's description is another issuer's")
        return description

    async def log_in(self, code: str, verifier: str, redirect_uri: str, nonce: str) -> Caller:
        """Who logged in, by the code that the issuer sent with them. Raises TokenError, Unavailable.

        OpenID Connect Core 1.0, section 3.1.3, with PKCE (RFC 7636). Roles come from the access token when it
        is one that we accept, else from the ID token, which must be for us and carry the nonce.
        """
        endpoint = (await self.description()).token_endpoint
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
                "client_id": self.settings.client_id, "code_verifier": verifier}
        if self.settings.client_secret:
            form["client_secret"] = self.settings.client_secret
        tokens = await self._get(endpoint, Answer, method="POST", body=urlencode(form), headers={
            "Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"})
        claims = await self._verified(tokens.id_token, [self.settings.client_id])
        if not hmac.compare_digest(str(claims.get("nonce", "")), nonce):
            raise TokenError("it was issued for another login")
        try:
            caller = await self.caller(tokens.access_token)
        except TokenError:  # not a token for us, or none that could be read
            return self._caller(claims)
        if caller.claims.get("sub") != claims.get("sub"):
            raise TokenError("its two tokens are of different people")
        return caller

    async def _verified(self, token: str, audiences: list[str]) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise TokenError(f"its algorithm {str(header.get('alg'))[:20]!r} is not accepted")
            key = await self._key(header.get("kid"))
            return jwt.decode(
                token, key.key, algorithms=[header["alg"]], issuer=self.settings.issuer,
                audience=audiences, leeway=self.settings.leeway_seconds,
                options={"require": ["exp", "iss", "aud", "sub"]})
        except (jwt.PyJWTError, TypeError, ValueError) as error:  # also a key of another kind
            raise TokenError(str(error)) from None

    async def _key(self, kid: object) -> jwt.PyJWK:
        now = time.monotonic()
        if now - self._read_at > self.settings.keys_seconds or not self._has(kid):
            await self._refresh()
        if not self._has(kid):
            raise TokenError("it is signed with a key that its issuer does not publish")
        return self._keys[str(kid)] if kid is not None else next(iter(self._keys.values()))

    def _has(self, kid: object) -> bool:
        return len(self._keys) == 1 if kid is None else kid in self._keys

    async def _refresh(self) -> None:
        """Read the keys, unless that was just tried. Old keys stay when the issuer cannot be reached."""
        asked = time.monotonic()
        async with self._reading:
            if asked > self._tried_at + self.settings.retry_seconds:  # nobody tried while we waited
                try:
                    self._keys = await self._published()
                    self._read_at = time.monotonic()
                except Unavailable:
                    if not self._keys:
                        raise
                finally:
                    self._tried_at = time.monotonic()
            if not self._keys:
                raise Unavailable("the token issuer's keys are not known yet")

    async def _published(self) -> dict[str, jwt.PyJWK]:
        found = await self._get((await self.description()).jwks_uri, KeySet)
        return {str(key.key_id or ""): key for key in map(_usable, found.keys) if key}

    async def _get(self, url: str, kind: type[Any], **how: Any) -> Any:
        seconds = self.settings.timeout_seconds
        client = AsyncHTTPClient(force_instance=True, max_body_size=MAX_BYTES)
        try:
            answer = await client.fetch(HTTPRequest(
                url, connect_timeout=seconds, request_timeout=seconds, follow_redirects=False, **how))
            return msgspec.json.decode(answer.body, type=kind)
        except HTTPClientError as error:
            if how and 400 <= error.code < 500:  # what we sent with it is refused, not we
                raise TokenError("the issuer does not accept it") from None
            raise Unavailable(f"the token issuer cannot be asked: {error}") from None
        except (OSError, ValueError) as error:  # ValueError: no URL, or no JSON of that kind
            raise Unavailable(f"the token issuer cannot be asked: {error}") from None
        finally:
            client.close()


def _usable(key: dict[str, Any]) -> jwt.PyJWK | None:
    """A published key that may check signatures; None for all others."""
    if key.get("kty") not in ("RSA", "EC", "OKP") or key.get("use", "sig") != "sig":
        return None
    try:
        return jwt.PyJWK.from_dict(key)
    except jwt.PyJWTError:
        return None
