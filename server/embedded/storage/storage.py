"""The SQLite file: one connection that writes, in groups, and some that read snapshots.

Each collection is a table `d<id>` (rid, doc) of raw BSON, each index a table `k<id>` (key, rid) whose keys
are those of `keys`. Write-ahead log and synchronous=FULL: when `commit` returns, the changes are on disk
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from server.embedded.documents.errors import Code, CommandError, DataDirectoryError

log = logging.getLogger(__name__)

FILE = "store.sqlite"
FORMAT = 1
_CACHE_KIB = 64 * 1024
_READER_CACHE_KIB = 4 * 1024
_CHECKPOINT_PAGES = 4000
_STATEMENTS = 1024

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT, db TEXT NOT NULL, name TEXT NOT NULL, options BLOB NOT NULL,
    UNIQUE (db, name));
CREATE TABLE IF NOT EXISTS indexes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL REFERENCES collections (id),
    spec BLOB NOT NULL, multikey INTEGER NOT NULL DEFAULT 0, ready INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS users (
    db TEXT NOT NULL, name TEXT NOT NULL, credentials BLOB NOT NULL, PRIMARY KEY (db, name)) WITHOUT ROWID;
"""


class DirectoryLock:
    """The exclusive lock on a data directory, held until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "store.lock"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip()
            os.close(self._file)
            text = f"another process (pid {holder or 'unknown'}) uses the data directory {directory}"
            raise DataDirectoryError(text) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._file)


class Storage:
    """The database file of a data directory, locked against other processes.

    Raises DataDirectoryError when the directory cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise DataDirectoryError(f"cannot make the data directory {directory}: {error}") from None
        self.directory = directory
        self.path = directory / FILE
        self._lock = DirectoryLock(directory)
        self.dirty = False  # a group is open
        self.writes = 0  # statements so far
        self._readers: list[sqlite3.Connection] = []
        try:
            self.db = self._open()
        except sqlite3.Error as error:
            self._lock.release()
            raise DataDirectoryError(f"cannot open {self.path}: {error}") from None

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = self._connect(_CACHE_KIB)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        db.executescript(_SCHEMA)
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found not in (0, FORMAT):
            raise DataDirectoryError(f"{self.path} has format {found}; this program knows format {FORMAT}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
        return db

    def _connect(self, cache_kib: int) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, cached_statements=_STATEMENTS, timeout=5)
        db.execute(f"PRAGMA cache_size = -{cache_kib}")
        return db

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a query; it sees what has been written, committed or not."""
        return self.db.execute(sql, parameters)

    def write(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement in the open group, which is begun if need be.

        Raises GroupFailed, e.g. on a full disk; then the whole group is to be rolled back.
        """
        try:
            if not self.dirty:
                self.db.execute("BEGIN IMMEDIATE")
                self.dirty = True
            self.writes += 1
            return self.db.execute(sql, parameters)
        except sqlite3.Error as error:
            raise GroupFailed(error) from error

    def write_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of some rows, as `write` does."""
        try:
            if not self.dirty:
                self.db.execute("BEGIN IMMEDIATE")
                self.dirty = True
            self.writes += 1
            self.db.executemany(sql, rows)
        except sqlite3.Error as error:
            raise GroupFailed(error) from error

    def commit(self) -> None:
        """Make the open group durable.

        Raises GroupFailed when that cannot be done; then nothing of the group has happened.
        """
        if not self.dirty:
            return
        try:
            self.db.execute("COMMIT")
        except sqlite3.Error as error:
            raise GroupFailed(error) from error
        self.dirty = False

    def rollback(self) -> None:
        """Forget the open group."""
        self.dirty = False
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")

    def open_snapshot(self) -> sqlite3.Connection:
        """A connection that sees what is committed now, until it is given to `close_snapshot`."""
        reader = self._readers.pop() if self._readers else self._connect(_READER_CACHE_KIB)
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM meta LIMIT 1").fetchall()
        return reader

    def close_snapshot(self, reader: sqlite3.Connection) -> None:
        reader.execute("ROLLBACK")
        self._readers.append(reader)

    def limit(self, pages: int) -> None:
        """Let the file grow to so many pages only; then it is as if the disk were full."""
        self.db.execute(f"PRAGMA max_page_count = {int(pages)}")

    def bytes_on_disk(self) -> int:
        """Bytes of the file's pages."""
        (pages,) = self.db.execute("PRAGMA page_count").fetchone()
        (size,) = self.db.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(size)

    def close(self) -> None:
        """Commit, empty the log into the file, and unlock the directory."""
        self.commit()
        for reader in self._readers:
            reader.close()
        self.db.close()
        self._lock.release()


class GroupLost(Exception):
    """What a command wrote in an earlier slice was undone with its group."""

    def __init__(self, answer: CommandError) -> None:
        super().__init__(answer.text)
        self.answer = answer


class GroupFailed(Exception):
    """SQLite refused a write: the open group cannot be completed. `answer` is what its writers are told."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(str(error))
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE")):
            text, code = f"no space left for the data directory ({error})", Code.OutOfDiskSpace
        elif name == "SQLITE_TOOBIG":
            text, code = f"the document or key is too big ({error})", Code.BSONObjectTooLarge
        else:
            text, code = f"storage error {name}: {error}", Code.InternalError
        self.answer = CommandError(code, text)
