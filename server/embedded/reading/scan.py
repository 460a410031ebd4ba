"""Carrying out a plan: the documents that it finds, in its order.

Rows are read in chunks, each with a query of its own that goes on behind the last row, so that no statement
stays open between them: what others change meanwhile is seen, or not, as in MongoDB. An iterator gives
None now and then: a moment when others may run.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from server.embedded.documents import keys
from server.embedded.documents.values import Document, decode
from server.embedded.indexes.index import POINTS, Index
from server.embedded.indexes.planner import Plan, Range
from server.embedded.storage.catalog import Collection
from server.embedded.storage.views import Row, View

SLICE_SECONDS = 0.004
_CHUNK_BYTES = 1 << 20
_FIRST_CHUNK, _LARGEST_CHUNK = 4, 512
_MANY_POINTS = 4
_LAST_RID = 2**63 - 1

Rows = Iterator[Row]
Match = tuple[int, bytes, Document | None]  # rid, bytes, the document if it was decoded


class Clock:
    """Says when an operation has had its slice of time."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SLICE_SECONDS

    def over(self) -> bool:
        now = time.monotonic()
        if now < self._end:
            return False
        self._end = now + SLICE_SECONDS
        return True


@dataclass(slots=True)
class Statistics:
    """What a scan has looked at, for explain."""

    keys: int = 0
    documents: int = 0


class Position:
    """Lets a cursor that rests have its rows read anew when it goes on."""

    def __init__(self) -> None:
        self.stale = False


Fetch = Callable[[tuple[bytes | None, int] | None, int], Iterator[Row]]


def carry_out(
    view: View,
    collection: Collection,
    plan: Plan,
    expected: int = 0,
    position: Position | None = None,
    statistics: Statistics | None = None,
) -> Iterator[Match | None]:
    """The documents that a plan finds and the filter matches; None is a pause.

    expected: how many the caller is likely to take, 0 for all of them.
    """
    position = position or Position()
    exact, matches, clock = plan.exact, plan.matches, Clock()
    for row in _rows(view, collection, plan, expected, position):
        if clock.over():
            position.stale = True  # the rows that were read ahead
            yield None
        if statistics is not None:
            statistics.keys += row[0] is not None
            statistics.documents += 1
        if exact:
            yield row[1], row[2], None
            continue
        document = decode(row[2])
        if matches(document):
            yield row[1], row[2], document


def _rows(view: View, collection: Collection, plan: Plan, expected: int, position: Position) -> Rows:
    if plan.branches:
        many = (_rows(view, collection, branch, 0, position) for branch in plan.branches)
        return _once(row for rows in many for row in rows)
    if plan.index is None:
        return _all_rows(view, collection, plan.reverse, expected, position)
    if plan.merge:
        return _merged(view, collection, plan, expected, position)
    if plan.points and len(plan.ranges) >= _MANY_POINTS:
        rows = _points(view, collection, plan, position)
    else:
        rows = _ranges(view, collection, plan.index, plan.ranges, plan.reverse, expected, position)
    return _once(rows) if plan.index.multikey else rows


def _once(rows: Rows) -> Rows:
    """Each document once, though several keys lead to it."""
    seen: set[int] = set()
    for row in rows:
        if row[1] not in seen:
            seen.add(row[1])
            yield row


def _ranges(
    view: View, collection: Collection, index: Index, ranges: Sequence[Range],
    reverse: bool, expected: int, position: Position,
) -> Rows:  # fmt: skip
    overlay = view.overlay(collection)
    for low, high in reversed(ranges) if reverse else ranges:
        fetch = _index_fetch(view, index, low, high, reverse)
        rows = _chunks(fetch, expected, position)
        if overlay:
            extra = _overlay_rows(index, overlay, low, high, reverse)
            yield from _with_overlay(rows, overlay, extra, reverse)
        else:
            yield from rows


def _points(view: View, collection: Collection, plan: Plan, position: Position) -> Rows:
    """The rows of many single keys, some of them at a time."""
    index, reverse = plan.index, plan.reverse
    assert index is not None
    overlay = view.overlay(collection)
    found = [low for low, _ in plan.ranges]
    for start in range(0, len(found), POINTS):
        some = found[-start - POINTS : len(found) - start] if reverse else found[start : start + POINTS]
        rows = _chunks(_point_fetch(view, index, some, reverse), len(some), position)
        if overlay:
            wanted = frozenset(some)
            extra = [
                row for row in _overlay_rows(index, overlay, some[0], keys.AFTER, reverse) if row[0] in wanted
            ]
            rows = _with_overlay(rows, overlay, extra, reverse)
        yield from rows


def _point_fetch(view: View, index: Index, some: list[bytes], reverse: bool) -> Fetch:
    sql = index.points_sql[reverse]
    padded = some + some[-1:] * (POINTS - len(some))

    def fetch(after: tuple[bytes | None, int] | None, size: int) -> Iterator[Row]:
        first = (keys.AFTER, 0) if reverse else (b"", 0)
        return iter(view.query(sql, (*padded, *(after or first), size)))

    return fetch


def _index_fetch(view: View, index: Index, low: bytes, high: bytes, reverse: bool) -> Fetch:
    start, go_on = index.scan_sql[2:] if reverse else index.scan_sql[:2]

    def fetch(after: tuple[bytes | None, int] | None, size: int) -> Iterator[Row]:
        if after is None:
            return iter(view.query(start, (low, high, size)))
        if reverse:
            return iter(view.query(go_on, (low, *after, size)))
        return iter(view.query(go_on, (*after, high, size)))

    return fetch


def _all_rows(view: View, collection: Collection, reverse: bool, expected: int, position: Position) -> Rows:
    sql = collection.scan_sql[reverse]

    def fetch(after: tuple[bytes | None, int] | None, size: int) -> Iterator[Row]:
        start = (_LAST_RID if reverse else -1) if after is None else after[1]
        return iter(view.query(sql, (start, size)))

    rows = _chunks(fetch, expected, position)
    overlay = view.overlay(collection)
    if not overlay:
        return rows
    extra: list[Row] = [(None, rid, raw) for rid, raw in overlay.items() if raw is not None]
    extra.sort(key=itemgetter(1), reverse=reverse)
    return _with_overlay(rows, overlay, extra, reverse)


def _chunks(fetch: Fetch, expected: int, position: Position) -> Rows:
    """All rows of a range, some at a time."""
    size = expected or _FIRST_CHUNK
    after: tuple[bytes | None, int] | None = None
    while True:
        chunk, cut = _take(fetch(after, size), size)
        for row in chunk:
            after = row[0], row[1]
            yield row
            if position.stale:
                break
        else:
            if not cut:
                return
        position.stale = False
        size = min(size * 4, _LARGEST_CHUNK)


def _take(rows: Iterator[Row], most: int) -> tuple[list[Row], bool]:
    """The rows, but no more than some megabytes of them; and whether there may be more."""
    found, size = [], 0
    for row in rows:
        found.append(row)
        size += len(row[2])
        if size >= _CHUNK_BYTES:
            return found, True
    return found, len(found) == most


def _overlay_rows(
    index: Index, overlay: dict[int, bytes | None], low: bytes, high: bytes, reverse: bool
) -> list[Row]:
    """A transaction's own documents within a range."""
    found: list[Row] = []
    for rid, raw in overlay.items():
        if raw is not None:
            found += ((key, rid, raw) for key in index.keys(decode(raw)) if low <= key < high)
    found.sort(key=itemgetter(0, 1), reverse=reverse)
    return found


def _with_overlay(rows: Rows, overlay: dict[int, bytes | None], extra: list[Row], reverse: bool) -> Rows:
    """The stored rows, of which some are hidden, and a transaction's own, in order."""
    waiting = list(reversed(extra))
    hidden = set(overlay)
    for row in rows:
        while waiting and (
            _place(waiting[-1]) > _place(row) if reverse else _place(waiting[-1]) < _place(row)
        ):
            yield waiting.pop()
        if row[1] not in hidden:
            yield row
    yield from reversed(waiting)


def _place(row: Row) -> tuple[bytes, int]:
    return row[0] or b"", row[1]


def _merged(view: View, collection: Collection, plan: Plan, expected: int, position: Position) -> Rows:
    """The rows of several groups of ranges, ordered by what their keys have behind the group's prefix."""
    index = plan.index
    assert index is not None
    streams = [
        _suffixed(
            length, _ranges(view, collection, index, ranges, plan.reverse, expected, position), plan.reverse
        )
        for length, ranges in plan.merge
    ]
    for _, row in heapq.merge(*streams, key=itemgetter(0)):
        yield row


def _suffixed(length: int, rows: Rows, reverse: bool) -> Iterator[tuple[tuple[bytes, int], Row]]:
    for row in rows:
        assert row[0] is not None
        suffix = row[0][length:]
        yield ((keys.invert(suffix) + keys.AFTER, -row[1]) if reverse else (suffix, row[1])), row
