"""Databases, collections and their indexes: what exists, kept in memory and in the storage file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import Document, decode, encode
from server.embedded.indexes import index as index_module
from server.embedded.indexes.index import Index
from server.embedded.storage.storage import Storage

_BAD_DATABASE_CHARACTERS = frozenset('/\\. "$\0')
_MOST_INDEXES = 64
_MOST_REMEMBERED = 1000


@dataclass(eq=False)
class Collection:
    """A collection, with the statements that use its table."""

    id: int
    database: str
    name: str
    options: Document
    next_rid: int = 1
    count: int | None = None  # documents, once known
    indexes: dict[str, Index] = field(default_factory=dict)
    affected: dict[tuple[str, ...], list[Index]] = field(default_factory=dict)
    dropped: bool = False

    def __post_init__(self) -> None:
        table = f"d{self.id}"
        self.table = table
        self.get_sql = f"SELECT doc FROM {table} WHERE rid = ?"
        self.insert_sql = f"INSERT INTO {table} (rid, doc) VALUES (?, ?)"
        self.update_sql = f"UPDATE {table} SET doc = ? WHERE rid = ?"
        self.delete_sql = f"DELETE FROM {table} WHERE rid = ?"
        select = f"SELECT NULL, rid, doc FROM {table}"
        self.scan_sql = (
            f"{select} WHERE rid > ? ORDER BY rid LIMIT ?",
            f"{select} WHERE rid < ? ORDER BY rid DESC LIMIT ?",
        )

    @property
    def namespace(self) -> str:
        return f"{self.database}.{self.name}"

    @property
    def id_index(self) -> Index:
        return self.indexes["_id_"]

    def affected_by(self, paths: tuple[str, ...] | None) -> list[Index]:
        """The indexes that a change at these paths (None: anywhere) can concern."""
        if paths is None:
            return list(self.indexes.values())
        found = self.affected.get(paths)
        if found is None:
            found = [index for index in self.indexes.values() if any(map(index.touches, paths))]
            if len(self.affected) > _MOST_REMEMBERED:
                self.affected.clear()
            self.affected[paths] = found
        return found

    def new_rid(self) -> int:
        rid = self.next_rid
        self.next_rid += 1
        return rid


class Catalog:
    """All collections. Changes are part of the storage's open group."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._databases: dict[str, dict[str, Collection]] = {}
        self.load()

    def load(self) -> None:
        """Read everything anew, as after a group that was rolled back."""
        before = {collection.id: collection for collection in self.all()}
        self._databases = {}
        found: dict[int, Collection] = {}
        for id_, database, name, options in self._storage.read(
            "SELECT id, db, name, options FROM collections"
        ):
            collection = Collection(id_, database, name, decode(options))
            (last,) = self._storage.read(f"SELECT max(rid) FROM {collection.table}").fetchone()
            known = before[id_].next_rid if id_ in before else 1
            collection.next_rid = max((last or 0) + 1, known)
            self._databases.setdefault(database, {})[name] = found[id_] = collection
        for id_, owner, spec, multikey, ready in self._storage.read(
            "SELECT id, collection, spec, multikey, ready FROM indexes ORDER BY id"
        ):
            entry = Index(id_, owner, decode(spec), bool(multikey), bool(ready))
            found[owner].indexes[entry.name] = entry

    def all(self) -> Iterator[Collection]:
        """Every collection."""
        return itertools.chain.from_iterable(found.values() for found in list(self._databases.values()))

    def databases(self) -> list[str]:
        """The names of the databases that have a collection."""
        return sorted(self._databases)

    def collections(self, database: str) -> list[Collection]:
        """The collections of a database, by name."""
        found = self._databases.get(database, {})
        return [found[name] for name in sorted(found)]

    def find(self, database: str, name: str) -> Collection | None:
        """The collection, if it exists."""
        return self._databases.get(database, {}).get(name)

    def require(self, database: str, name: str) -> Collection:
        """The collection.

        Raises CommandError(NamespaceNotFound).
        """
        collection = self.find(database, name)
        if collection is None:
            raise CommandError(Code.NamespaceNotFound, f"ns does not exist: {database}.{name}")
        return collection

    def ensure(self, database: str, name: str) -> Collection:
        """The collection, which is made if it does not exist.

        Raises CommandError(InvalidNamespace) for a name that no collection can have.
        """
        return self.find(database, name) or self.create(database, name, {})

    def create(self, database: str, name: str, options: Document) -> Collection:
        """Make an empty collection, with the index of _id."""
        _check_names(database, name)
        cursor = self._storage.write(
            "INSERT INTO collections (db, name, options) VALUES (?, ?, ?)", (database, name, encode(options))
        )
        assert cursor.lastrowid is not None
        collection = Collection(cursor.lastrowid, database, name, options, count=0)
        self._storage.write(f"CREATE TABLE {collection.table} (rid INTEGER PRIMARY KEY, doc BLOB NOT NULL)")
        self._databases.setdefault(database, {})[name] = collection
        self.set_ready(collection, self.add_index(collection, {"v": 2, "key": {"_id": 1}, "name": "_id_"}))
        return collection

    def drop(self, collection: Collection) -> None:
        """Delete a collection, its documents and indexes."""
        for entry in list(collection.indexes.values()):
            self.drop_index(collection, entry)
        self._storage.write(f"DROP TABLE {collection.table}")
        self._storage.write("DELETE FROM collections WHERE id = ?", (collection.id,))
        collection.dropped = True
        self._forget(collection)

    def _forget(self, collection: Collection) -> None:
        found = self._databases[collection.database]
        del found[collection.name]
        if not found:
            del self._databases[collection.database]

    def rename(self, collection: Collection, database: str, name: str) -> None:
        """Give a collection another name, which is free."""
        _check_names(database, name)
        self._storage.write(
            "UPDATE collections SET db = ?, name = ? WHERE id = ?", (database, name, collection.id)
        )
        self._forget(collection)
        collection.database, collection.name = database, name
        self._databases.setdefault(database, {})[name] = collection

    def set_options(self, collection: Collection, options: Document) -> None:
        collection.options = options
        self._storage.write(
            "UPDATE collections SET options = ? WHERE id = ?", (encode(options), collection.id)
        )

    def add_index(self, collection: Collection, spec: Document) -> Index:
        """Make an index, which is not used until the caller has filled it and called `set_ready`."""
        if len(collection.indexes) >= _MOST_INDEXES:
            raise CommandError(Code.CannotCreateIndex, f"too many indexes for {collection.namespace}")
        cursor = self._storage.write(
            "INSERT INTO indexes (collection, spec) VALUES (?, ?)", (collection.id, encode(spec))
        )
        assert cursor.lastrowid is not None
        entry = Index(cursor.lastrowid, collection.id, spec, ready=False)
        self._storage.write(
            f"CREATE TABLE {entry.table} (key BLOB NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (key, rid))"
            " WITHOUT ROWID"
        )
        collection.indexes[entry.name] = entry
        collection.affected.clear()
        return entry

    def set_ready(self, collection: Collection, entry: Index) -> None:
        """The index has all documents: it can be used."""
        self._storage.write("UPDATE indexes SET ready = 1 WHERE id = ?", (entry.id,))
        entry.ready = True

    def drop_unfinished(self) -> None:
        """Drop the indexes whose making a crash interrupted; nobody was told that they exist."""
        for collection in list(self.all()):
            for entry in [entry for entry in collection.indexes.values() if not entry.ready]:
                self.drop_index(collection, entry)

    def drop_index(self, collection: Collection, entry: Index) -> None:
        self._storage.write(f"DROP TABLE {entry.table}")
        self._storage.write("DELETE FROM indexes WHERE id = ?", (entry.id,))
        del collection.indexes[entry.name]
        collection.affected.clear()

    def change_index(self, collection: Collection, entry: Index, spec: Document) -> None:
        """Store another spec with the same keys (collMod)."""
        self._storage.write("UPDATE indexes SET spec = ? WHERE id = ?", (encode(spec), entry.id))
        collection.indexes[entry.name] = Index(entry.id, entry.collection_id, spec, entry.multikey)
        collection.affected.clear()

    def set_multikey(self, entry: Index) -> None:
        """Remember that a document has an array there."""
        self._storage.write("UPDATE indexes SET multikey = 1 WHERE id = ?", (entry.id,))
        entry.multikey = True

    def count(self, collection: Collection) -> int:
        """How many documents there are, committed or about to be."""
        if collection.count is None:
            (collection.count,) = self._storage.read(
                f"SELECT count(*) FROM {collection.id_index.table}"
            ).fetchone()
        return collection.count


def find_same(collection: Collection, spec: Document) -> Index | None:
    """The collection's index that has this spec.

    Raises CommandError when one has its name or its keys, but differs.
    """
    for entry in collection.indexes.values():
        same_keys = list(entry.spec["key"].items()) == list(spec["key"].items())
        same_options = keys.equal(_options(entry.spec), _options(spec))
        if entry.is_id and same_keys:
            return entry
        if entry.name == spec["name"]:
            if not same_keys or not same_options:
                text = (
                    "An existing index has the same name as the requested index. When index names are not "
                    f"specified, they are auto generated and can cause conflicts: {entry.name}"
                )
                raise CommandError(Code.IndexKeySpecsConflict, text)
            return entry
        if same_keys and keys.equal(*(one.get("partialFilterExpression") for one in (spec, entry.spec))):
            text = f"Index already exists with a different name: {entry.name}"
            raise CommandError(Code.IndexOptionsConflict, text)
    return None


def _options(spec: Document) -> Document:
    """The options that make an index another one, in one order."""
    kept = {name: spec[name] for name in ("partialFilterExpression", "expireAfterSeconds") if name in spec}
    return kept | {flag: bool(spec.get(flag)) for flag in ("unique", "sparse")}


def _check_names(database: str, name: str) -> None:
    if not database or len(database) > 63 or _BAD_DATABASE_CHARACTERS & set(database):
        raise CommandError(Code.InvalidNamespace, f"Invalid database name: '{database}'")
    if not name or "\0" in name or "$" in name or name.startswith(".") or len(f"{database}.{name}") > 255:
        raise CommandError(Code.InvalidNamespace, f"Invalid collection name: '{database}.{name}'")


def check_index_specs(specs: Any) -> list[Document]:
    """The checked entries of createIndexes."""
    if not isinstance(specs, Iterable) or isinstance(specs, str | dict) or not specs:
        raise CommandError(Code.BadValue, "Must specify at least one index to create")
    return [index_module.check_spec(spec) for spec in specs]
