"""The databases that the black-box suites run on: the embedded store, and others that are not ours.

    documentdb  at ICEPROD_ORACLE_URL
    secantusdb  SecantusDB, whose program is ICEPROD_SECANTUSDB; it is started
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import PyMongoError

from tests.support.api import free_port
from tests.support.mongo.recorder import Recorder, recording
from tests.support.store import embedded_store

__all__ = ["DATABASES", "chosen", "database", "secantusdb"]

# the whole suites take a quarter of an hour on SecantusDB
DATABASES = ["embedded", "documentdb", pytest.param("secantusdb", marks=pytest.mark.nightly)]
_ORACLE = os.environ.get("ICEPROD_ORACLE_URL", "")
_SECANTUSDB = os.environ.get("ICEPROD_SECANTUSDB", "")
_START_SECONDS = 60


@contextlib.contextmanager
def chosen(name: str, folder: Path) -> Iterator[Recorder]:
    """Servers that start meanwhile use this database, and it is noted what they ask of it.

    Skips the test where the database is not there.
    """
    with (database(name, folder) as url, recording(url) as recorder,
          pytest.MonkeyPatch.context() as environment):
        environment.setenv("ICEPROD_TEST_DATABASE", recorder.url)
        yield recorder


@contextlib.contextmanager
def database(name: str, folder: Path) -> Iterator[str]:
    """The URL of a database; skips the test where it is not there."""
    if name == "embedded":
        with embedded_store(folder) as url:
            yield url
    elif name == "secantusdb":
        with secantusdb(folder / "secantusdb") as url:
            yield url
    elif _ORACLE:
        yield _ORACLE
    else:
        pytest.skip("ICEPROD_ORACLE_URL names no database")


@contextlib.contextmanager
def secantusdb(folder: Path) -> Iterator[str]:
    """A SecantusDB with its data in a folder; skips the test where it is not installed."""
    if not _SECANTUSDB:
        pytest.skip("ICEPROD_SECANTUSDB names no program")
    port = free_port()
    folder.mkdir(parents=True)
    command = [_SECANTUSDB, "--port", str(port), "--storage-path", str(folder), "--standalone",
               "--log-level", "WARNING"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        url = f"mongodb://127.0.0.1:{port}/"
        _wait_until_it_answers(url, process)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=500) as client:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(PyMongoError):
                client.admin.command("ping")
                return
    raise RuntimeError("SecantusDB did not start")
