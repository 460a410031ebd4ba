"""Sources: one small interface, its adaptors, and the service that listens to all that are configured.

A message counts as received when it is stored; only then its source is told (`done`): an offset is committed,
a file is moved. So a crash at any point delivers it again, and storing it again changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.alerts import AlertSource
from server.alerts.common import alerts
from server.alerts.common.alerts import Arrival
from server.alerts.incoming.folder_source import FolderSource
from server.alerts.incoming.kafka_source import KafkaSource
from server.alerts.incoming.s3_source import S3Source
from server.alerts.incoming.zeromq_source import ZeroMQSource
from server.rest.context import Context
from server.services.leader import Service, hold_lease, release_lease

__all__ = ["SERVICES", "Source", "listen", "listen_once", "open_source", "standings"]

log = logging.getLogger("server.alerts")

POLL = 1.0  # seconds; adaptors answer at once when there is something
LONGEST_PAUSE = 60.0  # between tries to reach a source
ROUND = 20.0  # seconds that one run of the service listens; sources stay open between runs
LEASE = 15.0
NOTE = 5.0  # seconds; a source that is silent is said to be well no more often


class Source(Protocol):
    """Where messages come from."""

    @property
    def trouble(self) -> str:
        """What is wrong with some of it while the rest goes on; empty: nothing."""

    async def poll(self, seconds: float) -> Sequence[Arrival]:
        """What came, waiting so long at most for a first one. Raises OSError when it cannot be reached."""

    async def done(self, taken: Sequence[Arrival]) -> None:
        """All of the last poll is stored: it need not be delivered again."""

    async def close(self) -> None:
        """Let go of the source. What was not `done` is delivered again."""


KINDS: dict[str, Any] = {
    "folder": FolderSource, "s3": S3Source, "kafka": KafkaSource, "zeromq": ZeroMQSource}

_open: WeakKeyDictionary[AsyncDatabase, dict[str, Source]] = WeakKeyDictionary()
_noted: dict[str, float] = {}
_faults: WeakKeyDictionary[AsyncDatabase, dict[str, str]] = WeakKeyDictionary()
"""What is wrong with sources, in memory too: a full store takes no notes."""


def open_source(ctx: Context, name: str, settings: AlertSource) -> Source:
    """The adaptor of a configured source. Raises OSError when what it needs is not there, or set wrongly."""
    source: Source = KINDS[settings.kind](ctx, name, settings)
    return source


async def listen(ctx: Context) -> None:
    """Listen to every source for a while; each on its own, on one server at a time."""
    known = ctx.settings.alerts.sources
    if known:
        await asyncio.gather(*(_listen(ctx, name, settings) for name, settings in known.items()))


async def _listen(ctx: Context, name: str, settings: AlertSource) -> None:
    opened = _open.setdefault(ctx.db, {})
    end, pause = time.monotonic() + ROUND, POLL
    try:
        while time.monotonic() < end:
            try:
                if not await hold_lease(ctx, _lease(name), LEASE):
                    await _let_go(opened, name)  # another server has it: it must not wait for us
                    _faults.get(ctx.db, {}).pop(name, None)
                    await asyncio.sleep(LEASE / 3)
                    continue
                if name not in opened:
                    opened[name] = open_source(ctx, name, settings)
                await listen_once(ctx, name, opened[name])
                pause = POLL
            except Exception as error:  # noqa: BLE001 (one bad source stands in no other's way)
                await _failed(ctx, name, opened, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
    except asyncio.CancelledError:
        await _let_go(opened, name)
        await release_lease(ctx, _lease(name))
        raise


async def listen_once(ctx: Context, name: str, source: Source, seconds: float = POLL) -> int:
    """Store what a source has; how many messages that were."""
    taken = await source.poll(seconds)
    for arrival in taken:
        await alerts.arrive(ctx, arrival)
    if taken:
        await source.done(taken)
        ctx.signals.notify("alerts")
    if taken or time.time() - _noted.get(name, 0.0) > NOTE:
        _noted[name] = moment = time.time()
        latest = {"latest": moment} if taken else {}
        await _note(ctx, name, {"error": source.trouble, "since": moment, **latest}, len(taken))
        _faults.get(ctx.db, {}).pop(name, None)
    return len(taken)


async def _failed(ctx: Context, name: str, opened: dict[str, Source], error: Exception) -> None:
    what = "messages cannot be stored, so the source keeps them: " if isinstance(error, PyMongoError) else ""
    kind = "" if type(error) is OSError else f"{type(error).__name__}: "  # our own say all that is needed
    text = f"{what}{kind}{error}"[:500]
    log.warning("alert source fails", extra={"action": "alerts", "source": name, "reason": text})
    _faults.setdefault(ctx.db, {})[name] = text
    await _let_go(opened, name)
    with contextlib.suppress(PyMongoError):
        await _note(ctx, name, {"error": text})


async def _let_go(opened: dict[str, Source], name: str) -> None:
    if source := opened.pop(name, None):
        await source.close()


async def _note(ctx: Context, name: str, fields: dict[str, Any], messages: int = 0) -> None:
    await ctx.db.alert_sources.update_one(
        {"_id": name}, {"$set": fields, "$inc": {"messages": messages}}, upsert=True)


async def standings(ctx: Context) -> list[dict[str, Any]]:
    """Every configured source: how it was when it was last asked, and how many messages it ever gave."""
    found = {row["_id"]: row async for row in ctx.db.alert_sources.find({})}
    empty = {"error": "", "since": None, "latest": None, "messages": 0}
    faults = {name: {"error": text} for name, text in _faults.get(ctx.db, {}).items()}
    return [{"name": name, "kind": settings.kind, "address": settings.address, "topics": settings.topics,
             **empty, **{key: value for key, value in found.get(name, {}).items() if key != "_id"},
             **faults.get(name, {})} for name, settings in ctx.settings.alerts.sources.items()]


def _lease(name: str) -> str:
    return f"alert source {name}"


SERVICES = [Service("alert sources", lambda ctx: 5.0, listen, signal="alert sources")]
