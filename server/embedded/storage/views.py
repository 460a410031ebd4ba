"""How documents are read and changed: directly, or (in `transactions`) privately until a commit."""

from __future__ import annotations

import itertools
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from server.embedded.documents.errors import DuplicateKey
from server.embedded.documents.values import Document
from server.embedded.indexes.index import POINTS, Index
from server.embedded.storage.catalog import Catalog, Collection
from server.embedded.storage.locks import Holder, Locks
from server.embedded.storage.storage import Storage

Row = tuple[bytes | None, int, bytes]  # the index key, or None; the document's number; its bytes
Keys = list[tuple[Index, bytes]]
Entries = list[tuple[bytes, int]]  # of one index: keys and documents' numbers


class View(ABC):
    """What one operation sees and changes."""

    transaction: Holder | None = None

    @abstractmethod
    def query(self, sql: str, parameters: Sequence[Any]) -> Iterable[Any]:
        """Rows of the stored documents, without what `overlay` has."""

    @abstractmethod
    def get(self, collection: Collection, rid: int) -> bytes | None:
        """A document's bytes, if it exists."""

    def overlay(self, collection: Collection) -> dict[int, bytes | None]:
        """Documents that hide the stored ones with their numbers (None: deleted)."""
        return {}

    def usable(self, index: Index) -> bool:
        """Can the view use the index?"""
        return index.ready

    @abstractmethod
    def holder(self, collection: Collection, rid: int) -> Holder | None:
        """The transaction to wait for before the document may be changed.

        Raises WriteConflict instead, in a transaction.
        """

    @abstractmethod
    def key_holder(self, found: Keys) -> Holder | None:
        """The transaction that has claimed one of these keys of unique indexes."""

    @abstractmethod
    def owner(self, index: Index, key: bytes) -> int | None:
        """Which document has the key."""

    @abstractmethod
    def put(self, collection: Collection, rid: int, raw: bytes | None, removed: Keys, added: Keys) -> None:
        """Store, replace or (None) delete a document, and change its index entries."""

    def put_new(self, collection: Collection, rows: Sequence[tuple[int, bytes]],
                entries: Sequence[tuple[Index, Entries]]) -> bool:
        """Store new documents with all of their index entries; False if they must come one by one."""
        return False

    @abstractmethod
    def count(self, collection: Collection) -> int:
        """How many documents the collection has."""

    def check_unique(self, collection: Collection, rid: int, document: Document, added: Keys) -> None:
        """Raise DuplicateKey when another document has one of the keys."""
        for index, key in added:
            if not index.unique:
                continue
            owner = self.owner(index, key)
            if owner is not None and owner != rid:
                value = index.values(document, key)
                raise DuplicateKey(collection.namespace, index.name, index.spec["key"], value)


class DirectView(View):
    """Reads and changes what all others see."""

    def __init__(self, storage: Storage, catalog: Catalog, locks: Locks) -> None:
        self._storage, self._catalog, self._locks = storage, catalog, locks

    def query(self, sql: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        return self._storage.db.execute(sql, parameters)

    def get(self, collection: Collection, rid: int) -> bytes | None:
        row = self._storage.db.execute(collection.get_sql, (rid,)).fetchone()
        return row[0] if row else None

    def holder(self, collection: Collection, rid: int) -> Holder | None:
        return self._locks.documents.get((collection.id, rid))

    def key_holder(self, found: Keys) -> Holder | None:
        held = self._locks.keys
        if held:
            for index, key in found:
                if (index.id, key) in held:
                    return held[index.id, key]
        return None

    def owner(self, index: Index, key: bytes) -> int | None:
        row = self._storage.db.execute(index.owner_sql, (key,)).fetchone()
        return row[0] if row else None

    def put(self, collection: Collection, rid: int, raw: bytes | None, removed: Keys, added: Keys) -> None:
        write = self._storage.write
        for index, key in removed:
            write(index.delete_sql, (key, rid))
        if raw is None:
            write(collection.delete_sql, (rid,))
            change = -1
        elif write(collection.update_sql, (raw, rid)).rowcount:
            change = 0
        else:
            write(collection.insert_sql, (rid, raw))
            change = 1
        for index, key in added:
            write(index.insert_sql, (key, rid))
        if collection.count is not None:
            collection.count += change
        self._locks.changed(collection.id, rid)

    def put_new(self, collection: Collection, rows: Sequence[tuple[int, bytes]],
                entries: Sequence[tuple[Index, Entries]]) -> bool:
        """One index after the other: SQLite is told once of many rows, and stays within one tree.

        Only when nobody has a unique key of theirs, which is known by a look at all between the first and the
        last of them, or at each.
        """
        if self._locks.keys or any(self._any_owner(*one) for one in entries):
            return False
        self._storage.write_many(collection.insert_sql, rows)
        for index, found in entries:
            self._storage.write_many(index.insert_sql, found)
        if collection.count is not None:
            collection.count += len(rows)
        for rid, _ in rows:
            self._locks.changed(collection.id, rid)
        return True

    def _any_owner(self, index: Index, found: Entries) -> bool:
        """Whether a key of a unique index, of some in their order, is given twice, or taken."""
        if not index.unique or not found:
            return False
        keys = [key for key, _ in found]
        if any(key == other for key, other in itertools.pairwise(keys)):
            return True
        db = self._storage.db
        if db.execute(index.between_sql, (keys[0], keys[-1])).fetchone() is None:
            return False
        whole = len(keys) - len(keys) % POINTS  # an unfinished statement costs as much as a whole one
        return (any(db.execute(index.any_sql, keys[start:start + POINTS]).fetchone()
                    for start in range(0, whole, POINTS))
                or any(db.execute(index.owner_sql, (key,)).fetchone() for key in keys[whole:]))

    def count(self, collection: Collection) -> int:
        return self._catalog.count(collection)


def keys_of(indexes: Iterable[Index], document: Document) -> Keys:
    """The document's keys in the indexes."""
    return [(index, key) for index in indexes for key in index.keys(document)]
