"""Keeps as many pilots on a grid as wanted, and tells the server that the grid lives."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from grid.base import Grid, GridError, PilotClass
from iceprod.client import Client, ClientError, Refused

__all__ = ["GridService", "Pace"]

VERSION = "1"

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_SHORT_LIFE = 30.0  # seconds; pilots that end sooner have a problem
_PATIENCE = 30.0

log = logging.getLogger("grid")


@dataclass
class Pace:
    """Holds submission back while pilots end soon after their start."""

    pause: float = 0.0
    until: float = 0.0

    def ended(self, lived: float, now: float) -> None:
        """A pilot ended after so many seconds."""
        if lived > _SHORT_LIFE:
            self.pause = self.until = 0.0
        elif now >= self.until:
            self.pause = min(max(2 * self.pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            self.until = now + self.pause

    def allows(self, now: float) -> bool:
        return now >= self.until


class GridService:
    """One grid, one offer, a fixed number of pilots."""

    def __init__(self, client: Client, make: Callable[[str], Grid], offer: PilotClass, count: int) -> None:
        self._client, self._make, self._offer, self._count = client, make, offer, count
        self._pace = Pace()
        self.grid_id = ""
        self.ending = threading.Event()

    def run(self, heartbeat: float, look: float = 0.5) -> None:
        """Register, then keep the pilots, until `ending`. Raises Refused when the server does not want us."""
        self._register()
        grid = self._make(self.grid_id)
        last = time.monotonic()
        try:
            while not self.ending.is_set():
                self.reconcile(grid)
                if time.monotonic() - last >= heartbeat:
                    last = time.monotonic()
                    self._beat(grid)
                self.ending.wait(look)
        finally:
            grid.close()

    def reconcile(self, grid: Grid) -> None:
        """Submit what is missing, remove what is too much."""
        now, alive = time.monotonic(), []
        try:
            for pilot in grid.list():
                if pilot.state == "ended":
                    log.info("%s ended after %.0f s: %s", pilot.id, pilot.seconds, pilot.detail)
                    self._pace.ended(pilot.seconds, now)
                else:
                    alive.append(pilot.id)
            missing = self._count - len(alive)
            if missing > 0 and self._pace.allows(now):
                log.info("submitted %s", ", ".join(grid.submit(self._offer, missing)))
            elif missing < 0:
                grid.remove(alive[missing:])
        except GridError as error:
            log.warning("%s: %s", grid.name, error)
            self._pace.ended(0.0, now)

    def _register(self) -> None:
        body = {"host": socket.gethostname(), "queues": {"local": "local"}, "version": VERSION}
        while not self.ending.is_set():
            try:
                self.grid_id = self._client.post("/grids", body, patience=_PATIENCE)["result"]
            except Refused:
                raise
            except ClientError as error:
                log.warning("%s", error)
            else:
                log.info("registered as grid %s", self.grid_id)
                return

    def _beat(self, grid: Grid) -> None:
        body = {"host": socket.gethostname(), "pilots": self._count}
        try:
            self._client.patch(f"/grids/{self.grid_id}", body)
        except Refused as error:
            log.warning("heartbeat refused: %s", error)
            if error.status == 404:
                self._register()
        except ClientError as error:
            log.warning("no heartbeat: %s", error)
