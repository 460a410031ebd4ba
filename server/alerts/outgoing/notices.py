"""Notices: what was said of an event, numbered from 1, kept for ever; and what a target gets of one.

A notice's id is made of the alert and the revision, so whoever repeats the making finds the one there is.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from server.alerts.outgoing.drafts import Draft
from server.common.errors import NotFound
from server.desk.common import blobs
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "Notice", "count_of", "find", "keep", "listed", "of_alert", "sent_document",
           "skymap_of"]

INDEXES = [
    Index("alert_notices", "scope", [("scope", 1), ("record_number", 1)], unique=True),
    Index("alert_notices", "alert", [("alert_id", 1), ("record_number", 1)]),
    Index("alert_notices", "newest", [("created", -1)]),
]


class Notice(msgspec.Struct, kw_only=True):
    """A notice as it was made; `document` without the sky map, which lies beside it."""

    notice_id: str
    scope: str  # the event, apart for tests and rehearsals
    alert_id: str
    revision: int  # 0: of none, as a retraction
    alert_type: str
    record_number: int
    event_name: str
    is_test: bool
    created: float  # seconds since 1970
    document: dict[str, Any]
    circular: str
    blob: str = ""  # of the sky map
    by: str = ""  # who released it; empty: the gate

    @property
    def file_name(self) -> str:
        """Without an ending."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", self.event_name)
        return f"{name}-{self.record_number:02d}-{self.alert_type}"


async def count_of(ctx: Context, scope: str) -> int:
    """The record number of an event's latest notice; 0 when there is none."""
    cursor = ctx.db.alert_notices.find({"scope": scope}, {"record_number": 1})
    async for row in cursor.sort([("record_number", -1)]).limit(1):
        return int(row["record_number"])
    return 0


async def keep(ctx: Context, notice_id: str, scope: str, make: Callable[[int], Any],
               **fields: Any) -> Notice:
    """Store a notice under the next record number, unless the one of this id is there.

    `make` gives the draft (awaitable) for a record number.
    """
    while True:
        known = await ctx.db.alert_notices.find_one({"_id": notice_id})
        if known is not None:
            return _of(known)
        number = await count_of(ctx, scope) + 1
        draft: Draft = await make(number)
        blob = "" if draft.skymap is None else await blobs.put(ctx, draft.skymap)
        notice = Notice(notice_id=notice_id, scope=scope, record_number=number, created=time.time(),
                        document={key.removeprefix("$"): value for key, value in draft.document.items()},
                        circular=draft.circular, blob=blob, alert_type=draft.document["alert_type"],
                        event_name=draft.document["event_name"][0], **fields)
        try:
            document = msgspec.to_builtins(notice)
            await ctx.db.alert_notices.insert_one({"_id": document.pop("notice_id"), **document})
        except DuplicateKeyError:  # another notice of this event, or this one, was made just now
            continue
        return notice


async def find(ctx: Context, notice_id: str) -> Notice:
    """A notice. Raises NotFound."""
    document = await ctx.db.alert_notices.find_one({"_id": notice_id})
    if document is None:
        raise NotFound("there is no such notice")
    return _of(document)


async def of_alert(ctx: Context, alert_id: str) -> list[Notice]:
    """The notices of an alert in their order."""
    cursor = ctx.db.alert_notices.find({"alert_id": alert_id}).sort([("record_number", 1)])
    return [_of(document) async for document in cursor]


async def listed(ctx: Context, text: str, skip: int, limit: int) -> list[Notice]:
    """Notices, the latest first; with a text those whose event, id or type has it."""
    like = {"$regex": re.escape(text), "$options": "i"}
    names = ("event_name", "document.id", "alert_type", "circular")
    query = {"$or": [{name: like} for name in names]} if text else {}
    cursor = ctx.db.alert_notices.find(query).sort([("created", -1)]).skip(skip).limit(limit)
    return [_of(document) async for document in cursor]


async def skymap_of(ctx: Context, notice: Notice) -> bytes:
    """The sky map of a notice: FITS, packed with gzip. Raises NotFound when it has none."""
    if not notice.blob:
        raise NotFound(f"a {notice.alert_type} has no sky map")
    return await blobs.get(ctx, notice.blob)


def sent_document(notice: Notice, skymap: bytes | None, most_bytes: int, map_url: str) -> dict[str, Any]:
    """What targets get: the document as GCN names it, with the map in it or where it can be fetched."""
    document = {"$schema": notice.document["schema"],
                **{name: value for name, value in notice.document.items() if name != "schema"}}
    if skymap is not None and map_url:
        document["healpix_url"] = f"{map_url.rstrip('/')}/{notice.file_name}.fits.gz"
    if skymap is not None and len(skymap) * 4 // 3 <= most_bytes:
        document["healpix_file"] = base64.b64encode(skymap).decode()
    return document


def _of(document: Mapping[str, Any]) -> Notice:
    return msgspec.convert({**document, "notice_id": document["_id"]}, Notice)
