"""Random documents, filters, updates and pipelines, to compare two document databases with each other."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from typing import Any

from bson import Int64, ObjectId
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError

Documents = Collection[dict[str, Any]]
Case = tuple[str, Callable[[Documents], Any]]

INDEXES: Sequence[Any] = (
    "a", [("b", -1)], [("a", 1), ("b", 1)], [("b", 1), ("a", -1), ("c", 1)], "a.x", [("c", 1), ("a.x", -1)],
)  # fmt: skip
FIELDS = ("a", "b", "c")
PATHS = ("a", "b", "c", "a.x", "a.y", "b.x", "a.0", "b.1", "a.x.y", "a.0.x")

numbers = st.sampled_from([0, 1, 2, 3, -1, 1.0, 1.5, 2.5, Int64(2), Int64(2**40), -0.0])
texts = st.sampled_from(["", "a", "b", "ab", "A", "1", "é"])
dates = st.sampled_from([dt.datetime(2026, 1, day) for day in (1, 2, 3)])
scalars = st.one_of(
    numbers, texts, dates, st.none(), st.booleans(),
    st.sampled_from([ObjectId("0" * 24), ObjectId("1" * 24)]),
)  # fmt: skip
objects = st.dictionaries(st.sampled_from(["x", "y"]), scalars, max_size=2)
arrays = st.lists(st.one_of(scalars, objects), max_size=3)
values = st.one_of(scalars, scalars, objects, arrays, st.lists(scalars, max_size=3))


_plain = st.dictionaries(st.sampled_from(FIELDS), st.one_of(scalars, objects), max_size=3)
_with_array = st.tuples(
    _plain, st.sampled_from(FIELDS), st.one_of(arrays, st.lists(scalars, max_size=3))
).map(lambda parts: {**parts[0], parts[1]: parts[2]})


def _numbered(
    fields: st.SearchStrategy[dict[str, Any]], most: int
) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(fields, min_size=1, max_size=most).map(
        lambda found: [{"_id": number, **fields} for number, fields in enumerate(found)]
    )


def documents(most: int = 12) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Some documents with numbers for _id; at most one field is an array (no index has two of them)."""
    return _numbered(st.one_of(_plain, _with_array), most)


def plain_documents(most: int = 12) -> st.SearchStrategy[list[dict[str, Any]]]:
    """The same without arrays."""
    return _numbered(_plain, most)


def _operator(names: Sequence[str], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(st.sampled_from(names), operands).map(lambda pair: {pair[0]: pair[1]})


comparisons = _operator(("$gt", "$gte", "$lt", "$lte"), st.one_of(numbers, texts, dates))
memberships = _operator(("$in", "$nin"), st.lists(scalars, max_size=3))
conditions = st.one_of(
    scalars,
    values,
    comparisons,
    memberships,
    _operator(("$ne", "$eq"), values),
    _operator(("$exists",), st.booleans()),
    _operator(("$size",), st.integers(0, 3)),
    _operator(("$all",), st.lists(scalars, min_size=1, max_size=2)),
    _operator(
        ("$type",), st.sampled_from(["string", "number", "null", "object", "array", "bool", "date", "int"])
    ),
    _operator(("$mod",), st.sampled_from([[2, 0], [2, 1], [3, 1]])),
    _operator(("$not",), st.one_of(comparisons, memberships)),
    _operator(("$regex",), st.sampled_from(["^a", "b$", "A", "^ab"])),
    _operator(
        ("$elemMatch",), st.one_of(comparisons, st.dictionaries(st.sampled_from("xy"), scalars, min_size=1))
    ),
    st.tuples(comparisons, comparisons).map(lambda pair: {**pair[0], **pair[1]}),
)


def _is_bare_operator(condition: Any) -> bool:
    return isinstance(condition, dict) and any(name.startswith("$") for name in condition)


simple_filters = st.dictionaries(st.sampled_from(PATHS), conditions, min_size=1, max_size=2)
filters = st.one_of(
    simple_filters,
    simple_filters,
    _operator(("$and", "$or", "$nor"), st.lists(simple_filters, min_size=1, max_size=2)),
)

orders = st.lists(st.tuples(st.sampled_from(["a", "b", "a.x"]), st.sampled_from([1, -1])), min_size=1,
                  max_size=2,
                  unique_by=lambda pair: pair[0])  # fmt: skip
_NAMES = (["a", "b", "c"], ["a.x", "b", "c.y"])
inclusions = st.one_of(
    *(st.dictionaries(st.sampled_from(names), st.just(1), min_size=1, max_size=2) for names in _NAMES)
)
exclusions = st.one_of(
    *(st.dictionaries(st.sampled_from(names), st.just(0), min_size=1, max_size=2) for names in _NAMES)
)
projections = st.one_of(inclusions, exclusions)

_update_paths = st.sampled_from(["a", "b", "c", "a.x", "b.x", "a.0", "b.1", "d", "d.e"])


def _updates(name: str, operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(_update_paths, operands).map(lambda pair: {name: {pair[0]: pair[1]}})


def _each(least: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(scalars, min_size=least, max_size=2).map(lambda found: {"$each": found})


updates = st.one_of(
    _updates("$set", values),
    _updates("$unset", st.just("")),
    _updates("$inc", numbers.filter(bool)),
    _updates("$mul", numbers),
    _updates("$min", scalars),
    _updates("$max", scalars),
    _updates("$push", values),
    _updates("$push", _each(1)),
    _updates("$push", st.tuples(_each(1), st.sampled_from([-2, 1, 2]), st.sampled_from([1, -1])).map(
        lambda parts: {**parts[0], "$slice": parts[1], "$sort": parts[2]})),
    _updates("$addToSet", st.one_of(scalars, _each(1))),
    _updates("$pop", st.sampled_from([1, -1])),
    _updates("$pull", st.one_of(scalars, comparisons, objects)),
    _updates("$pullAll", st.lists(scalars, max_size=2)),
    _updates("$rename", st.sampled_from(["r", "s.t"])),
    _updates("$bit", st.sampled_from([{"and": 3}, {"or": 4}, {"xor": 1}])),
    st.tuples(values, numbers).map(lambda pair: {"$set": {"a": pair[0]}, "$inc": {"c": pair[1]}}),
)  # fmt: skip

_operands = st.one_of(st.sampled_from(["$a", "$b", "$c", "$a.x", "$missing"]), numbers)
expressions = st.one_of(
    _operands,
    _operator(("$add", "$multiply", "$subtract"), st.lists(_operands, min_size=2, max_size=2)),
    _operator(
        ("$eq", "$ne", "$gt", "$lte", "$cmp"), st.lists(st.one_of(_operands, scalars), min_size=2, max_size=2)
    ),
    _operator(("$ifNull",), st.lists(_operands, min_size=2, max_size=2)),
    _operator(("$type", "$isArray", "$not"), _operands),
    st.tuples(_operands, _operands, _operands).map(lambda parts: {"$cond": list(parts)}),
    st.tuples(_operands, _operands).map(lambda parts: {"$and": list(parts)}),
)
_accumulators = st.one_of(
    _operator(("$sum", "$min", "$max", "$avg"), st.sampled_from(["$a", "$b", "$c", "$a.x"])),
    st.just({"$sum": 1}),
)
stages = st.one_of(
    filters.map(lambda spec: {"$match": spec}),
    st.tuples(st.sampled_from(["$a", "$b", "$c", None]), _accumulators).map(
        lambda parts: {"$group": {"_id": parts[0], "v": parts[1]}}
    ),
    inclusions.map(lambda spec: {"$project": spec}),
    st.tuples(st.sampled_from(["a", "d", "d.e"]), expressions).map(
        lambda parts: {"$addFields": {parts[0]: parts[1]}}),
    st.booleans().map(lambda keep: {"$unwind": {"path": "$a", "preserveNullAndEmptyArrays": keep}}),
    st.just({"$sortByCount": "$a"}),
)  # fmt: skip
# at the end only, for DocumentDB merges them with their neighbours wrongly
_last_stages = st.one_of(
    st.just([]),
    st.just([{"$count": "n"}]),
    exclusions.map(lambda spec: [{"$project": spec}]),
    st.sampled_from(["a", "b", ["a", "c"]]).map(lambda names: [{"$unset": names}]),
)
pipelines = st.tuples(st.lists(stages, min_size=1, max_size=3), _last_stages).map(
    lambda parts: parts[0] + parts[1]
)


def canonical(value: Any) -> Any:
    """Equal, and ordered, exactly where two BSON values are the same."""
    if isinstance(value, dict):
        return "object", tuple((name, canonical(item)) for name, item in value.items())
    if isinstance(value, list):
        return "array", tuple(map(canonical, value))
    if isinstance(value, float):
        return "double", f"{value:.12g}"
    return type(value).__name__.replace("Int64", "int"), repr(value)


def by_value(value: Any) -> Any:
    """The same, but for numbers: of 1 and 1.0 in one group either may stand for both."""
    if isinstance(value, dict):
        return "object", tuple((name, by_value(item)) for name, item in value.items())
    if isinstance(value, list):
        return "array", tuple(map(by_value, value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", f"{float(value):.12g}".replace("-0", "0") if value == 0 else f"{float(value):.12g}"
    return canonical(value)


def unordered(found: Any, form: Callable[[Any], Any] = canonical) -> list[Any]:
    """Documents as a multiset."""
    return sorted(map(form, found), key=repr)


class Refused(str):
    """An error; equal to any other, for engines number and word them differently."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused)

    def __ne__(self, other: object) -> bool:
        return not self == other


class Unknown:
    """An outcome that tells nothing: the server crashed over the question, or has limits of its own."""


_CRASHED = (
    "connection was closed", "terminating connection", "server closed the connection", "recovery mode",
    "invalid pointer", "invalid memory alloc", "not supported yet", "parallel arrays",
    "Can't have RegEx as arg",
    "Invalid array index path",
    "value of non-numeric type",
)  # fmt: skip


def outcome(function: Callable[[Documents], Any], collection: Documents) -> Any:
    """What a function gives on a collection, errors included."""
    try:
        return function(collection)
    except PyMongoError as error:
        if any(text in str(error) for text in _CRASHED):
            return Unknown()
        return Refused(error)


def differences(left: Documents, right: Documents, cases: Sequence[Case]) -> list[str]:
    """The cases whose outcomes differ, described."""
    found = []
    for name, function in cases:
        one, other = outcome(function, left), outcome(function, right)
        if one != other and not isinstance(one, Unknown) and not isinstance(other, Unknown):
            found.append(
                f"{name}\n  {left.database.client.address}: {one}\n  {right.database.client.address}: {other}"
            )
    return found


def patiently(todo: Callable[[], Any]) -> Any:
    """Do it, though the server may have to recover first from what crashed it."""
    for pause in (0.1, 1, 5, 10):
        try:
            return todo()
        except PyMongoError as error:
            if not any(text in str(error) for text in _CRASHED):
                raise
            time.sleep(pause)
    return todo()


def fill(collection: Documents, content: Sequence[dict[str, Any]]) -> None:
    """Make these the documents of the collection."""

    def once() -> None:
        collection.delete_many({})
        collection.insert_many([dict(document) for document in content])

    patiently(once)


def accepted(collection: Documents, content: Sequence[dict[str, Any]]) -> list[int]:
    """The numbers of the documents that the collection takes (not: two arrays in fields of one index)."""

    def once() -> list[int]:
        collection.delete_many({})
        try:
            result = collection.insert_many([dict(document) for document in content], ordered=False)
            return list(result.inserted_ids)
        except BulkWriteError as error:
            refused = {entry["index"] for entry in (error.details or {})["writeErrors"]}
            return [document["_id"] for i, document in enumerate(content) if i not in refused]

    return patiently(once)


def has_empty_array(value: Any) -> bool:
    """Is there a [] in it? (Sorted before null by MongoDB, but not by every server.)"""
    if isinstance(value, dict):
        return any(map(has_empty_array, value.values()))
    return isinstance(value, list) and (not value or any(map(has_empty_array, value)))


def has_empty_all(spec: Any) -> bool:
    """Is there an {$all: []} in a filter?"""
    if isinstance(spec, dict):
        return any((name == "$all" and item == []) or has_empty_all(item) for name, item in spec.items())
    return isinstance(spec, list) and any(map(has_empty_all, spec))


def query_cases(spec: Any, order: Any, projection: Any, sortable: bool = True) -> list[Case]:
    """Reading with a filter."""
    order = order if sortable else []
    return [
        (f"find {spec}", lambda c: sorted(d["_id"] for d in c.find(spec))),
        (f"count {spec}", lambda c: c.count_documents(spec)),
        (
            f"sort {spec} {order}",
            lambda c: [d["_id"] for d in c.find(spec).sort([*order, ("_id", 1)]).limit(4)],
        ),
        (f"project {spec} {projection}", lambda c: unordered(c.find(spec, projection))),
        (f"distinct a {spec}", lambda c: unordered(c.distinct("a", spec), by_value)),
    ]


def writing_cases(spec: Any) -> list[Case]:
    """Changing what a filter matches."""

    def seen(collection: Documents) -> Any:
        changed = collection.update_many(spec, {"$set": {"seen": True}}).matched_count
        return changed, sorted(d["_id"] for d in collection.find({"seen": True}))

    def taken(collection: Documents) -> Any:
        found = collection.find_one_and_update(spec, {"$inc": {"taken": 1}}, sort=[("_id", -1)])
        return found and found["_id"]

    def deleted(collection: Documents) -> Any:
        return collection.delete_many(spec).deleted_count, unordered(collection.find())

    return [(f"{name} {spec}", case) for name, case in
            [("findAndModify", taken), ("update", seen), ("delete", deleted)]]


def update_case(spec: Any, update: Any, many: bool) -> Case:
    """Changing what a filter matches, and all documents after that."""

    def apply(collection: Documents) -> Any:
        if many:
            result = collection.update_many(spec, update)
            counts: Any = (result.matched_count, result.modified_count)
        else:
            counts = canonical(
                collection.find_one_and_update(spec, update, sort=[("_id", 1)], return_document=True)
            )
        return counts, unordered(collection.find())

    return f"{'update_many' if many else 'find_one_and_update'} {spec} {update}", apply


def pipeline_case(pipeline: Any) -> Case:
    """An aggregation. DocumentDB's $count gives 0 where MongoDB's gives nothing."""

    def apply(collection: Documents) -> Any:
        try:
            return unordered((d for d in collection.aggregate(pipeline) if d != {"n": 0}), by_value)
        except PyMongoError:
            return Unknown()  # which documents are computed at all is up to the engine

    return f"aggregate {pipeline}", apply
