"""The database: connecting, and the indexes that each API family declares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from config.settings import Database
from server.common import metrics
from server.common.telemetry import CommandSpans

__all__ = ["OPTIONS", "Index", "connect", "ensure_indexes", "is_cluster", "options"]

OPTIONS: dict[str, Any] = {
    "appname": "iceprod",  # as it stands in the database's log
    "w": "majority",  # what is acknowledged outlives the primary; on a single server it is as w=1
    "journal": True,  # and the power's failing, also on a single server
    "wtimeoutMS": 20_000,  # a majority that is away is told of, and not waited for without end
    "retryWrites": True,  # once, on the next primary, which knows whether it was done
    "retryReads": True,
    "readPreference": "primary",  # rules read what they have just written
    "serverSelectionTimeoutMS": 15_000,  # an election takes 12 s at most, says the manual: a pause, no error
    "connectTimeoutMS": 5_000,  # also for the answer of a member that is asked whether it lives
    "waitQueueTimeoutMS": 30_000,
}
"""What a client asks of MongoDB where `database.url` does not say else (`config.settings` refuses some)."""


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
        settings.url, event_listeners=[_Counting(), CommandSpans()], **options(settings.url))
    return client[settings.name]


def options(url: str) -> dict[str, Any]:
    """Our options, without those that the url sets: PyMongo would prefer ours."""
    named = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
    return {name: value for name, value in OPTIONS.items() if name.lower() not in named}


async def is_cluster(db: AsyncDatabase) -> bool:
    """Whether a router of a sharded cluster answers."""
    return (await db.command("hello")).get("msg") == "isdbgrid"


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
