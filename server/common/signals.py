"""Wake-ups inside one server process, so that a long poll answers when there is something to answer.

They are hints only: what they announce is in the database, and whoever waits looks there again.
Another server process's announcements are not heard; waiters therefore also look once in a while.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

from server.common.resting import resting

__all__ = ["Signals"]


class Signals:
    """Named signals: `notify` wakes everybody who waits for the name."""

    def __init__(self) -> None:
        self._waiters: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> int:
        """How often the signal was given; who looked since the last time need not wait for the next."""
        return self._counts[name]

    def notify(self, name: str) -> None:
        self._counts[name] += 1
        self.wake(name)

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
