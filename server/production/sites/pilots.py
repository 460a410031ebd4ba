"""Pilots: processes on compute nodes that lease tasks and run them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from pymongo import ReturnDocument

from iceprod.ids import new_id, timestamp
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import TOGETHER, Document, projection
from server.production.leases import leases, waits
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "NOT_ISOLATED", "create", "drain", "expire", "find", "get", "patch",
           "probe", "remove"]

INDEXES = [
    Index("pilots", "pilot_id", [("pilot_id", 1)], unique=True),
    Index("pilots", "last_update", [("last_update", 1)]),
    Index("pilots", "grid_id", [("grid_id", 1)]),
    Index("pilots", "site", [("site", 1)]),
    Index("pilots", "isolation", [("isolation", 1)]),
]

DEFAULTS: Document = {
    "start_date": "", "tasks": [], "host": "", "site": "", "version": "", "grid_queue_id": "", "grid_id": "",
    "resources_available": {}, "resources_claimed": {}}
TYPES: dict[str, type] = {
    "queue_host": str, "queue_version": str, "resources": dict, "start_date": str, "submit_date": str,
    "tasks": list, "host": str, "site": str, "version": str, "grid_queue_id": str, "grid_id": str,
    "resources_available": dict, "resources_claimed": dict, "drain": bool, "isolation": str}
NOT_ISOLATED = ("none", "account")
"""What a pilot says of tasks that see the machine, and maybe its token (see `iceprod.walls.sandbox`)."""


def check(fields: Document) -> None:
    """Raise BadRequest for a field of a wrong type."""
    for name, value in fields.items():
        if name in TYPES and not isinstance(value, TYPES[name]):
            raise BadRequest(f"key {name} should be of type {TYPES[name].__name__}")
    if not all(isinstance(task, str) for task in fields.get("tasks", ())):
        raise BadRequest("key tasks should be a list of str")


async def create(ctx: Context, fields: Document) -> str:
    """Register a pilot; its id. Raises BadRequest."""
    check(fields)
    moment = timestamp()
    pilot = {**DEFAULTS, "submit_date": moment, **fields, "pilot_id": new_id(), "last_update": moment}
    await ctx.db.pilots.insert_one(dict(pilot))
    return str(pilot["pilot_id"])


async def get(ctx: Context, pilot_id: str) -> Document:
    """One pilot. Raises NotFound."""
    pilot = await ctx.db.pilots.find_one({"pilot_id": pilot_id}, {"_id": 0})
    if pilot is None:
        raise NotFound("Pilot not found")
    return pilot


async def find(ctx: Context, query: dict[str, Any], keys: set[str] | None) -> AsyncIterator[Document]:
    """Pilots, a few hundred at a time."""
    async for pilot in ctx.db.pilots.find(query, projection(keys), batch_size=TOGETHER):
        yield pilot


async def patch(ctx: Context, pilot_id: str, fields: Document) -> Document:
    """Merge fields into a pilot, which is thereby alive; the pilot. Raises BadRequest, NotFound."""
    check(fields)
    if fields.get("pilot_id", pilot_id) != pilot_id:
        raise BadRequest("pilot_id cannot be changed")
    pilot = await ctx.db.pilots.find_one_and_update(
        {"pilot_id": pilot_id}, {"$set": {**fields, "last_update": timestamp()}}, {"_id": 0},
        return_document=ReturnDocument.AFTER)
    if pilot is None:
        raise NotFound("Pilot not found")
    return pilot


async def remove(ctx: Context, pilot_id: str, *, silent: bool = False) -> None:
    """A pilot ends, or is `silent` for long; what it holds goes back at once. Raises NotFound."""
    pilot = await ctx.db.pilots.find_one_and_delete({"pilot_id": pilot_id})
    await leases.release_pilot(ctx, pilot_id, silent=silent)
    if pilot is None:
        raise NotFound("Pilot not found")
    await leases.release_listed(ctx, pilot.get("tasks", []))


async def drain(ctx: Context, pilot_id: str) -> None:
    """Let a pilot end after its tasks; it hears that when it next says anything. Raises NotFound."""
    result = await ctx.db.pilots.update_one({"pilot_id": pilot_id}, {"$set": {"drain": True}})
    if not result.matched_count:
        raise NotFound("Pilot not found")
    waits.end_waits(ctx, pilot_id)


async def expire(ctx: Context, pilot_id: str) -> None:
    """Take out a pilot that was not heard of for long; one that is gone already is no error."""
    with contextlib.suppress(NotFound):
        await remove(ctx, pilot_id, silent=True)


async def probe(ctx: Context) -> dict[str, Any]:
    """How many pilots there are, and how many of them run tasks without isolation."""
    return {"number": await ctx.db.pilots.estimated_document_count(),
            "not_isolated": await ctx.db.pilots.count_documents({"isolation": {"$in": list(NOT_ISOLATED)}})}
