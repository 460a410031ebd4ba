"""Updates of single documents."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from bson import Decimal128, Int64
from hypothesis import given

from server.embedded.documents.errors import Code, CommandError
from server.embedded.query import query
from server.embedded.query.update import compile_update
from tests.support import store_cases


def updated(document: dict[str, Any], spec: Any, filters: list[Any] | None = None, where: Any = None) -> Any:
    update = compile_update(spec, filters or [])
    return update.apply(copy.deepcopy(document), query.parse(where or {}))


@pytest.mark.parametrize(
    ("document", "spec", "wanted"),
    [
        ({"a": 1}, {"$set": {"b.c.d": 2}}, {"a": 1, "b": {"c": {"d": 2}}}),
        ({"a": [1]}, {"$set": {"a.3": 4}}, {"a": [1, None, None, 4]}),
        ({"a": [{"x": 1}]}, {"$set": {"a.0.y": 2}}, {"a": [{"x": 1, "y": 2}]}),
        ({"a": {"b": 1, "c": 2}}, {"$unset": {"a.b": ""}}, {"a": {"c": 2}}),
        ({"a": [1, 2]}, {"$unset": {"a.0": ""}}, {"a": [None, 2]}),
        ({"a": 1}, {"$inc": {"a": 1.5}}, {"a": 2.5}),
        ({"a": 2**31 - 1}, {"$inc": {"a": 1}}, {"a": Int64(2**31)}),
        ({}, {"$mul": {"a": 3}}, {"a": 0}),
        ({"a": Decimal128("1.5")}, {"$inc": {"a": 1}}, {"a": Decimal128("2.5")}),
        ({"a": 5}, {"$min": {"a": 3}}, {"a": 3}),
        ({"a": 5}, {"$max": {"a": "x"}}, {"a": "x"}),
        ({"a": {"b": 1}}, {"$rename": {"a.b": "c.d"}}, {"a": {}, "c": {"d": 1}}),
        ({"a": 1}, {"$rename": {"x": "y"}}, {"a": 1}),
        ({"a": [1, 2, 3]}, {"$push": {"a": {"$each": [9], "$position": -1}}}, {"a": [1, 2, 9, 3]}),
        (
            {"a": [{"k": 2}, {"k": 1}]},
            {"$push": {"a": {"$each": [], "$sort": {"k": 1}}}},
            {"a": [{"k": 1}, {"k": 2}]},
        ),
        ({"a": [1]}, {"$addToSet": {"a": {"$each": [1.0, 2, 2]}}}, {"a": [1, 2]}),
        ({"a": [1, 2, 3]}, {"$pop": {"a": 1}}, {"a": [1, 2]}),
        ({"a": [1, 2, [2]]}, {"$pull": {"a": 2}}, {"a": [1, [2]]}),
        ({"a": [{"k": 1, "v": 2}, {"k": 1}]}, {"$pull": {"a": {"k": 1, "v": 2}}}, {"a": [{"k": 1}]}),
        ({"a": [1, 2, 3]}, {"$pullAll": {"a": [1, 3.0]}}, {"a": [2]}),
        ({"a": 13}, {"$bit": {"a": {"and": 10}}}, {"a": 8}),
        ({"_id": 1, "a": 1}, {"b": 2}, {"_id": 1, "b": 2}),
        ({"a": [1, 5, 9]}, {"$inc": {"a.$[]": 1}}, {"a": [2, 6, 10]}),
    ],
)
def test_updated(document: Any, spec: Any, wanted: Any) -> None:
    found = updated(document, spec)
    assert found == wanted
    assert list(found) == list(wanted)


def test_array_filters() -> None:
    document = {"a": [{"k": 1, "v": [1, 2]}, {"k": 2, "v": [3]}]}
    found = updated(document, {"$set": {"a.$[e].v.$[n]": 0}}, [{"e.k": 1}, {"n": {"$gt": 1}}])
    assert found == {"a": [{"k": 1, "v": [1, 0]}, {"k": 2, "v": [3]}]}


def test_positional() -> None:
    document = {"a": [{"k": 1}, {"k": 2}]}
    assert updated(document, {"$set": {"a.$.v": 9}}, where={"a.k": 2}) == {"a": [{"k": 1}, {"k": 2, "v": 9}]}


def test_types_of_sums() -> None:
    assert type(updated({"a": 1}, {"$inc": {"a": Int64(1)}})["a"]) is Int64
    assert type(updated({"a": 1}, {"$inc": {"a": 1}})["a"]) is int
    assert type(updated({"a": 1}, {"$inc": {"a": 1.0}})["a"]) is float


@pytest.mark.parametrize(
    ("document", "spec", "code"),
    [
        ({"a": "x"}, {"$inc": {"a": 1}}, Code.TypeMismatch),
        ({"a": 1}, {"$inc": {"a": "x"}}, Code.TypeMismatch),
        ({"a": 2**63 - 1}, {"$inc": {"a": Int64(1)}}, Code.BadValue),
        ({"a": 1}, {"$set": {"a.b": 1}}, Code.PathNotViable),
        ({"a": [1]}, {"$set": {"a.b": 1}}, Code.PathNotViable),
        ({"a": 1}, {"$push": {"a": 1}}, Code.BadValue),
        ({"a": 1}, {"$set": {"a": 1, "a.b": 2}}, Code.ConflictingUpdateOperators),
        ({"a": 1}, {"$set": {"b": 1}, "$inc": {"b": 1}}, Code.ConflictingUpdateOperators),
        ({"a": 1}, {"$bogus": {"a": 1}}, Code.FailedToParse),
        ({"a": 1}, {"$set": {"a.": 1}}, Code.EmptyFieldName),
        ({"_id": 1}, {"$set": {"_id": 2}}, Code.ImmutableField),
        ({"_id": 1}, {"$unset": {"_id": 1}}, Code.ImmutableField),
        ({"_id": 1}, {"_id": 2}, Code.ImmutableField),
        ({"a": [1]}, {"$set": {"a.$": 1}}, Code.BadValue),
        ({"a": [1]}, {"$set": {"a.$[x]": 1}}, Code.BadValue),
        ({"a": 1}, {"$set": {"a": 1}, "b": 1}, Code.FailedToParse),
        ({"a": 1}, {"b": 1, "$set": {"a": 1}}, Code.DollarPrefixedFieldName),
        ({"a": 1}, {"$pop": {"a.b": 1}}, Code.PathNotViable),
    ],
)
def test_refused(document: Any, spec: Any, code: Code) -> None:
    with pytest.raises(CommandError) as error:
        updated(document, spec)
    assert error.value.code == code


def test_upsert_takes_the_filters_equalities() -> None:
    update = compile_update({"$set": {"v": 1}, "$setOnInsert": {"w": 2}})
    found = update.for_upsert(query.parse({"_id": 5, "a.b": 1, "c": {"$gt": 3}, "$and": [{"d": {"$eq": 4}}]}))
    assert found == {"_id": 5, "a": {"b": 1}, "d": 4, "v": 1, "w": 2}


@given(store_cases.documents(1), store_cases.updates)
def test_what_is_set_is_a_copy(content: list[Any], spec: dict[str, Any]) -> None:
    """One update serves many documents: none may get hold of its operands."""
    before = copy.deepcopy(spec)
    update = compile_update(spec)
    for _ in range(2):
        try:
            update.apply(copy.deepcopy(content[0]), query.parse({}))
        except CommandError:
            return
        assert spec == before
