"""Multi-document transactions: a snapshot to read, private changes, and locks on what they touch.

Others see nothing of a transaction until its commit, which applies the changes at once. A document that
another transaction has changed, or that has changed since the snapshot, gives a WriteConflict; whoever
writes outside of a transaction waits for its end. This is the behaviour of
https://www.mongodb.com/docs/manual/core/transactions-production-consideration/.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any

from server.embedded.documents.errors import TRANSIENT, Code, CommandError, WriteConflict
from server.embedded.documents.values import decode
from server.embedded.indexes.index import Index
from server.embedded.storage.catalog import Collection
from server.embedded.storage.locks import Holder, Locks
from server.embedded.storage.storage import Storage
from server.embedded.storage.views import DirectView, Keys, View, keys_of

LIFETIME_SECONDS = 60.0
MOST_BYTES = 256 * 1024 * 1024


class Transaction(View, Holder):
    """An open transaction of a session; `finished` happens at its end."""

    def __init__(self, number: int, storage: Storage, locks: Locks, direct: DirectView) -> None:
        super().__init__()
        self.number = number
        self.transaction = self
        self.deadline = time.monotonic() + LIFETIME_SECONDS
        self._storage, self._locks, self._direct = storage, locks, direct
        self._reader: sqlite3.Connection | None = storage.open_snapshot()
        self._time = locks.begin()
        self._documents: dict[int, dict[int, bytes | None]] = {}
        self._collections: dict[int, Collection] = {}
        self._unique: dict[int, dict[bytes, int]] = {}  # index → key → rid
        self._counts: dict[int, int] = {}
        self._bytes = 0

    def query(self, sql: str, parameters: Sequence[Any]) -> Iterable[Any]:
        if self._reader is None:
            raise no_such_transaction(self.number)
        try:
            return self._reader.execute(sql, parameters)
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return ()  # the collection is younger than the snapshot
            raise

    def usable(self, index: Index) -> bool:
        """Indexes that are younger than the snapshot are not."""
        sql = "SELECT 1 FROM indexes WHERE id = ? AND ready"
        return any(True for _ in self.query(sql, (index.id,)))

    def get(self, collection: Collection, rid: int) -> bytes | None:
        mine = self.overlay(collection)
        if rid in mine:
            return mine[rid]
        for (raw,) in self.query(collection.get_sql, (rid,)):
            return bytes(raw)
        return None

    def overlay(self, collection: Collection) -> dict[int, bytes | None]:
        return self._documents.get(collection.id, {})

    def holder(self, collection: Collection, rid: int) -> Transaction | None:
        other = self._locks.documents.get((collection.id, rid), self)
        if other is not self or self._locks.changed_since(collection.id, rid, self._time):
            raise WriteConflict
        return None

    def key_holder(self, found: Keys) -> Transaction | None:
        for index, key in found:
            if self._locks.keys.get((index.id, key), self) is not self:
                raise WriteConflict
        return None

    def owner(self, index: Index, key: bytes) -> int | None:
        mine = self._unique.get(index.id, {}).get(key)
        if mine is not None:
            return mine
        other = self._direct.owner(index, key)
        return None if other in self._documents.get(index.collection_id, {}) else other

    def put(self, collection: Collection, rid: int, raw: bytes | None, removed: Keys, added: Keys) -> None:
        self._bytes += len(raw or b"")
        if self._bytes > MOST_BYTES:
            text = f"a transaction may write at most {MOST_BYTES} bytes"
            raise CommandError(Code.TransactionTooLarge, text)
        self._hold(collection, rid, added)
        self._collections[collection.id] = collection
        mine = self._documents.setdefault(collection.id, {})
        before = self.get(collection, rid) is not None
        mine[rid] = raw
        self._counts[collection.id] = self._counts.get(collection.id, 0) + (raw is not None) - before
        for index, key in removed:
            self._unique.get(index.id, {}).pop(key, None)
        for index, key in added:
            if index.unique:
                self._unique.setdefault(index.id, {})[key] = rid

    def _hold(self, collection: Collection, rid: int, added: Keys) -> None:
        if self._locks.documents.setdefault((collection.id, rid), self) is not self:
            raise WriteConflict
        if rid not in self._documents.get(collection.id, {}):
            self.held_documents.append((collection.id, rid))
        for index, key in added:
            if index.unique and (index.id, key) not in self._locks.keys:
                self._locks.keys[index.id, key] = self
                self.held_keys.append((index.id, key))

    def count(self, collection: Collection) -> int:
        rows = self.query(f"SELECT count(*) FROM {collection.id_index.table}", ())
        return sum(number for (number,) in rows) + self._counts.get(collection.id, 0)

    def touches(self, collection: Collection) -> bool:
        """Has the transaction changed documents of the collection?"""
        return bool(self._documents.get(collection.id))

    def commit(self) -> None:
        """Apply the changes; they are durable when the open group is.

        Raises CommandError when a collection was dropped meanwhile.
        """
        try:
            if any(collection.dropped for collection in self._collections.values()):
                raise WriteConflict
            for id_, documents in self._documents.items():
                for rid, raw in documents.items():
                    self._apply(self._collections[id_], rid, raw)
        finally:
            self._end()

    def _apply(self, collection: Collection, rid: int, raw: bytes | None) -> None:
        old = self._direct.get(collection, rid)
        indexes = collection.indexes.values()
        before = keys_of(indexes, decode(old)) if old is not None else []
        after = keys_of(indexes, decode(raw)) if raw is not None else []
        if old is None and raw is None:
            return
        removed = [entry for entry in before if entry not in after]
        added = [entry for entry in after if entry not in before]
        self._direct.put(collection, rid, raw, removed, added)

    def abort(self) -> None:
        """Forget the changes."""
        self._end()

    def _end(self) -> None:
        if self._reader is None:
            return
        self._storage.close_snapshot(self._reader)
        self._reader = None
        self._locks.end(self)
        self._documents.clear()
        self.finished.happen()


def no_such_transaction(number: int) -> CommandError:
    """What a statement of a transaction that has ended is answered."""
    text = f"Given transaction number {number} does not match any in-progress transactions."
    return CommandError(Code.NoSuchTransaction, text, labels=(TRANSIENT,))
