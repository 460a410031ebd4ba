"""Bounds of an index hold all that matches, in both directions; exact ones hold no more."""

from __future__ import annotations

import datetime as dt
from typing import Any

from bson import Binary, DatetimeMS, Decimal128, MaxKey, MinKey, ObjectId, Regex
from hypothesis import given, settings
from hypothesis import strategies as st

from server.embedded.documents import keys
from server.embedded.documents.errors import CommandError
from server.embedded.documents.values import MISSING
from server.embedded.indexes import bounds, planner
from server.embedded.indexes.index import ArrayKeys, Index
from server.embedded.query import matching, query
from tests.support import store_cases

values = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3), st.floats(), st.sampled_from([0.0, 1.0, 1.5]),
    st.sampled_from([Decimal128("1.5"), Decimal128("9E6000"), Decimal128("NaN")]),
    st.text(max_size=3), st.text(alphabet="ab\0\1\U0010ffff", max_size=4), st.binary(max_size=3),
    st.builds(Binary, st.binary(max_size=2), st.sampled_from([0, 255])), st.none(), st.booleans(),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.sampled_from([ObjectId("0" * 24), ObjectId("f" * 24)]),
    st.datetimes(dt.datetime(1, 1, 1)), st.integers(-(2**63), 2**63 - 1).map(DatetimeMS),
    st.sampled_from([MinKey(), MaxKey(), Regex("^a"), {}, {"a": 1}, {"a": None}]), st.just(MISSING),
)  # fmt: skip
operands = values.filter(lambda value: value is not MISSING)
comparable = operands.filter(lambda value: not isinstance(value, Regex))
conditions = st.one_of(
    comparable.map(lambda operand: {"$eq": operand}),
    comparable.map(lambda operand: {"$ne": operand}),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), comparable).map(lambda pair: dict([pair])),
    st.lists(comparable, max_size=3).map(lambda items: {"$in": items}),
    st.lists(comparable, max_size=3).map(lambda items: {"$nin": items}),
    st.booleans().map(lambda flag: {"$exists": flag}),
    st.text(alphabet=r"ab^.\*?|(){1}", max_size=5).map(lambda text: {"$regex": "^" + text}),
    st.sampled_from([{"$type": "string"}, {"$mod": [2, 0]}, {"$size": 1}]),
)


def within(found: bounds.Bounds, value: Any, descending: bool) -> bool:
    key = keys.encode(value)
    key = keys.invert(key) if descending else key
    ranges = [bounds.directed(interval, descending) for interval in found.intervals]
    return any(low <= key < high for low, high in ranges)


@settings(max_examples=300)
@given(conditions, st.lists(values, min_size=1, max_size=8), st.booleans())
def test_bounds_of_one_condition(condition: dict[str, Any], found: list[Any], descending: bool) -> None:
    try:
        (node,) = planned = tuple(query.parse({"f": condition}).children)
        matches = matching.compile_node(query.Every(planned))
    except CommandError:
        return
    limits = bounds.of_predicate(node, sparse=False)
    for value in [*found, *_operands_of(condition)]:
        inside = within(limits, value, descending)
        if matches({} if value is MISSING else {"f": value}):
            assert inside
        elif limits.exact:
            assert not inside


def _operands_of(condition: dict[str, Any]) -> list[Any]:
    ((name, operand),) = condition.items()
    if name in ("$in", "$nin"):
        return operand
    return [operand] if name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte") else ["", "a", "ab", "b"]


@settings(max_examples=150)
@given(conditions, conditions, st.lists(values, min_size=1, max_size=8), st.booleans())
def test_bounds_of_two_conditions(
    one: dict[str, Any], other: dict[str, Any], found: list[Any], descending: bool
) -> None:
    try:
        nodes = [query.parse({"f": condition}).children[0] for condition in (one, other)]
        matches = matching.compile_node(query.Every(tuple(nodes)))
    except CommandError:
        return
    limits = bounds.intersect(*(bounds.of_predicate(node, sparse=False) for node in nodes))
    for value in [*found, *_operands_of(one), *_operands_of(other)]:
        inside = within(limits, value, descending)
        if matches({} if value is MISSING else {"f": value}):
            assert inside
        elif limits.exact:
            assert not inside


@settings(max_examples=150)
@given(conditions, st.lists(values, min_size=1, max_size=8))
def test_a_sparse_index_is_bounded_only_when_it_has_all_that_matches(
    condition: dict[str, Any], found: list[Any]
) -> None:
    try:
        (node,) = query.parse({"f": condition}).children
        matches = matching.compile_node(node)
    except CommandError:
        return
    limits = bounds.of_predicate(node, sparse=True)
    if limits != bounds.ANYTHING:
        assert not matches({})
        for value in found:
            assert value is MISSING or not matches({"f": value}) or within(limits, value, False)


_paths = st.sampled_from(["a", "b", "a.x", "a.0", "a.0.x", "b.x"])
_patterns = st.dictionaries(_paths, st.sampled_from([1, -1]), min_size=1, max_size=3)


@settings(max_examples=300)
@given(
    _patterns,
    store_cases.documents(3),
    st.one_of(store_cases.simple_filters, store_cases.filters),
    st.booleans(),
)
def test_ranges_of_a_plan_hold_all_that_matches(
    pattern: dict[str, int], content: list[dict[str, Any]], spec: dict[str, Any], sparse: bool
) -> None:
    """For any index and filter, arrays included: what matches has a key in the ranges."""
    index = Index(1, 1, {"key": pattern, "name": "i", "sparse": sparse})
    try:
        found = [(document, index.keys(document)) for document in content]
        tree = query.parse(spec)
        matches = matching.compile_node(tree)
    except CommandError:
        return
    index.multikey |= any(type(entry) is ArrayKeys for _, entry in found)
    needed = list(planner.conditions(tree))
    if not planner.complete(index, needed):
        return
    plan = planner.index_plan(index, needed)
    if not plan.covered_fields and sparse:
        return
    for document, entry in found:
        inside = any(low <= key < high for key in entry for low, high in plan.ranges)
        if matches(document):
            assert inside
        elif plan.exact:
            assert not inside
