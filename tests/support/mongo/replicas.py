"""A replica set's topology: three addresses in front of one store, of which at most one is the primary.

    with replica_set(store_url) as replicas:
        AsyncMongoClient(replicas.url)
        replicas.step_down()            # there is none
        replicas.elect(1)

All members have the same data at once, for they have one store. What a test is after is what a client makes
of elections, of members that fall silent, and of answers that say "not I", "not yet" or nothing at all.
https://www.mongodb.com/docs/manual/replication/
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson import Int64, ObjectId

from server.embedded.documents.wire import Message
from tests.support.mongo.front import Front, Loop, Upstream, answer, document_of, name_of, running_loop

__all__ = ["Fault", "ReplicaSet", "replica_set"]

SET_NAME = "iceprod"
GREETINGS = ("hello", "ismaster", "isMaster")
EVERYWHERE = ("ping", "buildInfo", "buildinfo", "endSessions", "killCursors", "killSessions")
"""What a member answers whether it is the primary or not, besides greetings."""
WRITES = ("insert", "update", "delete", "findAndModify", "createIndexes", "dropIndexes", "drop", "create",
          "dropDatabase", "renameCollection")
NAMES = {64: "WriteConcernFailed", 91: "ShutdownInProgress", 189: "PrimarySteppedDown",
         262: "ExceededTimeLimit", 10107: "NotWritablePrimary", 11600: "InterruptedAtShutdown",
         11602: "InterruptedDueToReplStateChange", 13435: "NotPrimaryNoSecondaryOk"}
_RETRYABLE = frozenset(NAMES) - {64}


@dataclass
class Fault:
    """What the primary does to the next commands of a name, instead of doing them and saying so.

    With a `code` it answers with that error, without one it cuts the connection. What is `applied` is done
    all the same: the error is then one of the write concern, and the cut loses the answer.
    """

    command: str
    code: int = 0
    applied: bool = False
    times: int = 1


@dataclass
class State:
    """What the members agree on."""

    primary: int | None = 0
    election: int = 1
    version: int = 1
    faults: list[Fault] = field(default_factory=list)
    remembered: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    applied: Counter[tuple[bytes, int]] = field(default_factory=Counter)
    seen: list[dict[str, Any]] = field(default_factory=list)  # commands that the primary was asked for


class Member(Front):
    """One member: it greets as such, and does what the primary does when it is that."""

    def __init__(self, loop: Loop, url: str, replicas: ReplicaSet, number: int) -> None:
        self._set, self._number = replicas, number
        self.is_silent = False
        super().__init__(loop, url)

    @property
    def is_primary(self) -> bool:
        return self._set.state.primary == self._number

    async def handle(self, upstream: Upstream, message: Message, raw: bytes) -> bytes | None:
        await self._silence()
        name = name_of(message)
        if name in GREETINGS:
            await self._until_changed(message.body)
            return answer(message, self._greeting())
        if name in EVERYWHERE:
            return await upstream.ask(message, raw)
        if not self.is_primary:
            return answer(message, _error(10107 if name in WRITES else 13435, message))
        return await self._do(upstream, message, raw)

    # -- greetings

    async def _until_changed(self, body: Mapping[str, Any]) -> None:
        """Keep who knows the topology waiting for another one, as long as it said."""
        known = body.get("topologyVersion", {}).get("counter")
        if known == self._set.state.version:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._set.changed.wait(), body.get("maxAwaitTimeMS", 0) / 1000)
        await self._silence()

    async def _silence(self) -> None:
        """What comes while the member is silent is never answered."""
        if self.is_silent:
            await asyncio.Event().wait()

    def _greeting(self) -> dict[str, Any]:
        state, hosts = self._set.state, [member.address for member in self._set.members]
        moment = datetime.now(UTC)
        greeting = {
            "helloOk": True, "isWritablePrimary": self.is_primary, "ismaster": self.is_primary,
            "secondary": not self.is_primary, "setName": SET_NAME, "setVersion": 1, "hosts": hosts,
            "me": self.address, "connectionId": 1, "readOnly": False, "localTime": moment,
            "topologyVersion": {"processId": self._set.id, "counter": Int64(state.version)},
            "lastWrite": {"lastWriteDate": moment}, "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
            "logicalSessionTimeoutMinutes": 30, "minWireVersion": 0, "maxWireVersion": 21, "ok": 1.0}
        if state.primary is not None:
            greeting["primary"] = hosts[state.primary]
        if self.is_primary:
            greeting["electionId"] = ObjectId(f"7fffffff{state.election:016x}")
        return greeting

    # -- commands

    async def _do(self, upstream: Upstream, message: Message, raw: bytes) -> bytes | None:
        self._set.state.seen.append(dict(message.body))
        fault = self._fault(name_of(message))
        if fault is None:
            return await self._once(upstream, message, raw)
        if not fault.applied:
            return answer(message, _error(fault.code, message)) if fault.code else None
        reply = document_of(await self._once(upstream, message, raw))
        if not fault.code:
            return None
        trouble = {"code": fault.code, "codeName": NAMES[fault.code], "errmsg": "not known to a majority"}
        labels = _labels(fault.code, message)
        return answer(message, {**reply, "writeConcernError": trouble, "errorLabels": labels})

    def _fault(self, name: str) -> Fault | None:
        faults = self._set.state.faults
        found = next((fault for fault in faults if fault.command == name), None)
        if found:
            found.times -= 1
            if not found.times:
                faults.remove(found)
        return found

    async def _once(self, upstream: Upstream, message: Message, raw: bytes) -> bytes:
        """Do a command; one that comes again with its number is told what came of it the first time."""
        body, state = message.body, self._set.state
        if "txnNumber" not in body or body.get("autocommit") is False:
            return await upstream.ask(message, raw)
        key = (bytes(body["lsid"]["id"]), int(body["txnNumber"]))
        if key not in state.remembered:
            state.applied[key] += 1
            state.remembered[key] = await upstream.ask(message, raw)
        return answer(message, document_of(state.remembered[key]))


def _error(code: int, message: Message) -> dict[str, Any]:
    return {"ok": 0.0, "code": code, "codeName": NAMES[code], "errmsg": NAMES[code],
            "errorLabels": _labels(code, message)}


def _labels(code: int, message: Message) -> list[str]:
    return ["RetryableWriteError"] if code in _RETRYABLE and "txnNumber" in message.body else []


class ReplicaSet:
    """The members, and what a test has happen to them."""

    def __init__(self, loop: Loop, url: str, size: int = 3) -> None:
        self.id, self.state, self.changed, self._loop = ObjectId(), State(), asyncio.Event(), loop
        self.members: list[Member] = []
        for number in range(size):
            self.members.append(Member(loop, url, self, number))

    @property
    def url(self) -> str:
        hosts = ",".join(member.address for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={SET_NAME}"

    def step_down(self) -> None:
        """The primary is none any more; connections stay."""
        self._change(None)

    def elect(self, number: int) -> None:
        """Another member is the primary."""
        self.state.election += 1
        self._change(number)

    def lose(self, number: int) -> None:
        """A member dies: nothing listens there, all connections end."""
        if self.state.primary == number:
            self._change(None)
        self.members[number].stop()

    def silence(self, number: int) -> None:
        """A member's network is cut: nothing comes back, and nobody is told; the others have no primary."""
        self.members[number].is_silent = True

    def fail(self, command: str, code: int = 0, *, applied: bool = False, times: int = 1) -> None:
        """Plan a fault."""
        self.state.faults.append(Fault(command, code, applied, times))

    def _change(self, primary: int | None) -> None:
        self.state.primary = primary
        self.state.version += 1
        changed, self.changed = self.changed, asyncio.Event()
        self._loop.loop.call_soon_threadsafe(changed.set)


@contextlib.contextmanager
def replica_set(url: str) -> Iterator[ReplicaSet]:
    """A replica set in front of a store."""
    with running_loop() as loop:
        replicas = ReplicaSet(loop, url)
        try:
            yield replicas
        finally:
            for member in replicas.members:
                member.stop()
