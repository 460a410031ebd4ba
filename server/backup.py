"""A backup of an installation: all documents, and the secret that signs its tokens and seals credentials.

    FOLDER/
    ├── backup.json      when it was made, by which version of the database, and what is in it
    ├── secret           readable by its owner alone
    └── database/        as mongodump writes it: <database>/<collection>.bson and .metadata.json

Of the embedded store the backup shows one moment, also while the installation runs: it is made from a
snapshot of the file. A MongoDB is read collection by collection while others write; for one moment of it stop
the server first, or use `mongodump --oplog`. A folder with `backup.json` in it is a whole backup.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pymongo

from config.settings import Database, Settings
from iceprod.ids import timestamp
from iceprod.installation import make_private, write_private
from server.embedded.access import store_url
from server.embedded.dumping import Copied, dump, restore
from server.embedded.storage.storage import FILE

__all__ = ["Backup", "BackupError", "make_backup", "restore_backup"]

_NOTE, _SECRET, _DATABASE = "backup.json", "secret", "database"


class BackupError(Exception):
    """A backup cannot be made or restored; the text says what to do."""


class Backup(msgspec.Struct, frozen=True):
    """What `backup.json` says."""

    made: str
    schema: int
    database: str
    documents: dict[str, int]


def make_backup(settings: Settings, out: Path) -> Backup:
    """Write a backup of the installation in `settings.data`. Raises BackupError, OSError, PyMongoError."""
    secret = Path(settings.data) / settings.tokens.secret_file
    if not secret.is_file():
        raise BackupError(f"there is no installation in {settings.data}: {secret} does not exist")
    if out.exists() and any(out.iterdir()):
        raise BackupError(f"{out} is not empty; name a new folder")
    make_private(out)
    with _source(settings, out) as url:
        version = _schema(url, settings.database)
        copied = dump(url, out / _DATABASE, [settings.database.name])
    write_private(out / _SECRET, secret.read_bytes())
    made = Backup(timestamp(), version, settings.database.name, _counts(copied))
    write_private(out / _NOTE, msgspec.json.format(msgspec.json.encode(made)))
    return made


def restore_backup(settings: Settings, source: Path) -> Backup:
    """Make an installation in `settings.data`, which must be new, out of a backup.

    Raises BackupError, OSError, PyMongoError, DataDirectoryError.
    """
    told = _read(source)
    data = Path(settings.data)
    secret = data / settings.tokens.secret_file
    if secret.exists() or (data / "store").exists():
        raise BackupError(f"there is an installation in {data} already; restore into a new directory")
    make_private(data)
    with _target(settings, data) as url:
        copied = restore(url, source / _DATABASE, database=settings.database.name)
        if _counts(copied) != told.documents:
            raise BackupError(f"the backup in {source} is not whole: it should hold {told.documents}")
    write_private(secret, (source / _SECRET).read_bytes())
    return told


@contextlib.contextmanager
def _source(settings: Settings, near: Path) -> Iterator[str]:
    """The database to read from: a MongoDB itself, or a snapshot of the store."""
    if settings.database.url:
        yield settings.database.url
        return
    file = Path(settings.data) / "store" / FILE
    if not file.is_file():
        raise BackupError(f"there is no store in {settings.data}; name the settings with --config if the "
                          "database is a MongoDB")
    with tempfile.TemporaryDirectory(prefix="snapshot-", dir=near) as folder:
        _snapshot(file, Path(folder) / FILE)
        with store_url(Path(folder)) as url:
            yield url


def _snapshot(source: Path, target: Path) -> None:
    """Copy a SQLite database as it is at one moment, while others write (SQLite's online backup)."""
    with contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, \
            contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


@contextlib.contextmanager
def _target(settings: Settings, data: Path) -> Iterator[str]:
    """The database to write to, which must be empty. A store appears in its place when all is in it."""
    if url := settings.database.url:
        with _client(url) as client:
            if client[settings.database.name].list_collection_names():
                raise BackupError(f"the database {settings.database.name!r} has collections already; drop it "
                                  "first, or set another database.name")
        yield url
        return
    partial = data / f"store.{os.getpid()}"
    try:
        with store_url(partial) as url:
            yield url
        partial.rename(data / "store")
    finally:  # what could not be finished goes
        shutil.rmtree(partial, ignore_errors=True)


def _schema(url: str, database: Database) -> int:
    with _client(url) as client:
        found = client[database.name].meta.find_one({"_id": "schema"})
    return int(found["version"]) if found else 0


def _client(url: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(url, serverSelectionTimeoutMS=10_000)


def _counts(copied: list[Copied]) -> dict[str, int]:
    return {one.collection: one.documents for one in copied}


def _read(source: Path) -> Backup:
    try:
        return msgspec.json.decode((source / _NOTE).read_bytes(), type=Backup)
    except FileNotFoundError:
        raise BackupError(f"{source} holds no whole backup: there is no {_NOTE}") from None
    except msgspec.MsgspecError as error:
        raise BackupError(f"{source / _NOTE}: {error}") from None
