"""A task that a pilot holds, and the wish that it stop."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from grid.pilot.room import Share

__all__ = ["Running", "Stop"]


class Stop:
    """A wish that a task end early, with the reason; it can be waited for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._others: list[threading.Event] = []
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

    def wake(self, event: threading.Event) -> None:
        """Set this event, too, when the wish comes, or now when it has come."""
        self._others.append(event)
        if self._event.is_set():
            event.set()


@dataclass
class Running:
    """A leased task with its share of the pilot."""

    task: dict[str, Any]
    share: Share
    stop: Stop = field(default_factory=Stop)
    started: float = field(default_factory=time.monotonic)
    released: bool = False  # its share is given back
    memory: float = 0.0  # GB that it used when it was looked at last
    over: str = ""  # why it has to end for what the whole pilot uses; a failure that asks for more

    @property
    def task_id(self) -> str:
        return str(self.task["task_id"])

    @property
    def instance_id(self) -> str:
        return str(self.task.get("instance_id", ""))

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
