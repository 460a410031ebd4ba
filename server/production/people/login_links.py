"""Addresses that log in once: which of them were used."""

from __future__ import annotations

from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from iceprod.tokens import Caller, TokenError
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "use"]

INDEXES = [Index("login_links", "until", [("until", 1)], options={"expireAfterSeconds": 0})]
_MARGIN = 3600.0  # seconds that clocks of servers may differ by


async def use(ctx: Context, caller: Caller) -> None:
    """Take the one use that an address has. Raises TokenError when it was taken before."""
    until = datetime.fromtimestamp(caller.expires + _MARGIN, UTC)
    try:
        await ctx.db.login_links.insert_one({"_id": caller.token_ids[-1], "until": until})
    except DuplicateKeyError:
        raise TokenError("it was used already") from None
