"""``python -m grid``: pilots on this machine, as many as the settings say."""

from __future__ import annotations

import logging
import shutil
import signal
from pathlib import Path

from config.settings import Settings
from grid.base import PilotClass
from grid.local import LocalGrid, Pilots
from grid.pilot.options import TokenFile
from grid.service import GridService
from iceprod.client import Client
from iceprod.installation import make_private
from iceprod.processes.children import SignalWait
from iceprod.walls.sandbox import View

__all__ = ["run"]


def run(settings: Settings, server: str, token_file: Path, pilot_token_file: Path,
        config: Path | None = None) -> None:
    """Run the local grid until SIGTERM or SIGINT. Raises ClientError when the server does not want us."""
    logging.basicConfig(level=settings.logging.level, format="%(asctime)s %(levelname)s %(message)s")
    data = Path(settings.data).absolute()
    logs, work = data / "logs", data / "work"
    shutil.rmtree(work, ignore_errors=True)  # of pilots that were killed
    for directory in (logs, work):
        make_private(directory)

    hidden = (str(data), *([str(config.absolute())] if config else []))

    def make(grid_id: str) -> LocalGrid:
        token = pilot_token_file.absolute()
        temp = settings.pilots.temp or (data / "temp").as_uri()
        told = settings.pilots
        view = View(tuple(told.visible), tuple(told.writable), hidden)
        return LocalGrid(Pilots(server, token, work, grid_id, told.heartbeat_seconds, temp, told.transfers,
                                told.isolation, told.account, view, data / "cache", told.cache_gb,
                                settings.telemetry.traces), logs)

    with Client(server, TokenFile(token_file)) as client:
        service = GridService(client, make, _offer(settings), settings.pilots.count, data / "grid.id")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: service.ending.set())
        service.run(settings.pilots.heartbeat_seconds, wait_for_news=SignalWait())


def _offer(settings: Settings) -> PilotClass:
    pilots = settings.pilots
    return PilotClass(pilots.cores, pilots.memory_gb, pilots.disk_gb, 0, pilots.lifetime_hours, pilots.site)
