"""The database: connecting, and the indexes that each API family declares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from config.settings import Database
from server.common import metrics
from server.common.telemetry import CommandSpans

__all__ = ["Index", "connect", "ensure_indexes"]


@dataclass(frozen=True)
class Index:
    """One index of one collection; `keys` as PyMongo takes them."""

    collection: str
    name: str
    keys: list[tuple[str, int]]
    unique: bool = False
    options: dict[str, Any] = field(default_factory=dict)


class _Counting(CommandListener):
    """Counts the commands that we send, by name."""

    def started(self, event: CommandStartedEvent) -> None:
        metrics.DATABASE_COMMANDS.labels(event.command_name).inc()

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def connect(settings: Database) -> AsyncDatabase:
    """The database of a MongoDB, or of the embedded store: whatever the url names."""
    client: AsyncMongoClient = AsyncMongoClient(
        settings.url, serverSelectionTimeoutMS=10_000, waitQueueTimeoutMS=30_000, retryWrites=False,
        appname="iceprod", event_listeners=[_Counting(), CommandSpans()])
    return client[settings.name]


async def ensure_indexes(db: AsyncDatabase, indexes: Iterable[Index]) -> None:
    """Create what is missing; an index of ours that changed its keys is replaced."""
    by_collection: dict[str, list[Index]] = {}
    for index in indexes:
        by_collection.setdefault(index.collection, []).append(index)
    for name, wanted in by_collection.items():
        present = await db[name].index_information()
        for index in wanted:
            known = present.get(index.name)
            if known and [tuple(key) for key in known["key"]] != index.keys:
                await db[name].drop_index(index.name)
                known = None
            if not known:
                await db[name].create_index(index.keys, name=index.name, unique=index.unique, **index.options)
