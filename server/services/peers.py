"""The server processes of one installation, and what they tell each other: signed datagrams (UDP).

Each process writes a row into the collection `servers` and reads those of the others. What is told goes
straight to every other process, a millisecond's worth together, and is signed with the installation's secret.
A datagram may be lost: all that depends on it looks into the database, too, only later. A process without
others tells nobody, so it costs two commands to the database in `BEAT` seconds.

Why no change streams and no tailing: `docs/decisions/several-servers.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import psutil
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from iceprod.ids import now
from server.rest.context import Context
from server.rest.health import register_probe
from server.rest.hearing import hear
from server.services.datagrams import MOST_BYTES, Codec, Telling, Told, bind, length
from server.services.migrations import MIGRATIONS, is_excluded
from server.store.database import Index

__all__ = ["INDEXES", "Peers", "neighbours"]

log = logging.getLogger("server.peers")

INDEXES = [Index("servers", "until", [("until", 1)], options={"expireAfterSeconds": 0})]

BEAT = 20.0  # seconds between two looks at who is there
ALIVE = 60.0  # seconds after which a process is gone that said nothing
GATHER = 0.001  # seconds: what is told meanwhile goes together
MISSED = 2  # looks, after which one that lives and was not heard is told of
_LEFT = "server left"


@dataclass
class Peer:
    """Another process."""

    address: tuple[str, int]
    machine: str
    start_id: str
    process: int
    renewed: Any  # when its row ends, which it extends as long as it lives
    heard: bool = True  # since it last said in the database that it is there
    missed: int = 0  # how often it was not
    number: int = -1  # of its last datagram


@dataclass
class Peers(asyncio.DatagramProtocol):
    """The others, for one server process."""

    ctx: Context
    start_id: str = ""  # of the start of the installation that the process belongs to
    give_up: Callable[[], None] = lambda: None  # when a newer program has shut this one out meanwhile
    others: dict[str, Peer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._codec = Codec.of(self.ctx.secret)
        self._number = 0
        self._renewed = time.monotonic()  # our row
        self._strangers: set[str] = set()  # who signs as we do, and is not of this database
        self._look_again = False
        self._waiting: list[Told] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._beating: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    # -- coming and going

    async def join(self) -> None:
        """Be one of them from now on. Raises OSError, PyMongoError."""
        database = next(iter(self.ctx.db.client.nodes), ("", None))
        bound = await asyncio.to_thread(bind, self.ctx.settings.server, database)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=bound)
        _all[self.ctx.db] = self
        await self._look()
        self.ctx.signals.to_others, self.ctx.signals.at_once = self.tell, self._flush
        self._beating = asyncio.create_task(self._beat())

    async def leave(self) -> None:
        """Be none of them any more, if we are one."""
        self.ctx.signals.to_others = None
        if self._transport is None:
            return
        for task in (self._beating, self._looking):
            if task is not None:
                task.cancel()
        with contextlib.suppress(PyMongoError):
            await self.ctx.db.servers.delete_one({"_id": self.ctx.server_id})
        self._flush()
        self._send([(_LEFT, [])])
        self._transport.close()
        self._transport = None
        _all.pop(self.ctx.db, None)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            self._strangers.clear()
            with contextlib.suppress(PyMongoError):
                await self._look()

    async def _look(self) -> None:
        """Say that we are there, in the database and to the others, and read who else is."""
        if self._transport is None:
            return
        host, port = self._transport.get_extra_info("sockname")[:2]
        row = {"host": host, "port": port, "machine": socket.gethostname(), "start_id": self.start_id,
               "process": os.getpid(), "schema": MIGRATIONS[-1].version,
               "until": now() + timedelta(seconds=ALIVE)}
        servers, began = self.ctx.db.servers, time.monotonic()
        await servers.update_one({"_id": self.ctx.server_id}, {"$set": row}, upsert=True)
        if began - self._renewed > ALIVE / 2 and await is_excluded(self.ctx.db):
            log.error("a newer program has changed the database while this one could not reach it",
                      extra={"action": "stop"})
            self.give_up()
        self._renewed = began  # not before: what failed, however often, has renewed nothing
        alive = {"_id": {"$ne": self.ctx.server_id}, "until": {"$gt": now()}}
        self._take_in({row["_id"]: row async for row in servers.find(alive)})
        self._send([])

    def _take_in(self, rows: dict[str, dict[str, Any]]) -> None:
        before, self.others = self.others, {}
        for name, row in rows.items():
            address = row["host"], row["port"]
            peer = before.get(name) or Peer(address, row["machine"], row["start_id"], row["process"],
                                            row["until"])
            if row["until"] != peer.renewed:
                peer.missed = 0 if peer.heard else peer.missed + 1
                peer.renewed, peer.heard = row["until"], False
                if peer.missed == MISSED:
                    _warn(peer)
            self.others[name] = peer

    # -- telling

    def tell(self, topic: str, values: tuple[object, ...]) -> None:
        """Tell all others, in a moment."""
        if not self.others:
            return
        if not self._waiting:
            asyncio.get_running_loop().call_later(GATHER, self._flush)
        told = (topic, list(values))
        if values or not self._waiting or self._waiting[-1] != told:  # values may be counted, signals wake
            self._waiting.append(told)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        part, size = list[Told](), 0
        for told in waiting:
            try:
                more = length(told)
            except (OverflowError, ValueError) as error:  # others' news must not be lost with it
                log.warning("%s cannot be told: %s", told[0], error, extra={"action": "peers"})
                continue
            if part and size + more > MOST_BYTES:
                self._send(part)
                part, size = [], 0
            part.append(told)
            size += more
        if part:
            self._send(part)

    def _send(self, told: list[Told]) -> None:
        if self._transport is None or not self.others:
            return
        self._number += 1
        data = self._codec.encode(Telling(self.ctx.server_id, self._number, told))
        for peer in self.others.values():
            self._transport.sendto(data, peer.address)

    # -- hearing

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Hear another process. What was heard before, or comes late, is left out."""
        telling = self._codec.decode(data)
        if telling is None or telling.sender == self.ctx.server_id:
            return
        peer = self.others.get(telling.sender)
        if peer is None:
            self._look_for(telling.sender)
        elif telling.number > peer.number:
            peer.number, peer.heard = telling.number, True
            self._hear(telling)

    def _hear(self, telling: Telling) -> None:
        for topic, values in telling.told:
            if topic == _LEFT:
                self.others.pop(telling.sender, None)
                continue
            try:
                hear(self.ctx, topic, values)
            except Exception:  # one topic of a newer program stands in no other's way
                log.exception("what a server told is not understood",
                              extra={"action": "peers", "topic": topic})

    def error_received(self, exc: Exception) -> None:
        """Who is gone is told in vain until its row ends."""

    def _look_for(self, name: str) -> None:
        """Somebody came whom we do not know; whoever is not in the database then is none of us."""
        if name in self._strangers:
            return
        self._strangers.add(name)
        self._look_again = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_quietly())

    async def _look_quietly(self) -> None:
        with contextlib.suppress(PyMongoError):
            while self._look_again:  # who comes during a look may have come too late for it
                self._look_again = False
                await self._look()


def _warn(peer: Peer) -> None:
    log.warning("the server at %s is not heard: datagrams (UDP) from %s:%d do not arrive here, so its news "
                "come late; look at server.peers_host and server.peers_port", peer.machine, *peer.address,
                extra={"action": "peers"})


_all: WeakKeyDictionary[AsyncDatabase, Peers] = WeakKeyDictionary()


async def neighbours(ctx: Context, start_id: str) -> int:
    """How many other processes of the same start of an installation serve now."""
    alive = {"start_id": start_id, "until": {"$gt": now()}}
    return int(await ctx.db.servers.count_documents(alive)) if start_id else 0


async def _servers(ctx: Context) -> dict[str, Any]:
    """How many server processes there are, how many `here` of the same start, and how many are not heard."""
    peers = _all.get(ctx.db)
    if peers is None:
        return {}
    near = [one for one in peers.others.values() if one.start_id == peers.start_id != ""]
    dead = [one for one in near if not psutil.pid_exists(one.process)]  # killed: its row is there for a while
    return {"processes": 1 + len(peers.others) - len(dead), "here": 1 + len(near) - len(dead),
            "not_heard": sum(one.missed >= MISSED for one in peers.others.values())}


register_probe("servers", _servers)
