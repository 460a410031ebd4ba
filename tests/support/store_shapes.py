"""Documents and filters of every shape that the store takes: nested arrays, all BSON types, rare paths.

Wider than `store_cases`, whose values other servers agree on: these are for comparing the store with itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from bson import Binary, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import strategies as st

Document = dict[str, Any]

INDEXES: Sequence[Document] = tuple(
    {"key": dict(keys), **options}
    for keys, options in [
        ([("a", 1)], {}),
        ([("b", -1)], {}),
        ([("a.x", 1), ("a.y", 1)], {}),
        ([("a", 1), ("a.y", -1)], {}),
        ([("a.x", -1), ("b", 1), ("a.y", 1)], {}),
        ([("b", 1), ("a.x", 1)], {}),
        ([("a.x.y", 1), ("a.x.x", 1)], {}),
        ([("a.0", 1), ("b", 1)], {}),
        ([("c", 1), ("b", -1), ("a", 1)], {}),
        ([("b.x", 1), ("b.y", 1), ("c", 1)], {}),
        ([("a.x", 1)], {"sparse": True}),
        ([("a.0.x", 1)], {"sparse": True}),
        ([("b", 1), ("c", 1)], {"sparse": True}),
        ([("c", 1)], {"partialFilterExpression": {"c": {"$gt": 0}}}),
        ([("c", -1)], {"partialFilterExpression": {"c": {"$gt": False}}}),
        ([("b", 1)], {"partialFilterExpression": {"b": 1}}),
        ([("b", 1)], {"partialFilterExpression": {"b": True}}),
        ([("a", 1)], {"partialFilterExpression": {"b": {"$exists": True}}}),
        ([("a.x", 1)], {"partialFilterExpression": {"a.x": {"$gte": 1}, "c": {"$in": [1, None, "a"]}}}),
    ]
)
PATHS = ("a", "b", "c", "a.x", "a.y", "b.x", "a.0", "a.1", "a.0.x", "a.x.y", "a.x.0", "a.x.x", "b.0.0", "_id")

_scalars = (
    0, 1, 2, 3, -1, 1.0, 2.5, -0.0, 0.0, float("nan"), float("inf"), Int64(1), Int64(2**53 + 1), 2.0**53,
    Decimal128("1"), Decimal128("1.00"), Decimal128("0.1"), 0.1, Decimal128("NaN"), Decimal128("-0"),
    True, False, None, "", "a", "ab", "b", "1", b"", b"a", Binary(b"a", 5), ObjectId("0" * 24),
    dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 2), DatetimeMS(2**60), Timestamp(1, 1),
    Regex("^a"), Regex("^a", "i"), MinKey(), MaxKey(),
)  # fmt: skip
# the plain ones more often, or conditions would hardly ever meet a value
scalars = st.one_of(st.sampled_from(_scalars), st.sampled_from((0, 1, 2, 3, None, True, False, "a", "ab")))
_names = st.sampled_from(["x", "y"])
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=2)),
    max_leaves=6,
)
pairs = st.lists(st.dictionaries(_names, st.integers(0, 3), max_size=2), max_size=3)
fields = st.one_of(scalars, values, pairs, pairs)


def documents(most: int = 8) -> st.SearchStrategy[list[Document]]:
    """Some documents, numbered."""
    one = st.fixed_dictionaries({}, optional={"a": st.one_of(fields, pairs), "b": fields, "c": scalars})
    return st.lists(one, min_size=1, max_size=most).map(
        lambda found: [{"_id": number, **document} for number, document in enumerate(found)]
    )


def _one(names: Sequence[str], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    return st.tuples(st.sampled_from(names), operands).map(lambda pair: {pair[0]: pair[1]})


_operands = st.one_of(st.integers(0, 3), scalars, values)
_comparisons = _one(("$gt", "$gte", "$lt", "$lte", "$eq", "$ne"), _operands)
_lists = st.lists(_operands, max_size=3)
_simple = st.one_of(
    _comparisons,
    _comparisons,
    st.tuples(_comparisons, _comparisons).map(lambda pair: {**pair[0], **pair[1]}),
    _one(("$in", "$nin"), _lists),
    _one(("$exists",), st.sampled_from([True, False, 0, 1])),
    _one(("$size",), st.integers(0, 3)),
    _one(("$type",), st.sampled_from(["number", "array", "object", "null", "bool", "string", 1, 16])),
    _one(("$mod",), st.sampled_from([[2, 0], [2, 1]])),
    _one(("$regex",), st.sampled_from(["^a", "b$", "a|1", "^$"])),
    _one(("$all",), _lists),
)
_elements = st.recursive(
    st.one_of(_simple, st.dictionaries(_names, st.one_of(scalars, _simple), min_size=1, max_size=2)),
    lambda inner: st.one_of(
        _one(("$elemMatch",), inner),
        _names.flatmap(lambda name: inner.map(lambda found: {name: {"$elemMatch": found}})),
    ),
    max_leaves=2,
)
_conditions = st.one_of(
    st.integers(0, 3),
    values,
    _simple,
    _simple,
    _one(("$not",), _simple),
    _one(("$elemMatch",), _elements),
    _one(("$all",), st.lists(_one(("$elemMatch",), _elements), min_size=1, max_size=2)),
)
_flat = st.dictionaries(st.sampled_from(PATHS), _conditions, min_size=1, max_size=3)
_tied = st.fixed_dictionaries({"a.x": st.integers(0, 3), "a.y": st.one_of(st.integers(0, 3), _simple)})
filters: st.SearchStrategy[Document] = st.one_of(
    _flat, _flat, _tied, _one(("$and", "$or", "$nor"), st.lists(_flat, min_size=1, max_size=3)),
    st.tuples(_flat, _one(("$or",), st.lists(_flat, min_size=1, max_size=2))).map(
        lambda pair: {**pair[0], **pair[1]}),
)  # fmt: skip
orders = st.dictionaries(st.sampled_from(["a", "b", "c", "a.x"]), st.sampled_from([1, -1]), max_size=2)


def whole(index: Mapping[str, Any]) -> bool:
    """Has the index every document? (A hint for another one may leave some out.)"""
    return not index.get("sparse") and "partialFilterExpression" not in index


def distinct(indexes: Sequence[Document]) -> list[Document]:
    """Of indexes with equal keys the last one: two may not differ in their filter alone everywhere."""
    return list({tuple(index["key"].items()): index for index in indexes}.values())
