"""Who waits for tasks in this process: nobody looks while waiting, one look serves all who ask alike.

That there are tasks is heard from other processes, too, and these are told how many cores wait here.

Whoever asks in vain joins the queue of those whose requests differ in nothing but time, pilot and host. When
tasks are announced, and once in LOOK_SECONDS in case an announcement was lost (more rarely where nothing was
announced for long), one look is taken for the first of each queue; the turn of the next ones comes only when
that found something. So neither idle pilots nor announcements cost by the number of those who wait.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import msgspec
from pymongo.errors import PyMongoError

from server.common.elsewhere import Elsewhere
from server.common.resting import resting
from server.common.signals import Signals
from server.production.common.documents import Document
from server.production.failures import trusted
from server.production.leases import leases
from server.production.leases.leases import Claim
from server.production.tasks.classes import class_table
from server.rest.context import Context
from server.rest.hearing import listen

__all__ = ["claim_or_wait", "cores_waiting", "end_waits", "number_waiting"]

LOOK_SECONDS = 1.0  # what another server process announces may be lost
QUIET_SHARE, LONGEST_LOOK = 0.25, 5.0  # after this part of the time since the last announcement, at most
ELSEWHERE_SECONDS = LONGEST_LOOK + 1.0  # how long another process is believed how many wait there
ROUND_SECONDS = 0.02  # between rounds at least: what is announced meanwhile is one announcement
REST = 2.0  # and so many times what the last one took: others want the server, too
MOST_HOSTS = 4  # tried in a round when the first may not have what there is
MOST_AT_ONCE = 64  # looks
WAITING, ROOM = "cores waiting", "pilot has room"  # what other processes are told

log = logging.getLogger("server.leases")


@dataclass(eq=False)
class _Wait:
    """One request that waits; `answer` ends it."""

    request: Claim
    gone: asyncio.Event
    answer: asyncio.Future[list[Document]]
    served: bool = False  # a look for it is under way
    over: bool = False  # it must not wait any longer
    looked: leases.Outcome | None = None  # what it found when it came

    @property
    def hours(self) -> float:
        """How long a task may take."""
        offered = self.request.offer.get("time")
        return float(offered) if isinstance(offered, int | float) else float("inf")

    def end(self, tasks: list[Document]) -> None:
        if not self.answer.done():
            self.answer.set_result(tasks)


@dataclass(eq=False)
class _Queue:
    """Those who ask alike, the longest waiting first; and what the last look found in vain."""

    waits: dict[_Wait, None] = field(default_factory=dict)
    hours: float = -1.0  # of the one who looked last, in vain
    hidden: bool = True  # whether there was something that only this one may not have

    def first(self, number: int, may: Callable[[str], bool]) -> list[_Wait]:
        """So many, if there are, whose turn it is, of hosts that may have something."""
        return list(itertools.islice((wait for wait in self.waits if may(wait.request.host)), number))

    def longest(self) -> _Wait:
        """The one that may have all that any of them may."""
        return max(self.waits, key=lambda wait: wait.hours)

    def knows_better(self, request: _Wait) -> bool:
        """Whether a newcomer need not look for itself, for others have just looked in vain."""
        return bool(self.waits) and not self.hidden and request.hours <= self.hours


class _Waits:
    """The queues of one process, and the coroutine that serves them while there are any."""

    def __init__(self) -> None:
        self.queues: dict[bytes, _Queue] = {}
        self.by_pilot: defaultdict[str, set[_Wait]] = defaultdict(set)
        self.serving: asyncio.Task[None] | None = None
        self.elsewhere = Elsewhere(ELSEWHERE_SECONDS)  # cores that wait in other processes
        self.announced = time.monotonic()  # when tasks were, last

    # -- coming and going

    async def join(self, ctx: Context, wait: _Wait, seconds: float, seen: int) -> list[Document]:
        """Wait for tasks; `seen` announcements had been made when it was known that there are none."""
        self._enter(wait)
        if self.serving is None:
            nobodys = contextvars.Context()  # it serves all, so it takes the place of none
            self.serving = asyncio.create_task(self._serve(ctx, seen), context=nobodys)
        elif ctx.signals.count("tasks") != seen:
            ctx.signals.wake("tasks")
        try:
            with resting():
                return await asyncio.wait_for(asyncio.shield(wait.answer), seconds)
        except TimeoutError:
            wait.over = True
            return await wait.answer if wait.served else []
        finally:
            wait.over = True
            self._leave(wait)

    def _enter(self, wait: _Wait) -> None:
        queue = self.queues.setdefault(_shape(wait.request), _Queue())
        queue.waits[wait] = None
        if wait.looked is not None:
            queue.hours, queue.hidden = max(queue.hours, wait.hours), wait.looked.hidden
        self.by_pilot[wait.request.pilot_id].add(wait)

    def _leave(self, wait: _Wait) -> None:
        if (queue := self.queues.get(shape := _shape(wait.request))) is not None:
            queue.waits.pop(wait, None)
            if not queue.waits:
                del self.queues[shape]
        if (of_pilot := self.by_pilot.get(wait.request.pilot_id)) is not None:
            of_pilot.discard(wait)
            if not of_pilot:
                del self.by_pilot[wait.request.pilot_id]

    def end(self, wait: _Wait) -> None:
        """Have it answered with nothing, unless a look for it is under way, whose result it gets."""
        wait.over = True
        if not wait.served:
            self._leave(wait)
            wait.end([])

    # -- serving

    async def _serve(self, ctx: Context, seen: int) -> None:
        try:
            while True:
                if ctx.signals.count("tasks") == seen:
                    await ctx.signals.wait("tasks", self._pause())
                if ctx.signals.count("tasks") != seen:
                    self.announced = time.monotonic()
                ctx.signals.tell(WAITING, ctx.server_id, _cores_here(self))
                if not self.queues:
                    return
                seen, began = ctx.signals.count("tasks"), time.monotonic()
                await self._round(ctx)
                await asyncio.sleep(max(ROUND_SECONDS, REST * (time.monotonic() - began)))
        finally:
            self.serving = None

    def _pause(self) -> float:
        """Seconds until a look that nobody asked for.

        What others may have and who waits here may not becomes free by time, too.
        """
        if any(queue.hidden for queue in self.queues.values()):
            return LOOK_SECONDS
        return max(LOOK_SECONDS, min(QUIET_SHARE * (time.monotonic() - self.announced), LONGEST_LOOK))

    async def _round(self, ctx: Context) -> None:
        for wait in [wait for queue in self.queues.values() for wait in queue.waits if wait.gone.is_set()]:
            self.end(wait)
        for queue in list(self.queues.values()):
            try:
                await self._serve_alike(ctx, queue)
            except PyMongoError as error:
                log.warning("claims wait on, the database does not answer: %s", str(error)[:200])
                await asyncio.sleep(LOOK_SECONDS)

    async def _serve_alike(self, ctx: Context, queue: _Queue) -> None:
        """Look for one, then for more and more at once as long as there is something for all of them."""
        tried, width = set[str](), 1

        def may(host: str) -> bool:
            return host not in tried and trusted.leave(ctx, host).most != 0

        while len(tried) < MOST_HOSTS and (some := queue.first(width, may)):
            outcomes = await asyncio.gather(*(self._look(ctx, queue, wait) for wait in some))
            in_vain = [wait for wait, outcome in zip(some, outcomes, strict=True) if not outcome.tasks]
            width = min(MOST_AT_ONCE, 2 * width)
            if not in_vain:
                continue
            queue.hidden = any(outcome.hidden for outcome in outcomes)
            if queue.hidden:
                tried |= {wait.request.host for wait in in_vain}
            elif not await self._serve_longest(ctx, queue, in_vain[0]):
                return

    async def _serve_longest(self, ctx: Context, queue: _Queue, wait: _Wait) -> bool:
        """Look for who has most time, when that may help after one looked in vain; whether it did."""
        if not queue.waits or await self._is_all(ctx, wait):
            return False
        if (longest := queue.longest()).hours <= wait.hours:
            return False
        return bool((await self._look(ctx, queue, longest)).tasks)

    async def _is_all(self, ctx: Context, wait: _Wait) -> bool:
        """Whether it sees all that others of its queue may have, who have more time."""
        table, offer = class_table(ctx), wait.request.offer
        without_limit = {**offer, "time": None}
        return await table.fitting(ctx, offer) == await table.fitting(ctx, without_limit)

    async def _look(self, ctx: Context, queue: _Queue, wait: _Wait) -> leases.Outcome:
        """Look for one. Who gets nothing goes to the end of its queue."""
        wait.served, outcome = True, leases.Outcome([], hidden=True)
        try:
            outcome = await leases.attempt(ctx, wait.request)
        finally:
            wait.served = False
            queue.hours, queue.hidden = wait.hours, outcome.hidden
            if outcome.tasks or wait.over:
                self._leave(wait)
                wait.end(outcome.tasks)
        if wait in queue.waits:
            queue.waits[wait] = queue.waits.pop(wait)
        return outcome


_all: WeakKeyDictionary[Signals, _Waits] = WeakKeyDictionary()


def _of(ctx: Context) -> _Waits:
    return _all.setdefault(ctx.signals, _Waits())


def _shape(request: Claim) -> bytes:
    """What requests have in common that may have the same tasks, but for how long these may take."""
    offer = {name: value for name, value in request.offer.items() if name != "time"}
    alike = [offer, request.filters, request.source, request.deprioritised]
    return msgspec.json.encode(alike, order="sorted")


async def claim_or_wait(ctx: Context, request: Claim, wait: float, gone: asyncio.Event) -> list[Document]:
    """Like `leases.claim`, but wait up to `wait` seconds for something to claim.

    Gives up when the caller is gone, and when its pilot can offer more by now (see `end_waits`).
    """
    waits, seen = _of(ctx), ctx.signals.count("tasks")
    one = _Wait(request, gone, asyncio.get_running_loop().create_future())
    known, outcome = waits.queues.get(_shape(request)), leases.Outcome([])
    if not (wait > 0 and known is not None and known.knows_better(one)):
        outcome = await leases.attempt(ctx, request)
        one.looked = outcome
    got = outcome.tasks
    if not got and wait > 0 and not gone.is_set():
        got = await waits.join(ctx, one, wait, seen)
    if got and gone.is_set():
        await leases.take_back(ctx, got, request.host)
        return []
    return got


def end_waits(ctx: Context, pilot_id: str) -> None:
    """A pilot has more room than when it asked: have its waiting claims answered, so that it asks again."""
    if pilot_id:
        _end_here(ctx, pilot_id)
        ctx.signals.tell(ROOM, pilot_id)


def _end_here(ctx: Context, pilot_id: str) -> None:
    waits = _of(ctx)
    for wait in list(waits.by_pilot.get(pilot_id, ())):
        waits.end(wait)


def number_waiting(ctx: Context) -> int:
    """How many requests wait in this process."""
    return sum(len(queue.waits) for queue in _of(ctx).queues.values())


def cores_waiting(ctx: Context) -> int:
    """How many cores wait for tasks of any kind, here and, as far as is known, in other processes."""
    waits = _of(ctx)
    return _cores_here(waits) + waits.elsewhere.sum(WAITING)


def _cores_here(waits: _Waits) -> int:
    offers = (wait.request.offer for queue in waits.queues.values() for wait in queue.waits)
    return sum(int(cores) for offer in offers
               if "kind" not in offer and isinstance(cores := offer.get("cpu"), int | float))


listen(WAITING, lambda ctx, server_id, cores: _of(ctx).elsewhere.note(WAITING, server_id, cores))
listen(ROOM, _end_here)
