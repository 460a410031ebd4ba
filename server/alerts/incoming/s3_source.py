"""A prefix in a bucket of S3: each object is a message, taken once; other people's buckets stay as they are.

What was taken is remembered in the database by key and ETag, so a restart, another server or a second listing
takes nothing twice, and an object that is written anew is a new message. Only with `delete_taken` objects
are deleted, after they are stored here.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pymongo import UpdateOne

from config.alerts import AlertSource
from iceprod.ids import now
from server.alerts.common.alerts import Arrival, Origin
from server.alerts.incoming.buckets import MOST_BYTES, Bucket, Stored
from server.production.transfers.s3 import Keys, bucket_of
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "S3Source"]

INDEXES = [Index("alert_objects", "source", [("source", 1), ("taken", -1)])]

AT_ONCE = 20
PAUSE = 60.0  # seconds before an object that could not be read is tried again


@dataclass(frozen=True)
class _Fault:
    """What is wrong with an object, and when to try it again (on the monotonic clock)."""

    text: str
    again: float


class S3Source:
    """Objects under a prefix, oldest first; folders (keys that end in /) and empty objects are none."""

    def __init__(self, ctx: Context, name: str, settings: AlertSource) -> None:
        self._ctx, self._name, self._settings = ctx, name, settings
        bucket, self._prefix = bucket_of(settings.address)
        keys = Keys(settings.endpoint, settings.access_key, settings.secret_key, settings.region)
        self._bucket = Bucket(keys, bucket)
        self._look_at = 0.0
        self._faults: dict[str, _Fault] = {}
        self._taken: dict[str, Stored] = {}  # of the last poll, by their ids

    @property
    def trouble(self) -> str:
        """What is wrong with single objects, which stand in no other's way."""
        return "; ".join(fault.text for fault in self._faults.values())[:500]

    async def poll(self, seconds: float) -> Sequence[Arrival]:
        wait = self._look_at - time.monotonic()
        if wait > seconds:
            await asyncio.sleep(seconds)
            return []
        await asyncio.sleep(max(wait, 0.0))
        waiting = await self._waiting()
        some = _some(waiting)
        if len(some) == len(waiting):  # else there is more to take at once
            self._look_at = time.monotonic() + self._settings.look_seconds
        self._taken = {}
        found = [await self._read(key, one) for key, one in some]
        return [one for one in found if one is not None]

    async def _waiting(self) -> list[tuple[str, Stored]]:
        """What was not taken yet, the oldest first; deletes what was, where that is wanted."""
        new: dict[str, Stored] = {}
        async for page in self._bucket.listed(self._prefix):
            named = {self._id(one): one for one in page if one.size and not one.key.endswith("/")}
            known = await self._known(list(named))
            new |= {key: one for key, one in named.items() if key not in known}
            if self._settings.delete_taken:
                for key in known:
                    await self._delete(key, named[key])
        self._faults = {key: fault for key, fault in self._faults.items() if key in new} | {
            key: _Fault(_too_large(one), math.inf) for key, one in new.items() if one.size > MOST_BYTES}
        moment = time.monotonic()
        ready = [(key, one) for key, one in new.items()
                 if key not in self._faults or self._faults[key].again <= moment]
        return sorted(ready, key=lambda pair: (pair[1].modified, pair[1].key))

    async def _known(self, keys: list[str]) -> set[str]:
        cursor = self._ctx.db.alert_objects.find({"_id": {"$in": keys}}, {"_id": 1})
        return {row["_id"] async for row in cursor}

    async def _delete(self, key: str, one: Stored) -> None:
        """Delete an object that is stored here. Raises OSError."""
        await self._bucket.delete(one.key, one.etag)
        await self._ctx.db.alert_objects.delete_one({"_id": key})

    async def _read(self, key: str, one: Stored) -> Arrival | None:
        """An object as a message; None when it cannot be read."""
        try:
            data = await self._bucket.read(one.key)
        except OSError as error:
            self._faults[key] = _Fault(str(error), time.monotonic() + PAUSE)
            return None
        self._faults.pop(key, None)
        self._taken[key] = one
        return Arrival(self._settings.stream, data, Origin(self._name, time.time(), one.key[:500]))

    async def done(self, taken: Sequence[Arrival]) -> None:
        await self._ctx.db.alert_objects.bulk_write([
            UpdateOne({"_id": key}, {"$setOnInsert": {
                "source": self._name, "key": one.key, "etag": one.etag, "taken": now()}}, upsert=True)
            for key, one in self._taken.items()], ordered=False)
        if self._settings.delete_taken:
            self._look_at = 0.0  # the next look deletes what is remembered, also after a crash here
        self._taken = {}

    def _id(self, one: Stored) -> str:
        """The object as it is now: other bytes under its key are another one."""
        parts = (self._name, self._settings.endpoint, self._bucket.name, one.key, one.etag or one.modified)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    async def close(self) -> None:
        self._bucket.close()


def _some(waiting: list[tuple[str, Stored]]) -> list[tuple[str, Stored]]:
    """The first few, of at most twice the largest object together: all of them are in memory at once."""
    size = 0
    for number, (_, one) in enumerate(waiting[:AT_ONCE]):
        if size >= MOST_BYTES:
            return waiting[:number]
        size += one.size
    return waiting[:AT_ONCE]


def _too_large(one: Stored) -> str:
    return f"object {one.key[:100]!r} has {one.size >> 20} MB, more than {MOST_BYTES >> 20}: it is left out"
