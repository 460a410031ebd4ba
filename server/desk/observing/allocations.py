"""Allocations: how many hours a group has on an instrument, and the credentials for it.

Credentials (``_altdata``) are encrypted in the database and never leave the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from config.json_text import JsonError, decode
from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_id
from server.desk.common.paging import Page
from server.production.people.sealing import SealError, seal, unseal
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "add", "change", "find", "listed", "of_number", "remove", "secret_of", "shown"]

INDEXES = [Index("desk_allocations", "group", [("group_id", 1), ("instrument_id", 1)]),
           Index("desk_allocations", "instrument_id", [("instrument_id", 1)])]

_SECRET = "secret"


async def add(ctx: Context, fields: Mapping[str, Any], altdata: str | None) -> int:
    """Store an allocation; its id. Raises BadRequest."""
    moment = now()
    row = {"_id": await next_id(ctx, "allocations"), **fields, _SECRET: _sealed(ctx, altdata),
           "created_at": moment, "modified": moment}
    _check_dates(row)
    await ctx.db.desk_allocations.insert_one(row)
    return int(row["_id"])


async def change(ctx: Context, row: Mapping[str, Any], fields: Mapping[str, Any],
                 altdata: str | None) -> None:
    """Change some of an allocation's fields. Raises BadRequest."""
    _check_dates({**row, **fields})
    secret = {} if altdata is None else {_SECRET: _sealed(ctx, altdata)}
    await ctx.db.desk_allocations.update_one(
        {"_id": row["_id"]}, {"$set": {**fields, **secret, "modified": now()}})


async def remove(ctx: Context, allocation_id: int) -> None:
    """Remove an allocation."""
    await ctx.db.desk_allocations.delete_one({"_id": allocation_id})


async def find(ctx: Context, who: Visitor, allocation_id: int) -> Document:
    """An allocation that the visitor sees. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_allocations.find_one(
        {"$and": [{"_id": allocation_id}, visible("allocation", who)]})
    if row is None:
        raise BadRequest(f"allocation_id: no allocation {allocation_id} of a group that you belong to")
    return row


async def of_number(ctx: Context, allocation_id: int) -> Document:
    """An allocation, for what the desk does by itself. Raises BadRequest."""
    row: Document | None = await ctx.db.desk_allocations.find_one({"_id": allocation_id})
    if row is None:
        raise BadRequest(f"allocation_id: no allocation {allocation_id}")
    return row


async def listed(ctx: Context, who: Visitor, instrument_ids: Iterable[int] | None,
                 page: Page | None = None) -> list[Document]:
    """The allocations that the visitor sees, by id; of some instruments, and a page of them, if so wanted."""
    query = {} if instrument_ids is None else {"instrument_id": {"$in": sorted(instrument_ids)}}
    cursor = ctx.db.desk_allocations.find({"$and": [query, visible("allocation", who)]}).sort([("_id", 1)])
    if page is not None:
        cursor = cursor.skip(page.skip).limit(page.size)
    return [dict(row) async for row in cursor]


def shown(row: Mapping[str, Any]) -> Document:
    """An allocation as the API shows it, without its credentials."""
    return {"id": row["_id"], **{name: value for name, value in row.items() if name not in ("_id", _SECRET)}}


def secret_of(ctx: Context, row: Mapping[str, Any]) -> dict[str, Any]:
    """An allocation's credentials; {} when it has none. Raises BadRequest when they cannot be read."""
    try:
        text = unseal(ctx, row.get(_SECRET) or "")
    except SealError:
        raise BadRequest("the allocation's credentials were written by another installation: set them anew") \
            from None
    return dict(json.loads(text)) if text else {}


def _sealed(ctx: Context, altdata: str | None) -> str:
    """Credentials encrypted. Raises BadRequest unless they are a JSON object."""
    if not altdata:
        return ""
    try:
        document = decode(altdata)
    except JsonError:
        document = None
    if not isinstance(document, dict):
        raise BadRequest("_altdata: must be the text of a JSON object")
    return seal(ctx, altdata)


def _check_dates(row: Mapping[str, Any]) -> None:
    first, last = row.get("start_date"), row.get("end_date")
    if isinstance(first, datetime) and isinstance(last, datetime) and last < first:
        raise BadRequest("end_date: must not be before start_date")
