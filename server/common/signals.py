"""Wake-ups, so that a long poll answers when there is something to answer, and what was read is read anew.

They are hints only: what they announce is in the database, and whoever waits looks there again. Those that
may concern what waits in another server process are told to all of them (`server/services/peers.py`). Such
a telling may be lost; waiters therefore also look once in a while.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable

from server.common.resting import resting

__all__ = ["Signals"]

EVERYWHERE = frozenset({
    "tasks",  # a pilot may wait for them anywhere
    "scan",  # scan:ID, for whose news somebody may wait anywhere
    "requests done",
    "schedule",  # one process runs it, whichever changed it
    "alerts",  # one process goes on with them
    "revocations", "credentials", "quarantine", "failure policy",  # of which every process has a copy
})
"""Signals, by what stands before a colon, that other server processes must hear."""


class Signals:
    """Named signals: `notify` wakes everybody who waits for the name.

    `to_others` takes what other server processes should hear: a topic and values of it, and sends it in a
    moment; `at_once` sends what it has.
    """

    def __init__(self) -> None:
        self.to_others: Callable[[str, tuple[object, ...]], None] | None = None
        self.at_once: Callable[[], None] = lambda: None
        self._waiters: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> int:
        """How often the signal was given; who looked since the last time need not wait for the next."""
        return self._counts[name]

    def notify(self, name: str) -> None:
        self.hear(name)
        if name.partition(":")[0] in EVERYWHERE:
            self.tell(name)

    def hear(self, name: str) -> None:
        """A signal for this process alone."""
        self._counts[name] += 1
        self.wake(name)

    def tell(self, topic: str, *values: object) -> None:
        """Tell other server processes: a signal, or something that they listen to (`server/rest/hearing.py`).

        Values are numbers, texts, and lists of them.
        """
        if self.to_others is not None:
            self.to_others(topic, values)

    def wake(self, name: str) -> None:
        """Wake everybody who waits for the name just now, without counting."""
        for future in self._waiters.pop(name, ()):
            if not future.done():
                future.set_result(None)

    async def wait(self, name: str, timeout: float, *others: str) -> bool:
        """Wait for the signal, or one of the others, at most `timeout` seconds; whether it came."""
        future = asyncio.get_running_loop().create_future()
        for one in (name, *others):
            self._waiters[one].add(future)
        try:
            with resting():
                await asyncio.wait_for(future, timeout)
        except TimeoutError:
            return False
        finally:
            for one in (name, *others):
                self._forget(one, future)
        return True

    def _forget(self, name: str, future: asyncio.Future[None]) -> None:
        if name in self._waiters:
            self._waiters[name].discard(future)
            if not self._waiters[name]:
                del self._waiters[name]
