"""Outboxes: rows that are to be sent, each under its key, at least once, one after the other in a lane.

A row's id is the key that the receiver gets. It is claimed before it is sent and settled after; a crash in
between sends it again under the same key, which receivers know as the same. Lanes do not wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from server.common.errors import ApiError, NotFound
from server.rest.context import Context
from server.store.database import Index

__all__ = ["DEAD", "SENDING", "SENT", "STATES", "WAITING", "Outbox", "Patience", "Row", "SendError"]

log = logging.getLogger("server.sending")

Row = dict[str, Any]

WAITING, SENDING, SENT, DEAD = "waiting", "sending", "sent", "dead"
STATES = (WAITING, SENDING, SENT, DEAD)
LEASE = 45.0  # seconds; longer than any try takes
PASS_SECONDS = 15.0  # of a lane; then others have their turn again
LANES_AT_ONCE = 16
_OPEN = {"$in": [WAITING, SENDING]}


class SendError(Exception):
    """What is to be sent was not taken; the text says why. After a final one there is no other try."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_final = reason, is_final


@dataclass(frozen=True)
class Patience:
    """How often something is tried, and after which pauses; each is twice the one before."""

    tries: int
    first_pause: float  # seconds
    longest_pause: float = 600.0

    def pause(self, tries: int) -> float:
        """Seconds after so many tries in vain."""
        return min(self.first_pause * 2 ** min(tries - 1, 20), self.longest_pause)


def _tell_nobody(ctx: Context, row: Mapping[str, Any], state: str, outcome: str) -> None:
    pass


@dataclass(frozen=True)
class Outbox:
    """One collection of such rows; `send` gives a row away and tells the answer, or raises SendError."""

    collection: str
    lane: str  # the field that names a row's lane
    signal: str
    send: Callable[[Context, Row], Awaitable[str]]
    patience: Callable[[Context], Patience]
    noted: Callable[[Context, Mapping[str, Any], str, str], None] = _tell_nobody  # state and outcome
    dead: Mapping[str, Any] = field(default_factory=dict)  # what else is set when a row is given up

    def indexes(self) -> list[Index]:
        """What the queries here need."""
        return [Index(self.collection, "due", [("state", 1), (self.lane, 1), ("due", 1)]),
                Index(self.collection, "order", [("scope", 1), (self.lane, 1), ("record_number", 1)])]

    async def put(self, ctx: Context, key: str, lane: str, *, scope: str = "", record_number: int = 0,
                  **fields: Any) -> None:
        """Queue a row, unless one of this key is there. Rows of a scope keep the order of their numbers."""
        row = {"_id": key, self.lane: lane, "state": WAITING, "due": time.time(), "tries": 0, "outcome": "",
               "created": time.time(), "sent": 0.0, "scope": scope or key, "record_number": record_number,
               **fields}
        with contextlib.suppress(DuplicateKeyError):
            await ctx.db[self.collection].insert_one(row)

    async def deliver(self, ctx: Context) -> None:
        """Send what is due: every lane in its own time, in each one row after the other."""
        waiting = {"state": _OPEN, "due": {"$lte": time.time()}}
        lanes = await ctx.db[self.collection].distinct(self.lane, waiting)
        room = asyncio.Semaphore(LANES_AT_ONCE)
        await asyncio.gather(*(self._deliver_lane(ctx, lane, room) for lane in lanes))

    async def again(self, ctx: Context, key: str) -> None:
        """Try a row anew that was given up. Raises NotFound."""
        row = await ctx.db[self.collection].find_one_and_update(
            {"_id": key, "state": DEAD}, {"$set": {"state": WAITING, "due": time.time(), "tries": 0}})
        if row is None:
            raise NotFound("there is no such dead letter")
        ctx.signals.notify(self.signal)

    async def listed(self, ctx: Context, query: Mapping[str, Any], limit: int, skip: int = 0) -> list[Row]:
        """Rows, the latest first."""
        cursor = ctx.db[self.collection].find(dict(query)).sort([("created", -1)]).skip(skip).limit(limit)
        return [{"key": row.pop("_id"), **row} async for row in cursor]

    # -- one lane

    async def _deliver_lane(self, ctx: Context, lane: str, room: asyncio.Semaphore) -> None:
        async with room:
            until = time.monotonic() + PASS_SECONDS
            while time.monotonic() < until and (row := await self._claim(ctx, lane)) is not None:
                await self._try(ctx, row)

    async def _claim(self, ctx: Context, lane: str) -> Row | None:
        """The next row of a lane, ours for a while; later ones of a scope wait for the earlier ones."""
        rows = ctx.db[self.collection]
        due = {self.lane: lane, "state": _OPEN, "due": {"$lte": time.time()}}
        async for row in rows.find(due).sort([("created", 1), ("record_number", 1)]).limit(50):
            before = {"scope": row["scope"], self.lane: lane, "state": _OPEN,
                      "record_number": {"$lt": row["record_number"]}}
            if await rows.find_one(before, {"_id": 1}) is None:
                mine = {"$set": {"state": SENDING, "due": time.time() + LEASE}, "$inc": {"tries": 1}}
                claimed = await rows.find_one_and_update(
                    {"_id": row["_id"], "state": row["state"], "due": row["due"]}, mine,
                    return_document=ReturnDocument.AFTER)
                if claimed is not None:
                    return dict(claimed)
        return None

    async def _try(self, ctx: Context, row: Row) -> None:
        try:
            outcome = await self.send(ctx, row)
        except SendError as error:
            await self._failed(ctx, row, error.reason, is_final=error.is_final)
        except ApiError as error:
            await self._failed(ctx, row, error.reason)
        except PyMongoError:
            raise  # its lease ends, and then it is tried again
        except Exception as error:  # else it would be tried for ever, and nobody would be told
            log.exception("a row could not be sent", extra={"action": "outbox", "key": row["_id"]})
            await self._failed(ctx, row, f"{type(error).__name__}: see the server's log")
        else:
            await self._settle(ctx, row, SENT, outcome, sent=time.time())

    async def _failed(self, ctx: Context, row: Row, reason: str, *, is_final: bool = False) -> None:
        patience = self.patience(ctx)
        if is_final or row["tries"] >= patience.tries:
            await self._settle(ctx, row, DEAD, reason, **self.dead)
        else:
            await self._settle(ctx, row, WAITING, reason, due=time.time() + patience.pause(row["tries"]))

    async def _settle(self, ctx: Context, row: Row, state: str, outcome: str, **fields: Any) -> None:
        await ctx.db[self.collection].update_one(
            {"_id": row["_id"], "state": SENDING, "due": row["due"]},
            {"$set": {"state": state, "outcome": outcome, **fields}})
        self.noted(ctx, row, state, outcome)
