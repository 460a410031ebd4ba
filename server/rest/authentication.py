"""Who a bearer token is: our own tokens, those of the OpenID Connect issuer, and none that was revoked."""

from __future__ import annotations

import time

from cachetools import LRUCache
from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Settings
from iceprod.tokens import Caller, TokenError, decode
from server.common.signals import Signals
from server.rest.oidc import Issuer, claimed_issuer
from server.rest.revocations import Revocations

__all__ = ["MAX_TOKEN", "Authenticator"]

MAX_TOKEN = 16_384  # characters
KNOWN = 20_000  # tokens of ours whose signatures were checked: thousands of pilots come again and again


class Authenticator:
    """Checks tokens for one server process."""

    def __init__(self, settings: Settings, db: AsyncDatabase, secret: str, signals: Signals) -> None:
        self._secret = secret
        self._known: LRUCache[str, Caller] = LRUCache(KNOWN)
        self._issuer = Issuer(settings.oidc) if settings.oidc.issuer else None
        self.web_issuer = self._issuer if settings.oidc.client_id else None  # whom people log in with
        self.revocations = Revocations(db, settings.tokens.revocation_seconds, signals)

    async def caller(self, token: str) -> Caller:
        """Who a token is. Raises TokenError; Unavailable when the issuer or the database does not answer."""
        if len(token) > MAX_TOKEN:
            raise TokenError("it is too long")
        caller = await self._caller(token)
        await self.revocations.check(caller)
        return caller

    async def _caller(self, token: str) -> Caller:
        if self._issuer and claimed_issuer(token) == self._issuer.settings.issuer:
            return await self._issuer.caller(token)
        return self._our_caller(token)

    def _our_caller(self, token: str) -> Caller:
        known = self._known.get(token)
        if known is None or known.expires <= time.time():
            known = self._known[token] = decode(self._secret, token)
        return known
