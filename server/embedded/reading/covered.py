"""Answers that an index alone can give: how many documents match, how many of each value there are.

A walk from one value to the next of the index's first fields ("loose index scan") counts the keys between
them. It pays when values are shared by several documents; a walk that finds this not to be so gives up.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from server.embedded.documents import keys
from server.embedded.documents.values import MISSING, Document, decode
from server.embedded.expressions import Expression, compile_expression
from server.embedded.expressions.numbers import integer
from server.embedded.indexes import planner
from server.embedded.indexes.index import Index
from server.embedded.indexes.planner import Plan, Range
from server.embedded.query import query
from server.embedded.reading.scan import Clock
from server.embedded.storage.catalog import Collection
from server.embedded.storage.views import View

_COUNTED_AT_ONCE = 20_000
_TRIED_VALUES = 100
_LEAST_SHARED = 4  # documents of a value, on average

Pauses = Generator[None, None, Any]


@dataclass(slots=True)
class GroupCount:
    """A $group that only counts: what by, and how much each document counts in each field."""

    identity: Expression
    paths: tuple[str, ...]
    plain: bool  # the _id is one field, for which null and missing are the same
    weights: dict[str, int]


def best_index(view: View, collection: Collection, tree: query.Every, paths: Iterable[str]) -> Plan | None:
    """The plan of an index that has all conditions and fields, without looking at documents."""
    if view.transaction is not None:
        return None
    needed, wanted = list(planner.conditions(tree)), set(paths)
    found = []
    for index in collection.indexes.values():
        if index.ready and not index.multikey and wanted <= {path for path, _ in index.fields}:
            plan = planner.index_plan(index, needed) if planner.complete(index, needed) else None
            if plan is not None and plan.exact:
                found.append(plan)
    return min(found, key=lambda plan: (_depth(plan.index, wanted), len(plan.ranges)), default=None)


def _depth(index: Index | None, paths: Iterable[str]) -> int:
    """How many of the index's fields have to be looked at."""
    assert index is not None
    names = [path for path, _ in index.fields]
    return max((names.index(path) + 1 for path in paths), default=0)


def count(view: View, collection: Collection, tree: query.Every) -> Pauses:
    """How many documents match; None when no index tells."""
    if not list(planner.conditions(tree)):
        return view.count(collection)
    plan = best_index(view, collection, tree, ())
    if plan is None or plan.index is None:
        return None
    total, clock = 0, Clock()
    for interval in plan.ranges:
        total += yield from _count_range(view, plan.index, interval, clock)
    return total


def _count_range(view: View, index: Index, interval: Range, clock: Clock) -> Pauses:
    total = 0
    low, high = interval
    after: tuple[bytes, int] = (low, -1)
    ahead = (
        f"SELECT key, rid FROM {index.table} WHERE (key, rid) > (?, ?) AND key < ?"
        f" ORDER BY key, rid LIMIT 1 OFFSET {_COUNTED_AT_ONCE - 1}"
    )
    while True:
        row = next(iter(view.query(ahead, (*after, high))), None)
        if row is None:
            break
        total, after = total + _COUNTED_AT_ONCE, row
        if clock.over():
            yield None
    rest = f"SELECT count(*) FROM {index.table} WHERE (key, rid) > (?, ?) AND key < ?"
    return total + sum(number for (number,) in view.query(rest, (*after, high)))


def parse_group(spec: Any) -> GroupCount | None:
    """The counting that a $group is, if it is no more than that."""
    if not isinstance(spec, Mapping) or "_id" not in spec:
        return None
    weights = {}
    for name, accumulator in spec.items():
        if name != "_id":
            weight = _weight(accumulator)
            if weight is None:
                return None
            weights[name] = weight
    paths = _identity_paths(spec["_id"])
    if paths is None:
        return None
    plain = not isinstance(spec["_id"], Mapping)
    return GroupCount(compile_expression(spec["_id"]), paths, plain, weights)


def _weight(accumulator: Any) -> int | None:
    if accumulator == {"$count": {}}:
        return 1
    if (
        isinstance(accumulator, Mapping)
        and list(accumulator) == ["$sum"]
        and type(accumulator["$sum"]) is int
    ):
        return accumulator["$sum"]
    return None


def _identity_paths(identity: Any) -> tuple[str, ...] | None:
    """The fields that the _id is made of; None when it is computed otherwise."""
    if isinstance(identity, str) and identity.startswith("$"):
        return None if identity.startswith("$$") else (identity[1:],)
    if isinstance(identity, Mapping):
        if any(name.startswith("$") for name in identity):
            return None
        inner = [_identity_paths(value) for value in identity.values()]
        if any(item is None or len(item) != 1 for item in inner):
            return None
        return tuple(path for item in inner if item for path in item)
    return None if isinstance(identity, list) else ()


def group(view: View, collection: Collection, tree: query.Every, grouping: GroupCount) -> Pauses:
    """The documents that a counting $group gives; None when no index gives them, or none does it faster."""
    if not grouping.paths:
        total = yield from count(view, collection, tree)
        return None if total is None else _results({b"": (grouping.identity({}, {}), total)}, grouping)
    plan = best_index(view, collection, tree, grouping.paths)
    if plan is None or plan.index is None:
        return None
    groups: dict[bytes, tuple[Any, int]] = {}
    for found in _values(view, collection, plan.index, plan.ranges, _depth(plan.index, grouping.paths)):
        if found is None:
            yield None
            continue
        document, number, has_null = found
        if document is None or (has_null and not grouping.plain):
            return None
        identity = grouping.identity(document, {})
        identity = None if identity is MISSING else identity
        key = keys.encode(identity)
        groups[key] = (groups[key][0] if key in groups else identity, number + groups.get(key, (None, 0))[1])
    return _results(groups, grouping)


def _results(groups: Mapping[bytes, tuple[Any, int]], grouping: GroupCount) -> list[Document]:
    return [
        {"_id": identity, **{name: integer(number * weight) for name, weight in grouping.weights.items()}}
        for identity, number in groups.values() if number
    ]  # fmt: skip


Value = tuple[
    Document | None, int, bool
]  # a document that has it (None: give up), how many, is null among it


def _values(
    view: View, collection: Collection, index: Index, ranges: Iterable[Range], depth: int
) -> Iterator[Value | None]:
    """Each combination of values of the index's first fields; None is a pause."""
    first = f"SELECT key, rid FROM {index.table} WHERE key >= ? AND key < ? ORDER BY key, rid LIMIT 1"
    clock, tried, total = Clock(), 0, 0
    for low, high in ranges:
        at = low
        while (row := next(iter(view.query(first, (at, high))), None)) is not None:
            prefix, has_null = _prefix(index, row[0], depth)
            stop = prefix + keys.AFTER
            number = yield from _count_range(view, index, (at, min(stop, high)), clock)
            tried, total = tried + 1, total + number
            if tried == _TRIED_VALUES and total < _LEAST_SHARED * tried:
                yield None, 0, False
                return
            raw = view.get(collection, row[1])
            yield decode(raw) if raw is not None else None, number, has_null
            at = stop
            if clock.over():
                yield None


def _prefix(index: Index, key: bytes, depth: int) -> tuple[bytes, bool]:
    """The part of a key that is of the first fields, and whether one of these is null or missing."""
    end, has_null = 0, False
    for _, descending in index.fields[:depth]:
        start, end = end, keys.component_end(key, end, descending)
        component = keys.invert(key[start:end]) if descending else key[start:end]
        has_null |= component == keys.NULL_KEY
    return key[:end], has_null


def distinct(view: View, collection: Collection, tree: query.Every, path: str) -> Pauses:
    """The documents of which each has another value of the field; None when no index gives them."""
    plan = best_index(view, collection, tree, (path,))
    if plan is None or plan.index is None:
        return None
    documents = []
    for found in _values(view, collection, plan.index, plan.ranges, _depth(plan.index, (path,))):
        if found is None:
            yield None
            continue
        document, _, has_null = found
        if document is None or has_null:
            return None  # a null may hide behind a missing one
        documents.append(document)
    return documents
