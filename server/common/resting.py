"""Waiting inside a request: while it waits for news, it takes nobody's place.

Who answers a request puts a `Place` into `current`; whoever waits long in it, for a signal or for a slow
reader, does so inside of `resting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

__all__ = ["Place", "current", "resting"]


class Place(Protocol):
    """A place among the requests that are worked on."""

    def rest(self) -> None:
        """Give it free for a while."""

    def resume(self) -> None:
        """Take it again, even when there are too many by now."""


current: ContextVar[Place | None] = ContextVar("place", default=None)


@contextmanager
def resting() -> Iterator[None]:
    """Wait, and do nothing else, inside of this."""
    place = current.get()
    if place is not None:
        place.rest()
    try:
        yield
    finally:
        if place is not None:
            place.resume()
