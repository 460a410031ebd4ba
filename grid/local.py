"""Pilots as processes of this machine."""

from __future__ import annotations

import itertools
import signal
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grid.base import PilotClass, PilotState
from iceprod.processes.children import Child
from iceprod.walls.sandbox import View

__all__ = ["LocalGrid", "Pilots"]

_STOP_SECONDS = 8.0


@dataclass(frozen=True)
class Pilots:
    """What the pilots of a grid are told: where to go, as whom, and how often to be heard of."""

    server: str
    token_file: Path
    directory: Path  # where their tasks run
    grid_id: str = ""
    heartbeat_seconds: float = 5.0
    temp: str = ""  # address below which temporary data lie
    transfers: Mapping[str, str] = field(default_factory=dict)  # commands that move files, by scheme
    isolation: str = "auto"  # of tasks
    account: str = "nobody"  # that tasks run as when we are root
    view: View = field(default_factory=View)  # what tasks see of this machine
    cache: Path | None = None  # of inputs, for all pilots here
    cache_gb: float = 0.0
    traces: bool = False  # whether they record spans

    def arguments(self, name: str, offer: PilotClass) -> list[str]:
        """The command line of the pilot that we call so, without the program."""
        given = {"server": self.server, "token-file": self.token_file, "grid-id": self.grid_id,
                 "queue-id": name, "heartbeat": self.heartbeat_seconds, "cores": offer.cores,
                 "memory": offer.memory_gb, "disk": offer.disk_gb, "lifetime": offer.lifetime_hours,
                 "site": offer.site, "directory": self.directory, "temp": self.temp,
                 "isolation": self.isolation, "account": self.account,
                 "cache": self.cache_gb, "cache-directory": self.cache or ""}
        words = [f"--transfer={scheme}={command}" for scheme, command in self.transfers.items()]
        words += ["--traces"] if self.traces else []
        for name, paths in (("visible", self.view.readable), ("writable", self.view.writable),
                            ("hidden", self.view.hidden)):
            words += [f"--{name}={path}" for path in paths]
        return words + [word for name, value in given.items() if value != ""
                        for word in (f"--{name}", str(value))]


class LocalGrid:
    """Child processes, which hand their tasks back when we die."""

    name = kind = "local"

    def __init__(self, pilots: Pilots, logs: Path) -> None:
        self.pilots = pilots
        self._logs = logs
        self._children: dict[str, tuple[Child, PilotClass]] = {}

    def submit(self, offer: PilotClass, count: int) -> list[str]:
        return [self._start(offer) for _ in range(count)]

    def list(self) -> list[PilotState]:
        states = []
        for name, (child, offer) in list(self._children.items()):
            alive = child.is_alive()
            if not alive:
                del self._children[name]
            states.append(PilotState(name, "running" if alive else "ended", offer,
                                     time.monotonic() - child.started, child.ended))
        return states

    def remove(self, ids: Iterable[str]) -> None:
        leaving = [self._children.pop(name)[0] for name in list(ids) if name in self._children]
        for child in leaving:
            child.ask_to_stop()
        for child in leaving:
            child.stop()

    def close(self) -> None:
        self.remove(list(self._children))

    def _start(self, offer: PilotClass) -> str:
        place = self._free_place()
        name = f"{place}.{uuid.uuid4().hex[:8]}"
        argv = [sys.executable, "-m", "grid.pilot", *self.pilots.arguments(name, offer)]
        child = Child(place, argv, self._logs / f"{place}.log", self.pilots.directory,
                      stop_seconds=_STOP_SECONDS, death_signal=signal.SIGTERM)
        child.start()
        self._children[name] = (child, offer)
        return name

    def _free_place(self) -> str:
        """A number that no living pilot has, so that a pilot started again goes on with the old log."""
        taken = {child.name for child, _ in self._children.values()}
        return next(place for place in map("pilot-{}".format, itertools.count(1)) if place not in taken)
