"""Rows that are computed after they were asked for: claimed by a lease, written once, given up at last."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from iceprod.ids import now
from server.common.errors import ApiError
from server.rest.context import Context

__all__ = ["COMPLETE", "FAILED", "PENDING", "fresh", "work"]

log = logging.getLogger("server.desk")

PENDING, COMPLETE, FAILED = "pending", "complete", "failed"
LEASE = timedelta(minutes=5)
MOST_TRIES = 3

Compute = Callable[[Context, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


def fresh() -> dict[str, Any]:
    """The fields of a row that is to be computed."""
    moment = now()
    return {"status": PENDING, "reason": "", "lease": moment, "tries": 0, "created_at": moment,
            "modified": moment}


async def work(ctx: Context, collection: str, compute: Compute) -> list[dict[str, Any]]:
    """Compute what waits; the rows as they are then. A row that cannot be computed says why."""
    done = []
    while (row := await _claim(ctx, collection)) is not None:
        fields = await _computed(ctx, row, compute)
        ended: dict[str, Any] | None = await ctx.db[collection].find_one_and_update(
            {"_id": row["_id"], "status": PENDING}, {"$set": {**fields, "modified": now()}},
            return_document=ReturnDocument.AFTER)
        if ended is not None:
            done.append(ended)
    return done


async def _computed(ctx: Context, row: Mapping[str, Any], compute: Compute) -> dict[str, Any]:
    try:
        return {"status": COMPLETE, **await compute(ctx, row)}
    except ApiError as error:
        return {"status": FAILED, "reason": error.reason}
    except PyMongoError:
        raise
    except Exception:
        log.exception("a computation failed", extra={"action": "desk plan", "row": row["_id"]})
        return {"status": FAILED, "reason": "an error of ours: see the server's log"}


async def _claim(ctx: Context, collection: str) -> dict[str, Any] | None:
    moment = now()
    row: dict[str, Any] | None = await ctx.db[collection].find_one_and_update(
        {"status": PENDING, "lease": {"$lte": moment}},
        {"$set": {"lease": moment + LEASE}, "$inc": {"tries": 1}}, sort=[("lease", 1)],
        return_document=ReturnDocument.AFTER)
    if row is not None and row["tries"] > MOST_TRIES:
        await ctx.db[collection].update_one({"_id": row["_id"], "status": PENDING}, {"$set": {
            "status": FAILED, "reason": f"it did not end in {MOST_TRIES} tries", "modified": now()}})
        return await _claim(ctx, collection)
    return row
