"""Which requests are worked on now, and which are told to come later.

A server that takes more than it can do answers everybody too late. So there are places for as many requests
as it can work on while the answers stay quick: `watch` measures how long the event loop and the database keep
one waiting, and gives more places or fewer. Who finds none waits for one, a second at most, and is then told
to come again: 503, with the seconds to wait. Answers that refuse come late on purpose: a client that asks
again at once would otherwise keep the server busy with refusing. When thousands are refused, each is told a
time of its own.

What keeps others' work alive is `urgent` (`server/rest/routing.py`): health, heartbeats, starts and ends of
tasks. It has places of its own, and plenty. Requests that wait for news have none meanwhile (`resting`).

No user takes all places, nor asks without pause: both are answered with 429. Pilots, grids and services are
no users: many share a name, and they wait by themselves when they are told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from config.settings import Limits
from iceprod.tokens import Caller
from server.common import metrics
from server.common.buckets import Buckets
from server.common.elsewhere import Elsewhere
from server.common.errors import TooManyRequests, Unavailable
from server.common.turns import Turns

__all__ = ["MOST_HELD", "Admission", "Ticket", "user_of", "watch"]

MOST_HELD = 256 << 20  # bytes of the bodies of all ordinary requests that are worked on
FIRST, FEWEST = 16, 8  # places, in the beginning and however slow it is
SLOW = 0.2  # seconds that the loop or the database may keep one waiting
LOOK_SECONDS = 0.2
WAIT_SECONDS = 1.0  # for a place; and before an answer that refuses
LOOKS = 4  # meanwhile, whether a user may have one more
MOST_WAITING = 2000
MOST_WAITING_BYTES = 1 << 20  # a larger body is not kept while there is no place
REFUSALS_PER_SECOND, REFUSALS = 20.0, 2000  # of one address, for want of token or route, that come at once
TAKEN, REFUSED, ASKING = "user asked", "address refused", "users asking"  # what other processes are told
QUIET_LOOKS, CLOSING_SECONDS = 3, 0.02  # looks, and between them, until all are answered at the end
ELSEWHERE_SECONDS = 2.0  # how long their numbers are believed; they tell again more often
MACHINES = frozenset({"system", "client", "pilot"})


class Ticket:
    """A request's place; every request gives it back."""

    def __init__(self, admission: Admission, urgent: bool, size: int, user: str) -> None:
        self._admission, self._urgent, self._size, self._user = admission, urgent, size, user
        self._rests, self._is_over = 0, False
        admission.count(urgent, size, 1)

    def rest(self) -> None:
        self._rests += 1
        if self._rests == 1 and not self._is_over:
            self._give_back()

    def resume(self) -> None:
        self._rests -= 1
        if self._rests == 0 and not self._is_over:
            self._admission.count(self._urgent, self._size, 1)
            self._admission.count_user(self._user, 1)

    def leave(self) -> None:
        """The request is answered; once is enough."""
        if self._is_over:
            return
        self._is_over = True
        if not self._rests:
            self._give_back()

    def _give_back(self) -> None:
        self._admission.count(self._urgent, self._size, -1)
        self._admission.count_user(self._user, -1)


class Admission:
    """Gives places to requests, for one server process; what holds for users holds over all processes.

    `tell` takes what the other processes should hear: a topic and its values.
    """

    def __init__(self, settings: Limits, tell: Callable[..., None] = lambda topic, *values: None,
                 server_id: str = "") -> None:
        self.settings, self._tell, self._server_id = settings, tell, server_id
        self.places = float(min(FIRST, settings.requests_at_once))  # for ordinary requests, now
        self.working = self.urgent = self.held = 0
        self._came = asyncio.Event()
        self.of_users: Counter[str] = Counter()
        self._elsewhere = Elsewhere(ELSEWHERE_SECONDS)
        self._waiting: deque[asyncio.Future[Ticket]] = deque()
        self._asked: dict[asyncio.Future[Ticket], tuple[int, str]] = {}
        self._buckets = Buckets(settings.user_per_second, settings.user_burst,
                                tell=lambda user: tell(TAKEN, user))
        self._refusals = Buckets(REFUSALS_PER_SECOND, REFUSALS, tell=lambda address: tell(REFUSED, address))
        self._turns = Turns()
        self.is_closing = False  # the server stops: whose request comes yet goes elsewhere with the next one

    # -- coming in

    async def enter(self, urgent: bool, size: int, user: str = "") -> Ticket:
        """A place for a request with a body of that size. Raises TooManyRequests, Unavailable."""
        if user:
            await self._check_user(user)
        self.count_user(user, 1)
        try:
            return await self._place(urgent, size, user)
        except BaseException:
            self.count_user(user, -1)
            raise

    async def _place(self, urgent: bool, size: int, user: str) -> Ticket:
        if urgent and self.urgent >= self.settings.urgent_at_once:
            raise self._overloaded()
        if urgent or (self._has_room(size) and not self._waiting):
            return Ticket(self, urgent, size, user)
        if size > MOST_WAITING_BYTES or len(self._waiting) >= MOST_WAITING:
            raise self._overloaded()
        return await self._wait(size, user)

    async def _wait(self, size: int, user: str) -> Ticket:
        place: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._asked[place] = size, user
        try:
            return await asyncio.wait_for(place, WAIT_SECONDS)
        except TimeoutError:
            raise self._overloaded() from None
        finally:
            del self._asked[place]
            with contextlib.suppress(ValueError):
                self._waiting.remove(place)

    def _overloaded(self) -> Unavailable:
        metrics.REFUSED.labels("overload").inc()
        return Unavailable("the server has too much to do; try again in a moment", self._turns.next())

    def _has_room(self, size: int) -> bool:
        return self.working < self.places and (self.held + size <= MOST_HELD or not self.working)

    def _hand_on(self) -> None:
        """Give free places to those who wait, in their order."""
        while self._waiting and self.working < self.places:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(Ticket(self, False, *self._asked[place]))

    async def _check_user(self, user: str) -> None:
        """Raise TooManyRequests for a user who has too many requests at once, or in a short time."""
        limits, wait = self.settings, 0.0
        if limits.user_at_once and not await self._one_is_over(user, limits.user_at_once):
            metrics.REFUSED.labels("user_at_once").inc()
            raise TooManyRequests(f"{limits.user_at_once} requests of yours are being answered; "
                                  "wait for one of them", 1)
        if limits.user_per_second:
            wait = self._buckets.take(user)
        if wait:
            await _late("user_rate")
            seconds = max(1, math.ceil(wait))
            raise TooManyRequests(f"more than {limits.user_per_second:g} requests a second; wait {seconds} s",
                                  seconds)

    async def _one_is_over(self, user: str, most: int) -> bool:
        """Wait a while until a user has not so many requests."""
        for _ in range(LOOKS):
            if self._number_of(user) < most:
                return True
            await asyncio.sleep(WAIT_SECONDS / LOOKS)
        return self._number_of(user) < most

    def _number_of(self, user: str) -> int:
        """How many requests of a user are worked on, in all processes."""
        return self.of_users[user] + self._elsewhere.sum(user)

    async def refuse(self, address: str) -> None:
        """Let an address wait for its next refusal when it had many."""
        if self._refusals.take(address):
            await _late("refused_often")

    # -- counting

    def count(self, urgent: bool, size: int, step: int) -> None:
        """One request more, or less, that is worked on."""
        if urgent:
            self.urgent += step
            return
        self.working += step
        self.held += step * size
        if step < 0:
            self._hand_on()
        else:
            self._came.set()

    def count_user(self, user: str, step: int) -> None:
        if user:
            self.of_users[user] += step
            self._tell(ASKING, self._server_id, user, self.of_users[user])
            if self.of_users[user] <= 0:
                del self.of_users[user]

    def tell_again(self) -> None:
        """Tell the other processes of requests that take long."""
        for user, number in self.of_users.items():
            self._tell(ASKING, self._server_id, user, number)

    # -- what other processes tell

    def hear_taken(self, user: str) -> None:
        """A user asked elsewhere."""
        self._buckets.charge(user)

    def hear_refused(self, address: str) -> None:
        """An address was refused elsewhere."""
        self._refusals.charge(address)

    def hear_asking(self, server_id: str, user: str, number: int) -> None:
        """So many requests of a user are worked on elsewhere."""
        self._elsewhere.note(user, server_id, number)

    async def close(self) -> None:
        """Wait until all requests are answered that came, but for those that wait for news."""
        self.is_closing, quiet = True, 0
        while quiet < QUIET_LOOKS:  # who just came has no place yet
            quiet = 0 if self.working or self.urgent or self._waiting else quiet + 1
            await asyncio.sleep(CLOSING_SECONDS)

    @property
    def is_short(self) -> bool:
        """Whether places are few just now."""
        return bool(self._waiting) or self.working >= self.places

    async def wait_for_work(self) -> None:
        """Wait for an ordinary request, unless some are worked on, or were since we last waited."""
        if not self.working:
            await self._came.wait()
        self._came.clear()

    def observe(self, seconds: float) -> None:
        """Learn how long one has to wait now: fewer places when it is long, else more if they are used."""
        if seconds > SLOW:
            self.places = max(float(FEWEST), 0.7 * self.places)
        elif self.is_short:
            self.places += 2
        self.places = min(self.places, float(self.settings.requests_at_once))
        self._hand_on()


async def _late(why: str) -> None:
    metrics.REFUSED.labels(why).inc()
    await asyncio.sleep(WAIT_SECONDS)


def user_of(caller: Caller | None) -> str:
    """The user whose request it is; none for pilots, grids, services, and those whom nobody knows."""
    return "" if caller is None or caller.roles & MACHINES else caller.username


async def watch(admission: Admission, db: AsyncDatabase) -> None:
    """Observe for ever how long event loop and database keep one waiting, as long as anybody waits.

    Only ordinary requests count: those of pilots, which are urgent, never wait for a place.
    """
    while True:
        await admission.wait_for_work()
        started = time.monotonic()
        admission.tell_again()
        await asyncio.sleep(LOOK_SECONDS)
        late = time.monotonic() - started - LOOK_SECONDS
        admission.observe(max(late, await _answer_seconds(db)))


async def _answer_seconds(db: AsyncDatabase) -> float:
    """How long the database takes for nothing; 0 when it is away, for then there is nothing to shed."""
    started = time.monotonic()
    try:
        await asyncio.wait_for(db.command("ping"), 2.0)
    except TimeoutError:
        return 2.0
    except PyMongoError:
        return 0.0
    return time.monotonic() - started
