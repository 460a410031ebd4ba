"""A task that a pilot holds, the wish that it stop, and who has to when the slot's memory is used up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from grid.pilot.processes import group_memory, tree_usage
from grid.pilot.room import Share
from iceprod.tracing import traces
from iceprod.tracing.traces import Trace

__all__ = ["Running", "SlotMemory", "Stop", "heaviest"]

_LOOK_SECONDS = 1.0
_SHARE = 0.97  # of the limit, at which we act: what a second may add has to fit above it


class Event(Protocol):
    """What hears of a wish to stop."""

    def set(self) -> None: ...


class Stop:
    """A wish that a task end early, with the reason; it can be waited for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._others: list[Event] = []
        self.reason = ""
        self.at_once = False  # do not wait for what would end by itself soon

    def __call__(self, reason: str, *, at_once: bool = False) -> None:
        self.at_once = self.at_once or at_once
        if not self._event.is_set():
            self.reason = reason
            self._event.set()
            for event in self._others:
                event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wake(self, event: Event) -> None:
        """Set this event, or what is like one, too, when the wish comes, or now when it has come."""
        self._others.append(event)
        if self._event.is_set():
            event.set()


@dataclass
class Running:
    """A leased task with its share of the pilot."""

    task: dict[str, Any]
    share: Share
    stop: Stop = field(default_factory=Stop)
    leased: float = field(default_factory=time.monotonic)
    started: float = field(default_factory=time.monotonic)
    released: bool = False  # its share is given back
    is_waiting: bool = False  # it computes no more: its outputs wait to be stored
    waits_for: str = ""  # what storage says meanwhile
    memory: float = 0.0  # GB that it used when it was looked at last
    directory: Path | None = None  # where its programs work, once they do
    over: str = ""  # why it has to end for what the whole pilot uses; a failure that asks for more
    outcome: str = ""  # once it is known
    trace: Trace | None = None  # that it is a part of; of old servers' tasks none

    def __post_init__(self) -> None:
        self.trace = traces.of_document(self.payload)

    @property
    def task_id(self) -> str:
        return str(self.task["task_id"])

    @property
    def instance_id(self) -> str:
        return str(self.task.get("instance_id", ""))

    @property
    def dataset_id(self) -> str:
        return str(self.task.get("dataset_id", ""))

    @property
    def kind(self) -> str:
        return str(self.task.get("kind") or "script")

    @property
    def payload(self) -> dict[str, Any]:
        payload = self.task.get("payload")
        return payload if isinstance(payload, dict) else {}

    @property
    def requirements(self) -> dict[str, Any]:
        requirements = self.task.get("requirements")
        return requirements if isinstance(requirements, dict) else {}

    def limit(self, name: str, slack: float = 1.1) -> float:
        """How much of a resource the task may use; infinite when it does not say."""
        value = self.requirements.get(name)
        return slack * value if isinstance(value, (int, float)) and value > 0 else float("inf")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def heaviest(running: Iterable[Running]) -> Running | None:
    """The task that is most above what it asked for, as far as that was measured."""
    measured = [one for one in running if one.memory > 0 and not one.over]
    return max(measured, key=_above, default=None)


def _above(running: Running) -> float:
    asked: Any = running.requirements.get("memory")
    return running.memory - (float(asked) if isinstance(asked, (int, float)) else 0.0)


class SlotMemory:
    """Looks now and then whether the slot's memory is nearly used up.

    A batch system looks at the pilot and all its tasks together. Before it holds the pilot, and every task
    with it, we end the one task that is most above what it asked for.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit  # GB; 0: nobody ends us
        self._looked = 0.0

    def look(self, running: list[Running]) -> None:
        """Have the heaviest task end when the slot is nearly full; one after the other."""
        now = time.monotonic()
        if not self._limit or not running or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        used = group_memory(self._limit) or tree_usage(os.getpid()).memory
        if used < _SHARE * self._limit or any(one.over for one in running):
            return
        heavy = heaviest(running)
        if heavy is not None:
            heavy.over = (f"memory limit: the slot's {self._limit:g} GB were used up to {used:.2f} GB, "
                          f"{heavy.memory:.2f} GB of it by this task, which asked for "
                          f"{heavy.requirements.get('memory')} GB")
