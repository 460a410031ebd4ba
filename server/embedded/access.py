"""A URL for a data directory: of the server that runs there, or of one for the moment."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from server.embedded.documents.errors import DataDirectoryError
from server.embedded.network import Server
from server.embedded.serving import unix_url, url_of


@contextlib.contextmanager
def store_url(data: Path) -> Iterator[str]:
    """The URL of the store in a data directory, which is served meanwhile if nobody else does.

    Raises DataDirectoryError when the directory cannot be used.
    """
    with contextlib.suppress(DataDirectoryError):
        url = url_of(data)
        if _answers(url):
            yield url
            return
    with tempfile.TemporaryDirectory(prefix="iceprod-") as directory:
        server = _Background(data, Path(directory) / "s.sock")
        server.start()
        try:
            yield server.wait_ready()
        finally:
            server.stop()


def _answers(url: str) -> bool:
    try:
        client: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(url, serverSelectionTimeoutMS=1000) as client:
            return bool(client.admin.command("ping")["ok"])
    except PyMongoError:
        return False


class _Background(threading.Thread):
    """A server in a thread of this process."""

    def __init__(self, data: Path, path: Path) -> None:
        super().__init__(name="embedded store", daemon=True)
        self._data, self._path = data, path
        self._ready, self._error = threading.Event(), ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except DataDirectoryError as error:
            self._error = str(error)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = Server(self._data)
        try:
            await server.listen_unix(self._path)
            self._ready.set()
            await self._stopped.wait()
        finally:
            await server.stop()

    def wait_ready(self) -> str:
        """The URL, once clients can connect."""
        self._ready.wait()
        if self._error:
            raise DataDirectoryError(self._error)
        return unix_url(self._path)

    def stop(self) -> None:
        if self._loop is not None and self._stopped is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
        self.join()
