"""Sorting documents: keys that order them, and sorting more of them than fit in memory."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from server.embedded.documents import keys, paths
from server.embedded.documents.arrays import expand
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING, is_number

SortSpec = Sequence[tuple[str, bool]]  # dotted name, descending
SortKey = Callable[[Mapping[str, Any]], bytes]

MEMORY_BYTES = 64 * 1024 * 1024
_OVERHEAD = 200  # bytes of Python objects for each entry


def parse_sort(spec: Any) -> list[tuple[str, bool]]:
    """The dotted names and directions of a sort document.

    Raises CommandError(BadValue) for a direction that is not 1 or -1.
    """
    if not isinstance(spec, Mapping):
        raise CommandError(Code.TypeMismatch, "Expected field sort to be of type object")
    found = []
    for path, direction in spec.items():
        if isinstance(direction, Mapping):
            raise CommandError(Code.NotImplemented, "$meta sorts are not supported by the embedded store")
        if not is_number(direction) or direction not in (1, -1):
            raise CommandError(
                Code.Location15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)"
            )
        if not path or path.startswith("$") or ".." in path or path.endswith("."):
            raise CommandError(Code.FieldPathInvalid, f"FieldPath '{path}' is not one to sort by")
        found.append((path, direction < 0))
    return found


def sort_key(spec: SortSpec) -> SortKey:
    """The function that gives a document its place; an array counts as its least (or greatest) element."""
    if len(spec) == 1 and "." not in spec[0][0]:
        return _single_key(*spec[0])
    wanted = [(paths.split(path), descending) for path, descending in spec]

    def key(document: Mapping[str, Any]) -> bytes:
        return b"".join(_component(document, parts, descending) for parts, descending in wanted)

    return key


def _single_key(path: str, descending: bool) -> SortKey:
    parts = (path,)

    def key(document: Mapping[str, Any]) -> bytes:
        value = document.get(path, MISSING)
        if type(value) is list:
            return _component(document, parts, descending)
        found = keys.encode(value)
        return keys.invert(found) if descending else found

    return key


def _component(document: Mapping[str, Any], parts: paths.Parts, descending: bool) -> bytes:
    found = [keys.encode(value) for (value,) in expand(document, [parts])]
    return keys.invert(max(found)) if descending else min(found)


class Sorter:
    """Sorts pairs (key, bytes), stably; beyond some memory with a temporary file.

    With a limit only so many are kept.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._entries: list[tuple[bytes, int, bytes]] = []
        self._number = 0
        self._bytes = 0
        self._file: sqlite3.Connection | None = None

    def add(self, key: bytes, item: bytes) -> None:
        self._number += 1
        self._entries.append((key, self._number, item))
        self._bytes += len(key) + len(item) + _OVERHEAD
        if self._limit and len(self._entries) >= 2 * self._limit + 100:
            self._keep_first()
        if self._bytes > MEMORY_BYTES:
            self._spill()

    def _keep_first(self) -> None:
        self._entries = heapq.nsmallest(self._limit, self._entries)
        self._bytes = sum(len(key) + len(item) + _OVERHEAD for key, _, item in self._entries)

    def _spill(self) -> None:
        if self._file is None:
            # an unnamed database: a temporary file that SQLite deletes
            self._file = sqlite3.connect("", isolation_level=None)
            self._file.execute(
                "CREATE TABLE s (key BLOB, number INTEGER, item BLOB, PRIMARY KEY (key, number))"
                " WITHOUT ROWID"
            )
        self._file.execute("BEGIN")
        self._file.executemany("INSERT INTO s VALUES (?, ?, ?)", self._entries)
        self._file.execute("COMMIT")
        self._entries.clear()
        self._bytes = 0

    def sorted(self) -> Iterator[bytes]:
        """All items in order."""
        if self._file is not None:
            self._spill()
            limit = self._limit or -1
            for (item,) in self._file.execute("SELECT item FROM s ORDER BY key, number LIMIT ?", (limit,)):
                yield item
            self._file.close()
            return
        self._entries.sort()
        found = self._entries[: self._limit] if self._limit else self._entries
        self._entries = []
        for _, _, item in found:
            yield item
