"""One pilot of a crowd: the pilot itself, whose slot holds tasks instead of running them.

What it says, when, over which connection, and what it does when nobody answers is the pilot's own code. Left
out is what looks after this machine: programs, their memory, and the ends of the pilot's own life.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from grid.crowd.counted import Counted
from grid.pilot import ends
from grid.pilot.main import start_speaking
from grid.pilot.options import Options
from grid.pilot.pilot import Pilot
from grid.pilot.running import Running
from iceprod.transport import ClientError, Line

__all__ = ["Network", "SimulatedPilot"]


class Network:
    """What lies between the pilots of a site and the server, which may be cut."""

    def __init__(self) -> None:
        self.counted = Counted()
        self.is_cut = False


class _CountedLine(Line):
    """The pilot's connection, with an eye on it."""

    def __init__(self, network: Network, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._network = network

    def request(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        counted = self._network.counted
        counted.reports += "reports" in (body or {})
        counted.beats += path.endswith("/exchange") and not {"reports", "claim"} & set(body)
        try:
            return super().request(method, path, body, **how)
        except ClientError as error:
            if not self.gave_way:
                counted.refuse(str(error).partition("does not answer: ")[2] or str(error))
            raise

    def poll(self, path: str, body: Any, timeout: float) -> Any:
        began = time.perf_counter()
        answer = super().poll(path, body, timeout)
        if answer and answer.get("tasks"):
            self._network.counted.claims.append(time.perf_counter() - began)
        return answer

    def away(self, reason: str, seconds: float) -> None:
        self._network.counted.refuse(reason)

    def _new_connection(self, timeout: float) -> Any:
        if self._network.is_cut:
            raise OSError("the network is cut")
        return super()._new_connection(timeout)


class SimulatedPilot:
    """A pilot of one core; `end_task` lets the task that it holds end well."""

    def __init__(self, options: Options, network: Network) -> None:
        self.pilot = Pilot(options)
        self.network = network
        self.client = self.pilot.client = _CountedLine(
            network, options.server, self.pilot.token, pause=self.pilot.pause)
        self._told = threading.Event()

    def start(self) -> None:
        """Register, however long it takes, and take tasks from then on."""
        self.pilot.register()
        start_speaking(self.pilot)
        threading.Thread(target=self._hold_tasks, daemon=True).start()

    def end_task(self) -> None:
        self._told.set()

    @property
    def holds(self) -> bool:
        """Whether it has a task."""
        return bool(self.pilot.running())

    def _hold_tasks(self) -> None:
        """In place of `grid.pilot.slot`."""
        free = time.perf_counter()
        self.pilot.slot_is_free()
        while (running := self.pilot.tasks.get()) is not None:
            self.network.counted.turns.append(time.perf_counter() - free)
            self._hold(running)
            free = time.perf_counter()
            self.pilot.finish(running)

    def _hold(self, running: Running) -> None:
        running.started = time.monotonic()
        self._told.clear()
        running.stop.wake(self._told)
        self._told.wait()
        if running.stop:
            self.network.counted.stopped += 1
        else:
            self.network.counted.ended += 1
        self.pilot.conclude(running, ends.End(ends.COMPLETE, seconds=running.seconds))
