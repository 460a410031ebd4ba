"""Keeps as many pilots on a grid as wanted, and tells the server that the grid lives."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grid.base import Grid, GridError, PilotClass
from iceprod.client import Client, ClientError, Refused
from iceprod.installation import write_private

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
    """One grid, one offer, a fixed number of pilots.

    `memory` is the file that keeps the grid's id, so that the next run of it is the same grid.
    """

    def __init__(self, client: Client, make: Callable[[str], Grid], offer: PilotClass, count: int,
                 memory: Path) -> None:
        self._client, self._make, self._offer, self._count = client, make, offer, count
        self._memory, self._pace = memory, Pace()
        self._gone: set[str] = set()  # pilots that ended, which the server may not know yet
        self.grid_id = ""
        self.ending = threading.Event()

    def run(self, heartbeat: float, look: float = 0.5,
            wait_for_news: Callable[[float], object] | None = None) -> None:
        """Register, then keep the pilots, until `ending`. Raises Refused when the server does not want us.

        Where `wait_for_news` returns as soon as a pilot ends, nobody looks for that meanwhile.
        """
        self._register()
        grid = self._make(self.grid_id)
        last = time.monotonic()
        try:
            while not self.ending.is_set():
                settled = self.reconcile(grid)
                self._retire()
                if time.monotonic() - last >= heartbeat:
                    last = time.monotonic()
                    self._beat(grid)
                if settled and not self._gone and wait_for_news:
                    wait_for_news(max(0.0, last + heartbeat - time.monotonic()))
                else:
                    self.ending.wait(look)
        finally:
            grid.close()

    def reconcile(self, grid: Grid) -> bool:
        """Submit what is missing, remove what is too much; whether all was as it should be."""
        now, alive = time.monotonic(), []
        try:
            for pilot in grid.list():
                if pilot.state == "ended":
                    log.info("%s ended after %.0f s: %s", pilot.id, pilot.seconds, pilot.detail)
                    self._pace.ended(pilot.seconds, now)
                    self._gone.add(pilot.id)
                else:
                    alive.append(pilot.id)
            missing = self._count - len(alive)
            if missing > 0 and self._pace.allows(now):
                log.info("submitted %s", ", ".join(grid.submit(self._offer, missing)))
            elif missing < 0:
                grid.remove(alive[missing:])
            return not missing
        except GridError as error:
            log.warning("%s: %s", grid.name, error)
            self._pace.ended(0.0, now)
        return False

    def _retire(self, everybody: bool = False) -> None:
        """Take pilots that ended without a word off the server, so that others get their tasks at once."""
        if not (self._gone or everybody):
            return
        try:
            known = self._client.get("/pilots", {"grid_id": self.grid_id, "keys": "pilot_id|grid_queue_id"})
            for pilot_id, pilot in known.items():
                if everybody or pilot.get("grid_queue_id") in self._gone:
                    self._client.delete(f"/pilots/{pilot_id}")
                    log.info("pilot %s was gone", pilot_id)
        except Refused as error:
            log.warning("could not remove dead pilots: %s", error)
        except ClientError as error:
            log.warning("could not remove dead pilots: %s", error)
            return
        self._gone.clear()

    def _register(self) -> None:
        while not self.ending.is_set():
            try:
                if not self._is_known():
                    body = {"host": socket.gethostname(), "queues": {"local": "local"}, "version": VERSION}
                    self.grid_id = self._client.post("/grids", body, patience=_PATIENCE)["result"]
                    write_private(self._memory, self.grid_id.encode())
            except Refused:
                raise
            except ClientError as error:
                log.warning("%s", error)
            else:
                log.info("registered as grid %s", self.grid_id)
                return

    def _is_known(self) -> bool:
        """Whether we are a grid that the server knows from before; its old pilots are gone then."""
        try:
            self.grid_id = self._memory.read_text(encoding="ascii").strip()
            self._client.patch(f"/grids/{self.grid_id}", self._state(), patience=_PATIENCE, repeat=True)
        except FileNotFoundError:
            return False
        except Refused as error:
            if error.status != 404:
                raise
            return False
        self._retire(everybody=True)
        return True

    def _state(self) -> dict[str, Any]:
        return {"host": socket.gethostname(), "pilots": self._count}

    def _beat(self, grid: Grid) -> None:
        try:
            self._client.patch(f"/grids/{self.grid_id}", self._state())
        except Refused as error:
            log.warning("heartbeat refused: %s", error)
            if error.status == 404:
                self._register()
        except ClientError as error:
            log.warning("no heartbeat: %s", error)
