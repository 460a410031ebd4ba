"""Periodic services under a leader lease: of all server processes, one runs them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from iceprod.ids import now
from iceprod.tracing import spans
from server.common import metrics
from server.rest.context import Context
from server.rest.hearing import listen

__all__ = ["Service", "Services", "hold_lease", "pause_of", "release_lease"]

LONGEST_WORK = 1800.0  # seconds of a run of a service that works when it is told to
LONGEST_LOOK = 180.0  # of one that looks now and then
QUIET_LOOKS = 4  # in vain, after which who works when told to looks as much more rarely,
LONGEST_QUIET = 20.0  # but at least once in so many seconds; and in the end
QUIET_SHARE, LONGEST_REST = 0.25, 60.0  # after this part of the time since the signal, at most so many
TRY_AGAIN = 0.2  # of the time that a lease lasts, after another was seen to hold it
DONE = "service"  # what other processes are told
_CANCEL_AGAIN = 1.0  # seconds

log = logging.getLogger("server.services")


@dataclass(frozen=True)
class Service:
    """Something that is done again and again. `run` must be safe to stop at any point and to repeat."""

    name: str
    period: Callable[[Context], float]  # seconds
    run: Callable[[Context], Coroutine[Any, Any, object]]
    signal: str = ""  # also runs when this signal is given; then its looks are for what others left undone
    needed: Callable[[Context], Coroutine[Any, Any, bool]] | None = None  # whether a run would do anything


async def hold_lease(ctx: Context, name: str, seconds: float) -> bool:
    """Take or keep a named lease; False while another server holds it."""
    moment = now()
    free = {"_id": name, "$or": [{"holder": ctx.server_id}, {"until": {"$lte": moment}}]}
    held = {"$set": {"holder": ctx.server_id, "until": moment + timedelta(seconds=seconds)}}
    try:
        await ctx.db.leases.find_one_and_update(free, held, upsert=True, return_document=ReturnDocument.AFTER)
    except DuplicateKeyError:
        return False
    return True


async def renew_leases(ctx: Context, names: Sequence[str], seconds: float) -> bool:
    """Keep named leases of ours, all in one command; False unless all of them still are ours."""
    mine = {"_id": {"$in": list(names)}, "holder": ctx.server_id, "until": {"$gt": now()}}
    until = {"$set": {"until": now() + timedelta(seconds=seconds)}}
    return (await ctx.db.leases.update_many(mine, until)).matched_count == len(names)


async def release_lease(ctx: Context, name: str) -> None:
    """Give a lease of ours back before its time."""
    await ctx.db.leases.delete_one({"_id": name, "holder": ctx.server_id})


def _longest(service: Service, period: float) -> float:
    """Seconds after which a run is given up: nothing that never ends may keep its successors from running."""
    return LONGEST_WORK if service.signal else max(LONGEST_LOOK, 10 * period)


def pause_of(service: Service, period: float, in_vain: int, quiet: float = 0.0) -> float:
    """Seconds until a service looks again, after so many looks in so many seconds since its signal came last.

    The process that something happens in gives the signal, and acts on it. Looks find what a process left
    undone that ended, and what becomes due by time: for a while after a signal they are as many as ever.
    Who has heard nothing for long looks more and more rarely, so nothing comes later by more than a part of
    the time that it took to come.
    """
    if not service.signal or in_vain < QUIET_LOOKS or period >= LONGEST_QUIET:
        return period
    rest = min(QUIET_SHARE * quiet, LONGEST_REST)
    return max(min(QUIET_LOOKS * period, LONGEST_QUIET), rest)


_started: WeakKeyDictionary[AsyncDatabase, Services] = WeakKeyDictionary()


def _hear_done(ctx: Context, name: str) -> None:
    """Another process ran a service."""
    if ctx.db in _started:
        _started[ctx.db].last_success[name] = time.time()


listen(DONE, _hear_done)


class Services:
    """Runs the services of one server process."""

    def __init__(self, ctx: Context, services: list[Service]) -> None:
        self.ctx, self.services = ctx, services
        self.last_success: dict[str, float] = {}  # in any server process
        self._tasks: list[asyncio.Task[None]] = []
        self._held: dict[str, float] = {}  # leases of ours, and until when at least, by our clock
        self._lasts: dict[str, float] = {}  # for how many seconds each is taken
        self._elsewhere: dict[str, float] = {}  # leases of others, and until when we do not try again
        self._renewing = asyncio.Lock()

    def start(self) -> None:
        _started[self.ctx.db] = self
        self._tasks = [asyncio.create_task(self._loop(s), name=s.name) for s in self.services]

    async def stop(self) -> None:
        """Cancel all, again if need be: what ends just then may swallow it (`asyncio.wait_for` does)."""
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=_CANCEL_AGAIN)

    async def _loop(self, service: Service) -> None:
        in_vain, told = 0, time.monotonic()
        while True:
            period = service.period(self.ctx)
            seconds = pause_of(service, period, in_vain, time.monotonic() - told)
            pause = asyncio.create_task(self._pause(service, seconds))  # hears signals while the service runs
            try:
                await self._once(service, period)
                if await pause:
                    in_vain, told = 0, time.monotonic()
                else:
                    in_vain += 1
            finally:
                pause.cancel()

    async def _pause(self, service: Service, seconds: float) -> bool:
        """Wait; whether the service was told to work."""
        if service.signal:
            return await self.ctx.signals.wait(service.signal, seconds)
        await asyncio.sleep(seconds)
        return False

    async def _leads(self, service: Service, seconds: float) -> bool:
        """Whether the service's lease is ours for a while; one that lasts long enough is not written."""
        name = f"service:{service.name}"
        self._lasts[name] = seconds
        if self._elsewhere.get(name, 0.0) > time.monotonic():
            return False
        if self._held.get(name, 0.0) - time.monotonic() < seconds / 2:
            async with self._renewing:
                if self._held.get(name, 0.0) - time.monotonic() < seconds / 2:
                    return await self._take(name, seconds)
        return True

    async def _take(self, name: str, seconds: float) -> bool:
        """Take a lease; or keep it, with all others of ours that last as long, which soon are due, too."""
        moment = time.monotonic()
        alike = [one for one, until in self._held.items() if until > moment and self._lasts[one] == seconds]
        if name in alike and await renew_leases(self.ctx, alike, seconds):
            self._held |= dict.fromkeys(alike, moment + seconds)
            return True
        self._held.pop(name, None)
        if not await hold_lease(self.ctx, name, seconds):
            self._elsewhere[name] = moment + TRY_AGAIN * seconds
            return False
        self._held[name] = moment + seconds
        return True

    async def _once(self, service: Service, period: float) -> None:
        seconds = max(self.ctx.settings.services.leader_seconds, 2 * period)
        try:
            if service.signal or await self._leads(service, seconds):
                async with asyncio.timeout(_longest(service, period)):
                    with spans.span(f"service {service.name}"):
                        await service.run(self.ctx)
                self.last_success[service.name] = time.time()
                metrics.SERVICE_AGE.labels(service.name).set_to_current_time()
                self.ctx.signals.tell(DONE, service.name)
        except TimeoutError:
            log.error("service took too long; it is tried again",
                      extra={"action": "service", "service": service.name})
        except PyMongoError as error:
            log.warning("service could not reach the database",
                        extra={"action": "service", "service": service.name, "reason": str(error)})
        except Exception:
            log.exception("service failed", extra={"action": "service", "service": service.name})
