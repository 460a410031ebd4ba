"""``python -m tests.support.alerts.deadly STEP …``: the server, which kills itself (SIGKILL) at one write.

A step is ``collection.method:n:when``: the n-th call of a method of a collection, from 1, ``before`` it is
sent to the database or ``after`` it was done. Looks that find nothing do not count: how many there are is a
matter of time. Nothing is cleaned up, as with `kill -9` at that very place.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from server.__main__ import main

__all__ = ["kill_at"]


def kill_at(step: str) -> None:
    """Have this process die at a step."""
    where, number, when = step.split(":")
    collection, _, method = where.partition(".")
    real, calls = getattr(AsyncCollection, method), [0]

    async def fatal(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.name != collection or await _finds_nothing(self, method, arguments, options):
            return await real(self, *arguments, **options)
        calls[0] += 1
        is_it = calls[0] == int(number)  # others may come while this one is under way
        if is_it and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = await real(self, *arguments, **options)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(AsyncCollection, method, fatal)


async def _finds_nothing(where: Any, method: str, arguments: Any, options: dict[str, Any]) -> bool:
    return method == "find_one_and_update" and not options.get("upsert") \
        and await where.find_one(arguments[0], {"_id": 1}) is None


if __name__ == "__main__":
    kill_at(sys.argv.pop(1))
    sys.exit(main())
