"""All pilots of a process, and the orders that it takes: one JSON object a line, each answered by one."""

from __future__ import annotations

import logging
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from grid.crowd.counted import Counted
from grid.crowd.simulated import Network, SimulatedPilot
from grid.pilot.options import Options

__all__ = ["Crowd", "main"]

_CORES_OF_A_HOST = 4


class Crowd:
    """The pilots of one site after the other."""

    def __init__(self, server: str, token_file: str, directory: Path) -> None:
        self._server, self._token_file, self._directory = server, Path(token_file), directory
        self._sites: dict[str, Network] = {}
        self._pilots: list[SimulatedPilot] = []
        self._per_second = 0.0
        threading.Thread(target=self._turn_over, daemon=True).start()

    # -- orders

    def join(self, site: str, pilots: int, at_once: int) -> int:
        """Register so many more, some at the same time, and let them work; how many there are."""
        network = self._sites.setdefault(site, Network())
        some, before = threading.Semaphore(at_once), len(self._pilots)
        new = [SimulatedPilot(self._options(site, before + number), network) for number in range(pilots)]
        starts = [threading.Thread(target=_start, args=(one, some), daemon=True) for one in new]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        self._pilots += new
        return len(self._pilots)

    def turn_over(self, per_second: float) -> float:
        """Let so many tasks end a second from now on, of one pilot after the other."""
        self._per_second = per_second
        return per_second

    def cut(self, site: str) -> int:
        """Cut a site's network: what is connected breaks, nobody comes through; how many pilots it has."""
        network = self._sites[site]
        network.is_cut = True
        mine = [one for one in self._pilots if one.network is network]
        for one in mine:
            one.client.hang_up()
        return len(mine)

    def mend(self, site: str) -> bool:
        """Let a site through again."""
        self._sites[site].is_cut = False
        return True

    def holding(self) -> int:
        """How many have a task."""
        return sum(one.holds for one in self._pilots)

    def heard(self, since: float) -> int:
        """How many had an answer to what they said after that moment (of `time.monotonic`)."""
        return sum(one.pilot.last_contact > since for one in self._pilots)

    def period(self) -> float:
        """Seconds between two heartbeats of a pilot, as the server asked for."""
        return max(one.pilot.beat_seconds for one in self._pilots)

    def counted(self) -> Counted:
        """What was done since this was asked last."""
        total = Counted()
        for network in self._sites.values():
            total, network.counted = total + network.counted, Counted()
        return total

    # -- inside

    def _options(self, site: str, number: int) -> Options:
        host = f"{site}-{number // _CORES_OF_A_HOST}"
        return Options(self._server, self._token_file, site=site, host=host, directory=self._directory,
                       memory=2.0, pixels=False, cache=0.0)

    def _turn_over(self) -> None:
        number, due = 0, time.monotonic()
        while True:
            if not (self._per_second and self._pilots):
                time.sleep(0.1)
                due = time.monotonic()
                continue
            self._pilots[number % len(self._pilots)].end_task()
            number, due = number + 1, due + 1 / self._per_second
            time.sleep(max(0.0, due - time.monotonic()))


def _start(one: SimulatedPilot, some: threading.Semaphore) -> None:
    with some:
        one.start()


def main() -> None:
    """The process: address of the server, file with the token, and the socket on which orders come."""
    server, token_file, descriptor = sys.argv[1:]
    logging.basicConfig(level=logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="crowd-") as directory:
        crowd = Crowd(server, token_file, Path(directory))
        with socket.socket(fileno=int(descriptor)) as orders, orders.makefile("rwb") as lines:
            for line in lines:
                lines.write(msgspec.json.encode(_obey(crowd, msgspec.json.decode(line))) + b"\n")
                lines.flush()


def _obey(crowd: Crowd, order: dict[str, Any]) -> Any:
    return getattr(crowd, order.pop("do"))(**order)
