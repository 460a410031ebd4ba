"""A watched folder: each file is a message; once stored it lies in the folder `taken` inside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from config.alerts import AlertSource
from server.alerts.common.alerts import Arrival, Origin
from server.rest.context import Context

__all__ = ["FolderSource"]

TAKEN = "taken"
SETTLED = 0.2  # seconds without a change: then whoever writes it has ended
LOOK = 0.2
MOST_BYTES = 64 << 20
AT_ONCE = 20
_UNFINISHED = (".part", ".tmp", ".crdownload")


class FolderSource:
    """Files that are put into a folder, oldest first. Hidden and unfinished ones (`.part`, `.tmp`) stay."""

    trouble = ""

    def __init__(self, ctx: Context, name: str, settings: AlertSource) -> None:
        self._name, self._stream, self._folder = name, settings.stream, Path(settings.address)

    async def poll(self, seconds: float) -> Sequence[Arrival]:
        end = time.monotonic() + seconds
        found = await asyncio.to_thread(self._look)
        while not found and time.monotonic() < end:
            await asyncio.sleep(LOOK)
            found = await asyncio.to_thread(self._look)
        return found

    def _look(self) -> list[Arrival]:
        old = time.time() - SETTLED
        files = [path for path in self._folder.iterdir() if path.is_file() and not path.is_symlink()
                 and not path.name.startswith(".") and path.suffix not in _UNFINISHED]
        ready = sorted((moment, path) for path in files if (moment := path.stat().st_mtime) <= old)
        return [self._read(path) for _, path in ready[:AT_ONCE]]

    def _read(self, path: Path) -> Arrival:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES)
        return Arrival(self._stream, data, Origin(self._name, time.time(), path.name))

    async def done(self, taken: Sequence[Arrival]) -> None:
        await asyncio.to_thread(self._move, [arrival.origin.place for arrival in taken])

    def _move(self, names: list[str]) -> None:
        (self._folder / TAKEN).mkdir(exist_ok=True)
        for name in names:
            (self._folder / name).replace(self._folder / TAKEN / name)

    async def close(self) -> None:
        """Nothing is held."""
