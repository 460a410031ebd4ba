"""Asking token issuers: renewing (RFC 6749 §6), own tokens (§4.4) and exchanges (RFC 8693)."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import jwt
import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from config.settings import Issuer
from server.common.errors import BadRequest, Unavailable
from server.rest.context import Context

__all__ = ["Tokens", "exchange", "expiration_of", "issuer_of", "own_token", "renew"]

TIMEOUT_SECONDS = 20.0
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


class Tokens(msgspec.Struct):
    """An issuer's answer; `expires_in` in seconds."""

    access_token: str
    refresh_token: str = ""
    expires_in: float = 0.0
    scope: str = ""

    @property
    def expiration(self) -> float:
        """When the access token ends, seconds since 1970."""
        return time.time() + self.expires_in if self.expires_in else expiration_of(self.access_token)


def expiration_of(token: str) -> float:
    """When a JSON web token says that it ends; 0 when it does not say. Its signature is not checked."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return 0.0
    end = claims.get("exp")
    return float(end) if isinstance(end, int | float) else 0.0


def issuer_of(ctx: Context, url: str) -> Issuer:
    """The issuer of tokens for a service. Raises BadRequest when none is set up."""
    issuers = ctx.settings.credentials.issuers
    found = [prefix for prefix in issuers if url.startswith(prefix)]
    if not found:
        raise BadRequest(f"no token issuer is set up for {url[:200]!r}")
    return issuers[max(found, key=len)]


async def _ask(issuer: Issuer, **fields: str) -> Tokens:
    form = {name: value for name, value in fields.items() if value}
    request = HTTPRequest(
        issuer.token_url, method="POST", body=urlencode(form), request_timeout=TIMEOUT_SECONDS,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        auth_username=issuer.client_id, auth_password=issuer.client_secret, follow_redirects=False)
    try:
        answer = await AsyncHTTPClient().fetch(request)
        return msgspec.json.decode(answer.body, type=Tokens)
    except HTTPClientError as error:
        if error.code < 500:
            raise BadRequest(f"the token issuer refuses: {_why(error)}") from None
        raise Unavailable(f"the token issuer answers {error.code}") from None
    except msgspec.DecodeError as error:
        raise Unavailable(f"the token issuer's answer is not understood: {error}") from None
    except OSError as error:
        raise Unavailable(f"the token issuer cannot be reached: {error.strerror or error}") from None


def _why(error: HTTPClientError) -> str:
    """What an issuer says of an error, without anything that could be a secret."""
    try:
        said: Any = msgspec.json.decode(error.response.body) if error.response else {}
    except msgspec.DecodeError:
        said = {}
    text = said.get("error_description") or said.get("error") if isinstance(said, dict) else ""
    return str(text or error.code)[:200]


async def renew(issuer: Issuer, refresh_token: str, scope: str = "") -> Tokens:
    """A new access token for a refresh token. Raises BadRequest when refused, Unavailable."""
    return await _ask(issuer, grant_type="refresh_token", refresh_token=refresh_token, scope=scope)


async def own_token(issuer: Issuer, scope: str) -> Tokens:
    """A token for ourselves. Raises BadRequest when refused, Unavailable."""
    return await _ask(issuer, grant_type="client_credentials", scope=scope)


async def exchange(issuer: Issuer, subject_token: str, scope: str) -> Tokens:
    """A token of a narrower scope for a token. Raises BadRequest when refused, Unavailable."""
    return await _ask(
        issuer, grant_type=EXCHANGE, subject_token=subject_token, subject_token_type=ACCESS_TOKEN, scope=scope
    )
