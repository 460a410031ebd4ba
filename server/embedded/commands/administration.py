"""Collections and indexes: create, drop, list, rename, collMod, validate, statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from server.embedded.commands.reading import first_batch
from server.embedded.commands.registry import Answer, Context, command
from server.embedded.documents.errors import Code, CommandError, DuplicateKey, NotSupported
from server.embedded.documents.values import Document, decode, encode
from server.embedded.indexes.index import ArrayKeys, Index
from server.embedded.query import matching
from server.embedded.reading.scan import Clock, Position
from server.embedded.sessions.checking import check_collection
from server.embedded.storage.catalog import Collection, check_index_specs, find_same
from server.embedded.storage.storage import GroupLost
from server.embedded.storage.writes import Steps

_BUILD_CHUNK = 100


@command("listDatabases")
def list_databases(context: Context) -> Answer:
    """All databases and their sizes."""
    matches = matching.compile_filter(context.body.get("filter") or {})
    found: list[dict[str, Any]] = []
    total = 0
    for name in context.store.catalog.databases():
        if context.body.get("nameOnly"):
            entry: dict[str, Any] = {"name": name}
        else:
            size = sum(_table_bytes(context, c) for c in context.store.catalog.collections(name))
            entry = {"name": name, "sizeOnDisk": size, "empty": size == 0}
            total += size
        if matches(entry):
            found.append(entry)
    return {"databases": found} if context.body.get("nameOnly") else {"databases": found, "totalSize": total}


def _table_bytes(context: Context, collection: Collection) -> int:
    """About the size of the documents, from a few of them."""
    sql = f"SELECT avg(length(doc)) FROM (SELECT doc FROM {collection.table} LIMIT 100)"
    (average,) = context.store.storage.read(sql).fetchone()
    return int((average or 0) * context.store.catalog.count(collection))


@command("listCollections")
def list_collections(context: Context) -> Steps[Answer]:
    """The collections of the database."""
    matches = matching.compile_filter(context.body.get("filter") or {})
    found = []
    for collection in context.store.catalog.collections(context.database):
        entry: dict[str, Any] = {"name": collection.name, "type": "collection"}
        if not context.body.get("nameOnly"):
            entry |= {"options": collection.options, "info": {"readOnly": False}}
            entry["idIndex"] = collection.id_index.spec
        if matches({"options": collection.options, **entry}):
            found.append(entry)
    namespace = f"{context.database}.$cmd.listCollections"
    return (yield from _listed(context, found, namespace))


def _listed(context: Context, found: Iterable[Mapping[str, Any]], namespace: str) -> Steps[Answer]:
    size = (context.body.get("cursor") or {}).get("batchSize", 0) or 10_000
    return (yield from first_batch(context, iter(map(encode, found)), namespace, Position(), size))


@command("listIndexes")
def list_indexes(context: Context) -> Steps[Answer]:
    """The indexes of a collection."""
    collection = context.store.catalog.require(context.database, context.target())
    found = [index.spec for index in collection.indexes.values() if index.ready]
    return (yield from _listed(context, found, context.namespace()))


_CREATE_OPTIONS = frozenset(
    {"writeConcern", "comment", "lsid", "autoIndexId", "storageEngine", "flags", "idIndex", "maxTimeMS"}
)


@command("create", transactions=True)
def create(context: Context) -> Answer:
    """Make a collection."""
    name = context.target()
    options = {
        key: value
        for key, value in context.body.items()
        if key not in _CREATE_OPTIONS and key != "create" and not key.startswith("$")
    }
    options = {
        key: value
        for key, value in options.items()
        if key not in ("txnNumber", "startTransaction", "autocommit", "readConcern")
    }
    for option in options:
        raise NotSupported(f"the collection option {option}")
    if context.store.catalog.find(context.database, name) is not None:
        raise CommandError(Code.NamespaceExists, f"Collection {context.database}.{name} already exists.")
    context.store.catalog.create(context.database, name, {})
    return {}


def _unlocked(context: Context, collection: Collection) -> Steps[None]:
    """Wait until no transaction has changed documents of the collection."""
    locks = context.store.locks.documents
    while holder := next((t for (owner, _), t in locks.items() if owner == collection.id), None):
        yield holder.finished


@command("drop")
def drop(context: Context) -> Steps[Answer]:
    """Delete a collection."""
    collection = context.collection()
    if collection is None:
        return {}
    yield from _unlocked(context, collection)
    if not collection.dropped:
        number = len(collection.indexes)
        context.store.catalog.drop(collection)
        return {"nIndexesWas": number, "ns": collection.namespace}
    return {}


@command("dropDatabase")
def drop_database(context: Context) -> Steps[Answer]:
    """Delete all collections of the database."""
    found = context.store.catalog.collections(context.database)
    for collection in found:
        yield from _unlocked(context, collection)
        if not collection.dropped:
            context.store.catalog.drop(collection)
        yield None
    return {"dropped": context.database} if found else {}


@command("renameCollection")
def rename_collection(context: Context) -> Steps[Answer]:
    """Give a collection another name."""
    source, target = str(context.body["renameCollection"]), str(context.body.get("to"))
    catalog = context.store.catalog
    collection = catalog.require(*_split(source))
    existing = catalog.find(*_split(target))
    if existing is collection:
        raise CommandError(Code.IllegalOperation, "Can't rename a collection to itself")
    if existing is not None and not context.body.get("dropTarget"):
        raise CommandError(Code.NamespaceExists, "target namespace exists")
    for item in (collection, existing):
        if item is not None:
            yield from _unlocked(context, item)
    if existing is not None and not existing.dropped:
        catalog.drop(existing)
    catalog.rename(collection, *_split(target))
    return {}


def _split(namespace: str) -> tuple[str, str]:
    database, _, name = namespace.partition(".")
    if not database or not name:
        raise CommandError(Code.InvalidNamespace, f"Invalid namespace: {namespace}")
    return database, name


@command("createIndexes", transactions=True)
def create_indexes(context: Context) -> Steps[Answer]:
    """Make indexes, and fill them from the documents."""
    specs = check_index_specs(context.body.get("indexes"))
    catalog = context.store.catalog
    existed = context.collection() is not None
    collection = catalog.ensure(context.database, context.target())
    yield from _unlocked(context, collection)
    before = len(collection.indexes)
    made: list[Index] = []
    try:
        for spec in specs:
            index = yield from _existing(collection, spec)
            if index is None:
                made.append(catalog.add_index(collection, spec))
        yield from _fill(context, collection, made)
    except (CommandError, GroupLost):
        for index in made:
            if collection.indexes.get(index.name) is index:
                catalog.drop_index(collection, index)
        raise
    answer: dict[str, Any] = {
        "numIndexesBefore": before, "numIndexesAfter": len(collection.indexes),
        "createdCollectionAutomatically": not existed,
    }  # fmt: skip
    if not made:
        answer["note"] = "all indexes already exist"
    return answer


def _existing(collection: Collection, spec: Document) -> Steps[Index | None]:
    """The index with this spec; one that is being made is waited for."""
    while (index := find_same(collection, spec)) is not None and not index.ready:
        yield None
    return index


def _fill(context: Context, collection: Collection, made: list[Index]) -> Steps[None]:
    """Put all documents into new indexes, while others write: they keep what is there already up to date."""
    catalog, clock = context.store.catalog, Clock()
    after, rows = -1, []
    while made:
        rows = context.store.storage.read(collection.scan_sql[0], (after, _BUILD_CHUNK)).fetchall()
        for _, rid, raw in rows:
            document = decode(raw)
            for index in made:
                _add_keys(context, collection, index, rid, document)
        if len(rows) < _BUILD_CHUNK:
            break
        after = rows[-1][1]
        if clock.over():
            yield None
            if collection.dropped or any(collection.indexes.get(index.name) is not index for index in made):
                raise CommandError(Code.IndexBuildAborted, "the collection or index was dropped meanwhile")
    for index in made:
        catalog.set_ready(collection, index)


def _add_keys(context: Context, collection: Collection, index: Index, rid: int, document: Document) -> None:
    storage = context.store.storage
    found = index.keys(document)
    if type(found) is ArrayKeys and not index.multikey:
        context.store.catalog.set_multikey(index)
    for key in found:
        if index.unique:
            row = storage.read(index.owner_sql, (key,)).fetchone()
            if row is not None and row[0] != rid:
                raise DuplicateKey(
                    collection.namespace, index.name, index.spec["key"], index.values(document, key)
                )
        storage.write(index.fill_sql, (key, rid))


@command("dropIndexes", "deleteIndexes")
def drop_indexes(context: Context) -> Answer:
    """Delete indexes by name or key pattern; "*" is all but _id's."""
    collection = context.store.catalog.require(context.database, context.target())
    before = len(collection.indexes)
    wanted = context.body.get("index")
    names = wanted if isinstance(wanted, list) else [wanted]
    for index in [_named(collection, name) for name in names if name != "*"]:
        if index.is_id:
            raise CommandError(Code.InvalidOptions, "cannot drop _id index")
        context.store.catalog.drop_index(collection, index)
    if "*" in names:
        for index in [index for index in collection.indexes.values() if not index.is_id]:
            context.store.catalog.drop_index(collection, index)
    return {"nIndexesWas": before}


def _named(collection: Collection, name: Any) -> Index:
    for index in collection.indexes.values():
        if name == index.name or (
            isinstance(name, Mapping) and list(name.items()) == list(index.spec["key"].items())
        ):
            return index
    raise CommandError(Code.IndexNotFound, f"index not found with name [{name}]")


@command("collMod")
def coll_mod(context: Context) -> Answer:
    """Change the expiry of a TTL index."""
    collection = context.store.catalog.require(context.database, context.target())
    spec = context.body.get("index")
    if not isinstance(spec, Mapping) or "expireAfterSeconds" not in spec:
        raise NotSupported("collMod other than of an index's expireAfterSeconds")
    index = _named(collection, spec.get("name", spec.get("keyPattern")))
    old = index.expire_after
    context.store.catalog.change_index(
        collection, index, {**index.spec, "expireAfterSeconds": spec["expireAfterSeconds"]}
    )
    return {"expireAfterSeconds_old": old, "expireAfterSeconds_new": spec["expireAfterSeconds"]}


@command("validate")
def validate(context: Context) -> Steps[Answer]:
    """Compare the collection's indexes with its documents."""
    collection = context.store.catalog.require(context.database, context.target())
    problems = yield from check_collection(context.store, collection)
    return {
        "ns": collection.namespace, "valid": not problems, "errors": problems, "warnings": [],
        "nrecords": context.store.catalog.count(collection), "nIndexes": len(collection.indexes),
        "keysPerIndex": {index.name: _rows(context, index) for index in collection.indexes.values()},
    }  # fmt: skip


def _rows(context: Context, index: Index) -> int:
    (number,) = context.store.storage.read(f"SELECT count(*) FROM {index.table}").fetchone()
    return int(number)


@command("collStats")
def coll_stats(context: Context) -> Answer:
    """The size of a collection (of its documents: an estimate)."""
    collection = context.collection()
    if collection is None:
        return {
            "ns": context.namespace(),
            "count": 0,
            "size": 0,
            "storageSize": 0,
            "nindexes": 0,
            "indexSizes": {},
        }
    count, size = context.store.catalog.count(collection), _table_bytes(context, collection)
    return {
        "ns": collection.namespace, "count": count, "size": size, "storageSize": size,
        "avgObjSize": size // count if count else 0, "nindexes": len(collection.indexes), "capped": False,
        "totalIndexSize": 0, "indexSizes": dict.fromkeys(collection.indexes, 0),
    }  # fmt: skip


@command("dbStats", "dbstats")
def db_stats(context: Context) -> Answer:
    """The size of the database (of its documents: an estimate)."""
    found = context.store.catalog.collections(context.database)
    size = sum(_table_bytes(context, collection) for collection in found)
    return {
        "db": context.database, "collections": len(found), "views": 0, "dataSize": float(size),
        "objects": sum(context.store.catalog.count(collection) for collection in found),
        "storageSize": float(context.store.storage.bytes_on_disk()),
        "indexes": sum(len(collection.indexes) for collection in found), "indexSize": 0.0,
    }  # fmt: skip


@command("fsync")
def fsync(context: Context) -> Answer:
    """Nothing to do: what is acknowledged is on disk."""
    if context.body.get("lock"):
        raise NotSupported("fsync with lock")
    return {"numFiles": 1}
