"""Pilots that were heard of lately, read a few at a time so that requests have their turn between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from iceprod.ids import now, timestamp
from server.production.common.documents import TOGETHER, Document
from server.rest.context import Context

__all__ = ["HEARD_SECONDS", "MOST_PILOTS", "heard_of", "pilots"]

HEARD_SECONDS = 300.0  # a pilot that was heard of so recently counts
MOST_PILOTS = 50_000


def heard_of(seconds: float = HEARD_SECONDS) -> Document:
    """A query for those that were heard of within so many seconds."""
    return {"last_update": {"$gt": timestamp(now() - timedelta(seconds=seconds))}}


async def pilots(ctx: Context, *fields: str, seconds: float = HEARD_SECONDS) -> AsyncIterator[Document]:
    """These fields of each pilot that was heard of, of at most `MOST_PILOTS`."""
    shown = {"_id": 0, **dict.fromkeys(fields, 1)}
    async for pilot in ctx.db.pilots.find(heard_of(seconds), shown, limit=MOST_PILOTS, batch_size=TOGETHER):
        yield pilot
