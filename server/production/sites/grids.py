"""Grids: what submits pilots to a batch system of a site."""

from __future__ import annotations

from pymongo import ReturnDocument

from iceprod.ids import new_id, timestamp
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "create", "find", "get", "patch"]

INDEXES = [Index("grids", "grid_id", [("grid_id", 1)], unique=True)]

TYPES: dict[str, type] = {"host": str, "queues": dict, "version": str, "username": str, "debug": bool,
                          "task_classads": list, "gpus": list, "largest": dict}


def check(fields: Document) -> None:
    """Raise BadRequest for a field of a wrong type."""
    for name, value in fields.items():
        if name in TYPES and not isinstance(value, TYPES[name]):
            raise BadRequest(f"key {name} should be of type {TYPES[name].__name__}")


async def create(ctx: Context, fields: Document, username: str) -> str:
    """Register a grid of a user's; its id. Raises BadRequest."""
    check(fields)
    moment = timestamp()
    grid = {"debug": False, "alive": True, **fields, "username": username, "grid_id": new_id(),
            "start_date": moment, "last_update": moment}
    await ctx.db.grids.insert_one(dict(grid))
    return str(grid["grid_id"])


async def find(ctx: Context) -> dict[str, Document]:
    """All grids by id."""
    return {grid["grid_id"]: grid async for grid in ctx.db.grids.find({}, {"_id": 0})}


async def get(ctx: Context, grid_id: str) -> Document:
    """One grid. Raises NotFound."""
    grid = await ctx.db.grids.find_one({"grid_id": grid_id}, {"_id": 0})
    if grid is None:
        raise NotFound("Grid not found")
    return grid


async def patch(ctx: Context, grid_id: str, fields: Document) -> Document:
    """Merge fields into a grid, which is thereby alive; the grid. Raises BadRequest, NotFound."""
    check(fields)
    if fields.get("grid_id", grid_id) != grid_id:
        raise BadRequest("grid_id cannot be changed")
    grid = await ctx.db.grids.find_one_and_update(
        {"grid_id": grid_id}, {"$set": {**fields, "alive": True, "last_update": timestamp()}}, {"_id": 0},
        return_document=ReturnDocument.AFTER)
    if grid is None:
        raise NotFound("Grid not found")
    return grid
