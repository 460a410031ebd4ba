"""A real embedded store for tests: `with embedded_store(tmp_path) as url:`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

ROOT = Path(__file__).parents[2]
_START_SECONDS = 60
_STOP_SECONDS = 30


class StoreProcess:
    """A store that runs in a process of its own, on a unix socket with a short path."""

    def __init__(self, data: Path, arguments: Sequence[str] = ()) -> None:
        self.data = data
        self.arguments = list(arguments)
        self._sockets = tempfile.TemporaryDirectory(prefix="store-")
        self.socket = Path(self._sockets.name) / "s.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return "mongodb://" + str(self.socket).replace("/", "%2F")

    @property
    def log(self) -> Path:
        return self.data.with_name(self.data.name + ".log")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "server.embedded", "serve", "--data", str(self.data)]
        command += ["--socket", str(self.socket), *self.arguments]
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=ROOT, env=environment)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the store did not start:\n{self.log.read_text()[-4000:]}")

    def _answers(self) -> bool:
        if not self.socket.exists():
            time.sleep(0.02)
            return False
        try:
            with pymongo.MongoClient(self.url, serverSelectionTimeoutMS=500) as client:
                return bool(client.admin.command("ping")["ok"])
        except PyMongoError:
            return False

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int | None:
        """End it in order; its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def close(self) -> None:
        """Stop it and remove its socket."""
        self.stop()
        self._sockets.cleanup()


@contextlib.contextmanager
def store_process(tmp_path: Path, arguments: Sequence[str] = ()) -> Iterator[StoreProcess]:
    """A started store with its data in `tmp_path`, for tests that stop or kill it."""
    store = StoreProcess(tmp_path / "store", arguments)
    try:
        store.start()
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def embedded_store(tmp_path: Path) -> Iterator[str]:
    """A store with its data in `tmp_path`; yields the URL for MongoClient or AsyncMongoClient."""
    with store_process(tmp_path) as store:
        yield store.url
