"""Indexes: their definition and the keys that a document has in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.embedded.documents import keys, paths
from server.embedded.documents.arrays import descend, expand
from server.embedded.documents.errors import Code, CommandError, NotSupported
from server.embedded.documents.values import MISSING, UNDEFINED, Document, is_number
from server.embedded.query import matching, query

POINTS = 256  # keys that are looked up with one statement
_OPTIONS = frozenset({
    "v", "key", "name", "unique", "sparse", "partialFilterExpression", "expireAfterSeconds", "background",
    "hidden", "ns", "comment",
})  # fmt: skip
_REFUSED = frozenset({"collation", "weights", "wildcardProjection", "default_language", "storageEngine"})


class ArrayKeys(list[bytes]):
    """The keys of a document that has an array there: the index is a multikey one."""


@dataclass(eq=False)
class Index:
    """An index of a collection, with the statements that use its table."""

    id: int
    collection_id: int
    spec: Document
    multikey: bool = False
    ready: bool = True  # all documents are in it
    name: str = field(init=False)
    fields: tuple[tuple[str, bool], ...] = field(init=False)  # path, descending

    def __post_init__(self) -> None:
        self.name = self.spec["name"]
        self.fields = tuple((path, direction < 0) for path, direction in self.spec["key"].items())
        self.unique = bool(self.spec.get("unique")) or self.is_id
        self.sparse = bool(self.spec.get("sparse"))
        partial = self.spec.get("partialFilterExpression")
        self.partial = query.parse(partial) if partial else None
        self._indexed = matching.compile_node(self.partial) if self.partial else None
        # a number in a path may go through an array, and then it has two meanings, of which keys have one
        self.sure_paths = frozenset(path for path, _ in self.fields if not paths.has_index(path))
        self.multikey = self.multikey or len(self.sure_paths) < len(self.fields)
        self._parts = tuple((paths.split(path), descending) for path, descending in self.fields)
        self._steps = tuple((parts[0], parts[1:], descending) for parts, descending in self._parts)
        self._is_plain = len(self._steps) == 1 and not self._steps[0][1]
        empty = keys.UNDEFINED_KEY
        self._key_of_empty = keys.invert(empty) if self._steps[0][2] else empty
        self._paths = tuple(self._all_paths())
        self._make_statements()

    def _make_statements(self) -> None:
        table, documents = f"k{self.id}", f"d{self.collection_id}"
        self.table = table
        self.fill_sql = f"INSERT OR IGNORE INTO {table} (key, rid) VALUES (?, ?)"
        self.insert_sql = f"INSERT INTO {table} (key, rid) VALUES (?, ?)"
        self.delete_sql = f"DELETE FROM {table} WHERE key = ? AND rid = ?"
        self.between_sql = f"SELECT 1 FROM {table} WHERE key >= ? AND key <= ? LIMIT 1"
        self.any_sql = f"SELECT 1 FROM {table} WHERE key IN ({', '.join('?' * POINTS)}) LIMIT 1"
        self.owner_sql = f"SELECT rid FROM {table} WHERE key = ? LIMIT 1"
        joined = f"SELECT k.key, k.rid, d.doc FROM {table} k CROSS JOIN {documents} d ON d.rid = k.rid"
        self.scan_sql = tuple(_scan_statements(joined))
        self.points_sql = tuple(_point_statements(joined))

    @property
    def is_id(self) -> bool:
        """Is it the index of _id?"""
        return list(self.spec["key"]) == ["_id"]

    @property
    def expire_after(self) -> float | None:
        """Seconds until documents expire, of a TTL index."""
        return self.spec.get("expireAfterSeconds")

    def keys(self, document: Mapping[str, Any]) -> list[bytes]:
        """The document's keys, each once; more than one only if it has arrays there.

        Raises CommandError(CannotIndexParallelArrays) when two of the fields are different arrays.
        """
        if self._indexed is not None and not self._indexed(document):
            return []
        encoded, missing = [], 0
        for name, rest, descending in self._steps:
            value = document.get(name, MISSING)
            if rest:
                value, _ = descend(value, rest)
            if type(value) is list:
                return self._expanded_keys(document)
            missing += value is MISSING
            key = keys.encode(value)
            encoded.append(keys.invert(key) if descending else key)
        if self.sparse and missing == len(encoded):
            return []
        return [b"".join(encoded)]

    def _expanded_keys(self, document: Mapping[str, Any]) -> list[bytes]:
        if self._is_plain and not document[self._steps[0][0]]:
            return ArrayKeys([self._key_of_empty])  # most lists that have an index of their own are empty
        directions = [descending for _, descending in self.fields]
        found: dict[bytes, None] = {}
        for row in expand(document, [parts for parts, _ in self._parts]):
            if self.sparse and all(value is MISSING for value in row):
                continue
            found[keys.encode_compound(row, directions)] = None
        return ArrayKeys(found)

    def values(self, document: Mapping[str, Any], key: bytes) -> Document:
        """The fields' values that gave the key, for people to read."""
        directions = [descending for _, descending in self.fields]
        for row in expand(document, [parts for parts, _ in self._parts]):
            if keys.encode_compound(row, directions) == key:
                shown = (None if value is MISSING or value is UNDEFINED else value for value in row)
                return dict(zip((path for path, _ in self.fields), shown, strict=True))
        return {}

    def touches(self, path: str) -> bool:
        """Can a change at the dotted path change a key?"""
        return any(paths.related(path, mine) for mine in self._paths)

    def _all_paths(self) -> Iterator[str]:
        """The dotted names that the keys depend on."""
        for path, _ in self.fields:
            yield path
        if self.partial is not None:
            yield from node_paths(self.partial)


def _scan_statements(select: str) -> Iterator[str]:
    """Forward from a key, forward behind a row, backward from a key, backward before a row."""
    order, back = "ORDER BY k.key, k.rid LIMIT ?", "ORDER BY k.key DESC, k.rid DESC LIMIT ?"
    yield f"{select} WHERE k.key >= ? AND k.key < ? {order}"
    yield f"{select} WHERE (k.key, k.rid) > (?, ?) AND k.key < ? {order}"
    yield f"{select} WHERE k.key >= ? AND k.key < ? {back}"
    yield f"{select} WHERE k.key >= ? AND (k.key, k.rid) < (?, ?) {back}"


def _point_statements(select: str) -> Iterator[str]:
    """The rows of some keys, behind a row; forward, then backward."""
    keys_ = ", ".join("?" * POINTS)
    yield f"{select} WHERE k.key IN ({keys_}) AND (k.key, k.rid) > (?, ?) ORDER BY k.key, k.rid LIMIT ?"
    yield (
        f"{select} WHERE k.key IN ({keys_}) AND (k.key, k.rid) < (?, ?)"
        " ORDER BY k.key DESC, k.rid DESC LIMIT ?"
    )


def node_paths(node: query.Node) -> Iterator[str]:
    """The dotted names that a filter reads."""
    match node:
        case query.Predicate(path):
            yield path
        case query.Not(child):
            yield from node_paths(child)
        case query.Every(children) | query.Some(children):
            for child in children:
                yield from node_paths(child)


def check_spec(spec: Mapping[str, Any]) -> Document:
    """The stored form of an entry of createIndexes.

    Raises CommandError when the index is not one that the store has.
    """
    pattern = spec.get("key")
    if not isinstance(pattern, Mapping) or not pattern:
        raise CommandError(Code.CannotCreateIndex, "an index needs a non-empty key pattern")
    for path, direction in pattern.items():
        _check_field(path, direction)
    for option in spec:
        if option in _REFUSED:
            raise NotSupported(f"the index option {option}")
        if option not in _OPTIONS:
            raise CommandError(
                Code.InvalidIndexSpecificationOption, f"the field '{option}' is not valid for an index"
            )
    if not isinstance(spec.get("name"), str) or not spec["name"]:
        raise CommandError(Code.FailedToParse, "an index needs a name")
    _check_expiry(spec)
    partial = spec.get("partialFilterExpression")
    if partial is not None:
        if spec.get("sparse"):
            raise CommandError(Code.CannotCreateIndex, "an index cannot be both sparse and partial")
        matching.compile_filter(partial)
    kept = {name: value for name, value in spec.items() if name not in ("ns", "background", "comment", "v")}
    return {"v": 2, **kept}


def _check_field(path: str, direction: Any) -> None:
    if not path or path.startswith(".") or path.endswith(".") or ".." in path:
        raise CommandError(Code.CannotCreateIndex, f"'{path}' is not a valid field name for an index")
    if path.startswith("$") or "$**" in path:
        raise CommandError(
            Code.CannotCreateIndex, f"indexes on '{path}' are not supported by the embedded store"
        )
    if isinstance(direction, str):
        raise NotSupported(f"an index of type '{direction}'")
    if not is_number(direction) or float(str(direction)) == 0:
        raise CommandError(Code.CannotCreateIndex, "values in the index key pattern must be 1 or -1")


def _check_expiry(spec: Mapping[str, Any]) -> None:
    seconds = spec.get("expireAfterSeconds")
    if seconds is None:
        return
    if not is_number(seconds) or not 0 <= float(str(seconds)) <= 2**31 - 1:
        raise CommandError(Code.CannotCreateIndex, "expireAfterSeconds must be between 0 and 2147483647")
    if len(spec["key"]) != 1 or "_id" in spec["key"]:
        raise CommandError(Code.CannotCreateIndex, "a TTL index has exactly one field, other than _id")
