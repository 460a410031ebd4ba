"""Checking a store, and repairing it: documents are the truth, indexes are made anew from them."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from server.embedded.documents.errors import CommandError, DataDirectoryError
from server.embedded.documents.values import decode
from server.embedded.indexes.index import ArrayKeys, Index
from server.embedded.sessions.runner import drain
from server.embedded.sessions.store import Store
from server.embedded.storage import storage
from server.embedded.storage.catalog import Collection
from server.embedded.storage.storage import DirectoryLock
from server.embedded.storage.writes import Steps, Writer

log = logging.getLogger(__name__)

_CHUNK = 200
_MOST_PROBLEMS = 1000  # that are told


@dataclass(slots=True)
class Report:
    """What a check has found, and what a repair has done about it."""

    problems: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing was wrong."""
        return not self.problems


def check(directory: Path, repair: bool = False) -> Report:
    """Check the store of a data directory that no server uses.

    repair: mend what is wrong. Nothing is deleted: the damaged file is kept beside the mended one.

    Raises DataDirectoryError when there is no store, or it is in use.
    """
    if not (directory / storage.FILE).exists():
        raise DataDirectoryError(f"there is no store in {directory}")
    report = Report(_file_problems(directory))
    if report.problems:
        if repair:
            _salvage(directory, report)
        return report
    store = Store(directory)
    try:
        for collection in list(store.catalog.all()):
            found = drain(check_collection(store, collection))
            report.problems += found
            if found and repair:
                _rebuild(store, collection, report)
    finally:
        store.close()
    return report


def _file_problems(directory: Path) -> list[str]:
    """What SQLite itself finds wrong with the file."""
    lock = DirectoryLock(directory)
    try:
        db = sqlite3.connect(directory / storage.FILE)
        try:
            found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(100)")]
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    finally:
        lock.release()
    return [] if found == ["ok"] else [f"{storage.FILE}: {problem}" for problem in found]


def check_collection(store: Store, collection: Collection) -> Steps[list[str]]:
    """What is wrong with the collection; nothing if it is sound."""
    problems: list[str] = []
    counts = dict.fromkeys(collection.indexes, 0)
    after = -1
    while len(problems) < _MOST_PROBLEMS:
        rows = store.storage.read(collection.scan_sql[0], (after, _CHUNK)).fetchall()
        for _, rid, raw in rows:
            problems += _document_problems(store, collection, rid, raw, counts)
        if len(rows) < _CHUNK:
            break
        after = rows[-1][1]
        yield None
    for index in collection.indexes.values():
        (number,) = store.storage.read(f"SELECT count(*) FROM {index.table}").fetchone()
        if number != counts.get(index.name) and index.ready:
            text = f"index {index.name} has {number} keys instead of {counts.get(index.name)}"
            problems.append(f"{collection.namespace}: {text}")
    return problems


def _document_problems(
    store: Store, collection: Collection, rid: int, raw: bytes, counts: dict[str, int]
) -> Iterator[str]:
    try:
        document = decode(raw)
    except CommandError as error:
        yield f"{collection.namespace}: document {rid} cannot be read: {error}"
        return
    for index in collection.indexes.values():
        for key in index.keys(document):
            counts[index.name] = counts.get(index.name, 0) + 1
            sql = f"SELECT 1 FROM {index.table} WHERE key = ? AND rid = ?"
            if index.ready and store.storage.read(sql, (key, rid)).fetchone() is None:
                yield f"{collection.namespace}: document {rid} is missing in index {index.name}"


def _rebuild(store: Store, collection: Collection, report: Report) -> None:
    """Make the collection's indexes anew; documents that cannot be read go to a file."""
    for rid, raw in list(_unreadable(store, collection)):
        path = store.storage.directory / f"unreadable-{collection.id}-{rid}.bson"
        path.write_bytes(raw)
        store.storage.write(collection.delete_sql, (rid,))
        report.repairs.append(f"{collection.namespace}: document {rid} was moved to {path.name}")
    for index in collection.indexes.values():
        store.storage.write(f"DELETE FROM {index.table}")
        for rid, raw in store.storage.read(f"SELECT rid, doc FROM {collection.table}"):
            _add_keys(store, collection, index, rid, raw, report)
        report.repairs.append(f"{collection.namespace}: index {index.name} was made anew")
    collection.count = None
    store.storage.commit()


def _unreadable(store: Store, collection: Collection) -> Iterator[tuple[int, bytes]]:
    for rid, raw in store.storage.read(f"SELECT rid, doc FROM {collection.table}"):
        try:
            decode(raw)
        except CommandError:
            yield rid, raw


def _add_keys(
    store: Store, collection: Collection, index: Index, rid: int, raw: bytes, report: Report
) -> None:
    found = index.keys(decode(raw))
    if type(found) is ArrayKeys and not index.multikey:
        store.catalog.set_multikey(index)
    for key in found:
        if index.unique and store.storage.read(index.owner_sql, (key,)).fetchone():
            report.problems.append(
                f"{collection.namespace}: document {rid} has a duplicate key in {index.name}"
            )
        store.storage.write(index.fill_sql, (key, rid))


def _salvage(directory: Path, report: Report) -> None:
    """Copy all that can be read of a damaged file to a new one."""
    lock = DirectoryLock(directory)
    kept = directory / f"damaged-{time.strftime('%Y%m%dT%H%M%S')}"
    kept.mkdir()
    for suffix in ("", "-wal", "-shm"):
        path = directory / f"{storage.FILE}{suffix}"
        if path.exists():
            path.rename(kept / path.name)
    lock.release()
    old = sqlite3.connect(kept / storage.FILE)
    store = Store(directory)
    try:
        for id_, database, name, _ in _rows(old, "SELECT id, db, name, options FROM collections"):
            collection = store.catalog.create(str(database), str(name), {})
            number = _copy_documents(old, id_, store, collection, report)
            _copy_indexes(old, id_, store, collection, report)
            report.repairs.append(f"{collection.namespace}: {number} documents were saved")
        for row in _rows(old, "SELECT db, name, credentials FROM users"):
            store.storage.write("INSERT INTO users (db, name, credentials) VALUES (?, ?, ?)", row)
    finally:
        old.close()
        store.close()
    report.repairs.append(f"the damaged file is kept in {kept}")


def _rows(db: sqlite3.Connection, sql: str) -> Iterator[tuple[object, ...]]:
    """The rows up to the first that cannot be read."""
    try:
        yield from db.execute(sql)
    except sqlite3.DatabaseError as error:
        log.warning("%s: %s", sql, error)


def _copy_documents(
    old: sqlite3.Connection, id_: object, store: Store, collection: Collection, report: Report
) -> int:
    writer = Writer(store.direct, store.catalog, collection)
    seen: set[object] = set()
    for order in ("ASC", "DESC"):  # from both ends, up to what is damaged
        for rid, raw in _rows(old, f"SELECT rid, doc FROM d{id_} ORDER BY rid {order}"):
            if rid in seen or not isinstance(raw, bytes):
                continue
            seen.add(rid)
            try:
                drain(writer.insert(raw))
            except CommandError as error:
                report.problems.append(f"{collection.namespace}: document {rid} is lost: {error}")
    return len(seen)


def _copy_indexes(
    old: sqlite3.Connection, id_: object, store: Store, collection: Collection, report: Report
) -> None:
    for (spec,) in _rows(old, f"SELECT spec FROM indexes WHERE collection = {id_}"):
        decoded = decode(spec) if isinstance(spec, bytes) else {}
        if decoded.get("name", "_id_") == "_id_":
            continue
        index = store.catalog.add_index(collection, decoded)
        for rid, raw in store.storage.read(f"SELECT rid, doc FROM {collection.table}"):
            _add_keys(store, collection, index, rid, raw, report)
        store.catalog.set_ready(collection, index)
