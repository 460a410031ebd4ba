"""Counting what was tried too often: failed logins of one name from one address, of a name, of an address.

Counts are in the database, so they hold over all server processes and their restarts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import TooManyRequests
from server.production.common.documents import Document
from server.store.database import Index

__all__ = ["INDEXES", "Throttle"]

INDEXES = [Index("login_tries", "until", [("until", 1)], options={"expireAfterSeconds": 0})]


class Throttle:
    """Allows each key so many tries within a time; rows are {_id: digest of the key, tries, until}."""

    def __init__(self, db: AsyncDatabase, seconds: float) -> None:
        self._rows, self._seconds = db.login_tries, seconds

    async def count(self, limits: Mapping[str, int], moment: datetime | None = None) -> None:
        """Count an attempt for each key (at a moment, now). Raises TooManyRequests when one has none left.

        Then nothing is counted. A try counts before it is known to be one too many, so many at once count.
        """
        moment = moment or now()
        over = {"_id": {"$in": [_id(key) for key in limits]}, "until": {"$lte": moment}}
        await self._rows.delete_many(over)
        rows = {key: await self._add(key, moment) for key in limits}
        waits = [row["until"] - moment for key, row in rows.items() if row["tries"] > limits[key]]
        if waits:
            await self.forgive(limits)
            seconds = max(1, math.ceil(max(waits).total_seconds()))
            raise TooManyRequests(f"too many failed logins; wait {seconds} s", seconds)

    async def forgive(self, keys: Iterable[str]) -> None:
        """Take back one try of every key: it was a good one."""
        mine = {"_id": {"$in": [_id(key) for key in keys]}, "tries": {"$gt": 0}}
        await self._rows.update_many(mine, {"$inc": {"tries": -1}})

    async def _add(self, key: str, moment: datetime) -> Document:
        """Count a try; the first one begins the time."""
        new = {"until": moment + timedelta(seconds=self._seconds)}
        while True:
            try:
                row: Document | None = await self._rows.find_one_and_update(
                    {"_id": _id(key)}, {"$inc": {"tries": 1}, "$setOnInsert": new}, upsert=True,
                    return_document=ReturnDocument.AFTER)
            except DuplicateKeyError:  # two servers began at the same time
                continue
            assert row is not None, "it was made if it was not there"
            return row


def _id(key: str) -> str:
    """Names and addresses are nobody's business for longer than they are looked at."""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
