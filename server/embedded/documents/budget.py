"""The processor time that one computation may take before others have their turn.

A command gives way between documents, but not while it computes with one of them. The kernel's timer of the
process's own processor time interrupts what takes too long: Python looks for signals between its
instructions, and its regular expressions look every few thousand steps. Only computing is interrupted, which
leaves nothing half done: never a write.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ParamSpec, TypeVar

from server.embedded.documents.errors import Code, CommandError

P = ParamSpec("P")
T = TypeVar("T")

STEP_SECONDS = 0.4  # of a command, between two pauses: decoding the largest document takes 0.1
_AGAIN_SECONDS = 0.01


class _Budget:
    """What is being computed; there is one thread, so there is one of it."""

    def __init__(self) -> None:
        self.installed = False
        self.computing = False
        self.failure = ""  # of what is interrupted next


_budget = _Budget()


def install() -> None:
    """Have this process's main thread interrupted; without it nothing is."""
    signal.signal(signal.SIGVTALRM, _interrupt)
    _budget.installed = True


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _budget.computing:  # raised again until it is heard: an error within a destructor is ignored
        raise CommandError(Code.MaxTimeMSExpired, _budget.failure)


def limit(seconds: float = STEP_SECONDS, failure: str = "one document takes too much processor time") -> None:
    """From now on so long; 0: any time."""
    if _budget.installed:
        _budget.failure = failure
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN_SECONDS if seconds else 0)


def computing(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which may be interrupted: it reads and computes, and changes nothing that outlives it.

    Then it raises CommandError(MaxTimeMSExpired).
    """

    def run(*arguments: P.args, **named: P.kwargs) -> T:
        before, _budget.computing = _budget.computing, True
        try:
            return function(*arguments, **named)
        finally:
            _budget.computing = before

    return run


def each(items: Iterator[T]) -> Iterator[T]:
    """The items, each of which is computed so."""
    following = computing(items.__next__)
    while True:
        try:
            item = following()
        except StopIteration:
            return
        yield item
