"""Configurations of datasets, kept as text, just as they were sent: names in them may hold any character."""

from __future__ import annotations

import msgspec

from iceprod.dataset_config import ConfigError, validate
from iceprod.ids import timestamp
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.datasets import datasets
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "checked", "find", "get", "put"]

INDEXES = [Index("configs", "dataset_id", [("dataset_id", 1)], unique=True)]

MAX_BYTES = 12 << 20


def checked(config: Document, dataset_id: str = "") -> Document:
    """The configuration without its dataset_id. Raises BadRequest when it is wrong or another dataset's."""
    if dataset_id and config.get("dataset_id", dataset_id) != dataset_id:
        raise BadRequest("dataset_id mismatch")
    config = {name: value for name, value in config.items() if name not in ("dataset_id", "_id")}
    try:
        validate(config)
    except ConfigError as error:
        raise BadRequest(str(error)) from None
    return config


async def put(ctx: Context, dataset_id: str, config: Document) -> None:
    """Create or replace a dataset's configuration. Raises BadRequest when it is wrong."""
    text = msgspec.json.encode(checked(config, dataset_id)).decode()
    document = {"dataset_id": dataset_id, "text": text, "changed": timestamp()}
    await ctx.db.configs.replace_one({"dataset_id": dataset_id}, document, upsert=True)
    datasets.announce(ctx, dataset_id)


async def find(ctx: Context, dataset_id: str) -> Document | None:
    """A dataset's configuration, if it has one."""
    document = await ctx.db.configs.find_one({"dataset_id": dataset_id}, {"text": 1})
    return msgspec.json.decode(document["text"]) if document else None


async def get(ctx: Context, dataset_id: str) -> Document:
    """A dataset's configuration. Raises NotFound."""
    config = await find(ctx, dataset_id)
    if config is None:
        raise NotFound("Config not found")
    return config
