"""A watched folder: each file is a message; once stored it lies in the folder `taken` inside."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
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

    def __init__(self, ctx: Context, name: str, settings: AlertSource) -> None:
        self._name, self._stream, self._folder = name, settings.stream, Path(settings.address)
        self._faults: list[str] = []  # of the last look
        self._taken: list[Path] = []  # of the last poll

    @property
    def trouble(self) -> str:
        """What is wrong with single files, which stand in no other's way."""
        return "; ".join(self._faults)[:500]

    async def poll(self, seconds: float) -> Sequence[Arrival]:
        end = time.monotonic() + seconds
        found = await asyncio.to_thread(self._look)
        while not found and time.monotonic() < end:
            await asyncio.sleep(LOOK)
            found = await asyncio.to_thread(self._look)
        return found

    def _look(self) -> list[Arrival]:
        found, size = list[Arrival](), 0
        self._faults, self._taken = [], []
        for _, path in sorted(self._ready()):
            if len(found) == AT_ONCE or size >= MOST_BYTES:
                break
            try:
                arrival = self._read(path)
            except OSError as error:
                self._faults.append(f"file {_shown(path)!r} cannot be taken: {error.strerror or error}")
                continue
            found.append(arrival)
            self._taken.append(path)
            size += len(arrival.data)
        return found

    def _ready(self) -> Iterator[tuple[float, Path]]:
        old = time.time() - SETTLED
        for path in self._folder.iterdir():
            if path.name.startswith(".") or path.suffix in _UNFINISHED or path.is_symlink():
                continue
            if path.is_file() and (moment := path.stat().st_mtime) <= old:
                yield moment, path

    def _read(self, path: Path) -> Arrival:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise OSError(f"it has more than {MOST_BYTES >> 20} MB")
        return Arrival(self._stream, data, Origin(self._name, time.time(), _shown(path)))

    async def done(self, taken: Sequence[Arrival]) -> None:
        await asyncio.to_thread(self._move)

    def _move(self) -> None:
        (self._folder / TAKEN).mkdir(exist_ok=True)
        for path in self._taken:
            path.replace(self._folder / TAKEN / path.name)
        self._taken = []

    async def close(self) -> None:
        """Nothing is held."""


def _shown(path: Path) -> str:
    """A file's name, of which not every one is a text."""
    return os.fsencode(path.name).decode(errors="replace")
