"""Filters on single documents, with the results of MongoDB's manual."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from hypothesis import given
from hypothesis import strategies as st

from server.embedded.documents.errors import Code, CommandError
from server.embedded.query import matching, query
from tests.support import store_cases

DAY = dt.datetime(2026, 1, 1)


def matches(spec: dict[str, Any], document: dict[str, Any]) -> bool:
    return matching.compile_filter(spec)(document)


@pytest.mark.parametrize(
    ("spec", "document", "wanted"),
    [
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": Decimal128("1.5")}, {"a": 1.5}, True),
        ({"a": 1}, {"a": [1, 2]}, True),
        ({"a": [1, 2]}, {"a": [[1, 2], 3]}, True),
        ({"a": [2, 1]}, {"a": [1, 2]}, False),
        ({"a": None}, {}, True),
        ({"a": None}, {"a": []}, False),
        ({"a": None}, {"a": [None]}, True),
        ({"a.b": None}, {"a": [{"b": 1}, {}]}, True),
        ({"a.b": None}, {"a": [1, 2]}, False),
        ({"a.b": 1}, {"a": [[{"b": 1}]]}, False),
        ({"a.0.b": 1}, {"a": [{"b": 1}]}, True),
        ({"a.0": 1}, {"a": {"0": 1}}, True),
        ({"a.01": 1}, {"a": [0, 1]}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, False),
        ({"a": {"$gt": 1}}, {"a": "2"}, False),
        ({"a": {"$gt": 1, "$lt": 3}}, {"a": [0, 5]}, True),
        ({"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}}, {"a": [0, 5]}, False),
        ({"a": {"$lte": None}}, {}, True),
        ({"a": {"$lt": float("nan")}}, {"a": 1}, False),
        ({"a": {"$gte": float("nan")}}, {"a": float("nan")}, True),
        ({"a": {"$lt": 5}}, {"a": float("nan")}, False),
        ({"a": {"$in": [1, None]}}, {}, True),
        ({"a": {"$in": [Regex("^x")]}}, {"a": "xy"}, True),
        ({"a": {"$nin": [1]}}, {"a": [1, 2]}, False),
        ({"a": {"$ne": 1}}, {}, True),
        ({"a": {"$not": {"$gt": 1}}}, {"a": "x"}, True),
        ({"a": {"$not": {"$gt": 1}}}, {"a": [0, 2]}, False),
        ({"a": {"$exists": False}}, {"a": None}, False),
        ({"a.b": {"$exists": False}}, {"a": [{"b": 1}, {}]}, False),
        ({"a": {"$size": 2}}, {"a": [1, 2]}, True),
        ({"a": {"$size": 2}}, {"a": [[1, 2]]}, False),
        ({"a": {"$all": [1, 2]}}, {"a": [2, 1, 3]}, True),
        ({"a": {"$all": []}}, {"a": []}, False),
        ({"a": {"$all": [{"$elemMatch": {"x": 1}}]}}, {"a": [{"x": 1}]}, True),
        ({"a": {"$type": "array"}}, {"a": [1]}, True),
        ({"a": {"$type": "int"}}, {"a": [1]}, True),
        ({"a": {"$type": ["long", "bool"]}}, {"a": Int64(1)}, True),
        ({"a": {"$type": "number"}}, {"a": Decimal128("1")}, True),
        ({"a": {"$mod": [4, 3]}}, {"a": 7.9}, True),
        ({"a": {"$mod": [4, -3]}}, {"a": -7}, True),
        ({"a": {"$bitsAllSet": 6}}, {"a": 7}, True),
        ({"a": {"$bitsAnyClear": [0]}}, {"a": 6}, True),
        ({"a": {"$regex": "^L", "$options": "mi"}}, {"a": "x\nline"}, True),
        ({"a": Regex("b$")}, {"a": ["xa", "xb"]}, True),
        ({"a": {"$regex": r"^\d$"}}, {"a": "٣"}, False),
        ({"$expr": {"$gt": ["$a", "$b"]}}, {"a": 2, "b": 1}, True),
        ({"$nor": [{"a": 1}, {"b": 1}]}, {"a": 2}, True),
        ({"$comment": "x", "a": 1}, {"a": 1}, True),
        ({"a": DAY}, {"a": DAY}, True),
        ({"a": {"$gt": ObjectId("0" * 24)}}, {"a": ObjectId("1" * 24)}, True),
        ({"a": b"x"}, {"a": b"x"}, True),
    ],
)
def test_matches(spec: dict[str, Any], document: dict[str, Any], wanted: bool) -> None:
    assert matches(spec, document) is wanted


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"a": {"$bogus": 1}}, Code.BadValue),
        ({"$bogus": 1}, Code.BadValue),
        ({"a": {"$in": 1}}, Code.BadValue),
        ({"a": {"$in": [{"$gt": 1}]}}, Code.BadValue),
        ({"$and": []}, Code.BadValue),
        ({"a": {"$size": -1}}, Code.BadValue),
        ({"a": {"$mod": [0, 1]}}, Code.BadValue),
        ({"a": {"$regex": "("}}, Code.Location51091),
        ({"a": {"$type": "nonsense"}}, Code.BadValue),
        ({"a": {"$elemMatch": 1}}, Code.BadValue),
        ({"a": {"$options": "i"}}, Code.BadValue),
        ({"$where": "1"}, Code.NotImplemented),
        ({"$text": {"$search": "x"}}, Code.NotImplemented),
        ([], Code.TypeMismatch),
    ],
)
def test_refused(spec: Any, code: Code) -> None:
    with pytest.raises(CommandError) as error:
        matching.compile_filter(spec)
    assert error.value.code == code


@given(store_cases.simple_filters, store_cases.documents(1))
def test_nor_is_the_opposite(spec: dict[str, Any], content: list[dict[str, Any]]) -> None:
    assert matches({"$nor": [spec]}, content[0]) is not matches(spec, content[0])


@given(store_cases.simple_filters, store_cases.simple_filters, store_cases.documents(1))
def test_and_or(one: dict[str, Any], other: dict[str, Any], content: list[dict[str, Any]]) -> None:
    both = [matches(spec, content[0]) for spec in (one, other)]
    assert matches({"$and": [one, other]}, content[0]) is all(both)
    assert matches({"$or": [one, other]}, content[0]) is any(both)


@given(st.lists(store_cases.scalars, max_size=4), store_cases.documents(1))
def test_in_is_one_of_several_equalities(wanted: list[Any], content: list[dict[str, Any]]) -> None:
    for path in ("a", "a.x"):
        one_by_one = any(matches({path: {"$eq": item}}, content[0]) for item in wanted)
        assert matches({path: {"$in": wanted}}, content[0]) is one_by_one


def test_position_of_the_matching_element() -> None:
    document = {"a": [{"k": 1, "v": 5}, {"k": 2, "v": 6}], "b": [1, 2, 3], "c": {"d": [7, 8]}}
    for spec, wanted in [
        ({"a.k": 2}, 1), ({"b": {"$gt": 1}}, 1), ({"c.d": 8}, 1), ({"a": {"$elemMatch": {"v": 5}}}, 0),
        ({"x": 1}, None), ({"$and": [{"b": 3}]}, 2),
    ]:  # fmt: skip
        assert matching.position(query.parse(spec), document) == wanted
