"""Tokens that were revoked before their time: single ones, or all that a user got until a moment.

Every server keeps what the database knows for a few seconds (`tokens.revocation_seconds`), or until another
one tells that there are more. A token that was derived from a revoked one is revoked with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from iceprod.tokens import Caller, TokenError
from server.common.errors import Unavailable
from server.common.fresh import Fresh
from server.common.signals import Signals
from server.store.database import Index

__all__ = ["INDEXES", "Revocations"]

log = logging.getLogger("server.tokens")

INDEXES = [Index("revocations", "until", [("until", 1)], options={"expireAfterSeconds": 0})]

REVOKED = "revocations"  # the signal
_DESCENDANTS_SECONDS = 15 * 86400.0  # a pilot's token may be renewed beyond the one that it came with


class Revocations:
    """What was revoked, as far as this server knows."""

    def __init__(self, db: AsyncDatabase, seconds: float, signals: Signals) -> None:
        self._db, self._signals, self._seconds = db, signals, seconds
        self._read = Fresh(REVOKED, seconds)
        self._tokens: frozenset[str] = frozenset()
        self._users: dict[str, float] = {}
        self._reading = asyncio.Lock()

    async def check(self, caller: Caller) -> None:
        """Raise TokenError when the caller's token was revoked; Unavailable when nobody can tell."""
        if not self._read.holds(self._signals):
            await self._look()
        if self._tokens.intersection(caller.token_ids):
            raise TokenError("it was revoked")
        if caller.issued <= self._users.get(caller.username, -1.0):
            raise TokenError("it was revoked with all tokens of its user")

    async def revoked_before(self, username: str) -> float:
        """Until when tokens of a user are refused, seconds since 1970; 0 when all were never revoked."""
        if not self._read.holds(self._signals):
            await self._look()
        return self._users.get(username, 0.0)

    async def revoke_token(self, token_id: str, expires: float) -> None:
        """Refuse one token, and those derived from it, from now on."""
        least = time.time() + _DESCENDANTS_SECONDS
        until = datetime.fromtimestamp(min(max(expires, least), 4e9) + 60, UTC)
        await self._put(f"token:{token_id}", {"token_id": token_id, "until": until})

    async def revoke_user(self, username: str) -> None:
        """Refuse all tokens that were issued for a user until now."""
        await self._put(f"user:{username}", {"username": username, "before": time.time()})

    async def _put(self, key: str, fields: dict[str, object]) -> None:
        await self._db.revocations.update_one({"_id": key}, {"$set": fields}, upsert=True)
        self._signals.notify(REVOKED)
        self._signals.at_once()  # before anybody is answered that it is revoked

    async def _look(self) -> None:
        async with self._reading:
            if self._read.holds(self._signals):  # somebody else read it meanwhile
                return
            read = Fresh(REVOKED, self._seconds)
            read.begin(self._signals)
            try:
                rows = await self._db.revocations.find({}, {"_id": 0}).to_list()
            except PyMongoError as error:  # its text may name hosts, and whoever asks is not known yet
                log.warning("revocations cannot be read: %s", str(error)[:200])
                raise Unavailable("the database does not answer just now; try again later", 3) from None
            self._tokens = frozenset(row["token_id"] for row in rows if "token_id" in row)
            self._users = {row["username"]: row["before"] for row in rows if "username" in row}
            self._read = read
