"""Aggregation expressions, with the results of MongoDB's manual."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from hypothesis import given
from hypothesis import strategies as st

from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING
from server.embedded.expressions import compile_expression
from server.embedded.stages import accumulators  # noqa: F401 - registers $sum and its relatives
from tests.support import store_cases

NOON = dt.datetime(2026, 3, 1, 12, 30, 45, 678000)
DOCUMENT = {
    "a": 7, "b": 2, "f": 2.5, "n": None, "s": "Hello", "l": [3, 1, 2], "o": {"x": 1, "y": {"z": 2}},
    "t": NOON,
    "objects": [{"k": 1}, {"k": 2}, 5], "empty": [], "id": ObjectId("65f1a0000000000000000000"),
}  # fmt: skip


def value(spec: Any, document: Any = DOCUMENT) -> Any:
    return compile_expression(spec)(document, {})


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("$a", 7),
        ("$o.y.z", 2),
        ("$objects.k", [1, 2]),
        ("$nothing.at.all", MISSING),
        ("$$ROOT.a", 7),
        ({"x": "$a", "y": "$nothing"}, {"x": 7}),
        (["$a", "$nothing"], [7, None]),
        ({"$literal": "$a"}, "$a"),
        ({"$add": ["$a", "$b", 1]}, 10),
        ({"$add": ["$a", "$nothing"]}, None),
        ({"$add": ["$t", 1000]}, NOON + dt.timedelta(seconds=1)),
        ({"$subtract": ["$t", "$t"]}, Int64(0)),
        ({"$multiply": ["$a", "$f"]}, 17.5),
        ({"$divide": ["$a", "$b"]}, 3.5),
        ({"$mod": [-7, 3]}, -1),
        ({"$abs": -3}, 3),
        ({"$floor": -1.5}, -2.0),
        ({"$round": [2.5]}, 2.0),
        ({"$round": [1234, -2]}, 1200),
        ({"$trunc": [-2.9]}, -2.0),
        ({"$pow": [2, 40]}, Int64(2**40)),
        ({"$sqrt": 16}, 4.0),
        ({"$log": [100, 10]}, 2.0),
        ({"$cmp": ["$a", "$b"]}, 1),
        ({"$eq": ["$nothing", None]}, False),
        ({"$lt": ["$nothing", None]}, True),
        ({"$and": ["$a", {"$gt": ["$b", 1]}]}, True),
        ({"$or": [0, None, "$nothing"]}, False),
        ({"$not": ["$n"]}, True),
        ({"$cond": {"if": "$n", "then": 1, "else": 2}}, 2),
        ({"$ifNull": ["$n", "$nothing", 5]}, 5),
        ({"$switch": {"branches": [{"case": False, "then": 1}], "default": "d"}}, "d"),
        ({"$let": {"vars": {"x": "$a"}, "in": {"$add": ["$$x", 1]}}}, 8),
        ({"$arrayElemAt": ["$l", -1]}, 2),
        ({"$arrayElemAt": ["$l", 9]}, MISSING),
        ({"$first": "$l"}, 3),
        ({"$concatArrays": ["$l", [9]]}, [3, 1, 2, 9]),
        ({"$size": "$l"}, 3),
        ({"$in": [1, "$l"]}, True),
        ({"$indexOfArray": ["$l", 2]}, 2),
        ({"$slice": ["$l", 1, 1]}, [1]),
        ({"$slice": ["$l", -2]}, [1, 2]),
        ({"$range": [0, 10, 4]}, [0, 4, 8]),
        ({"$map": {"input": "$l", "as": "i", "in": {"$multiply": ["$$i", 2]}}}, [6, 2, 4]),
        ({"$filter": {"input": "$l", "cond": {"$gt": ["$$this", 1]}}}, [3, 2]),
        ({"$filter": {"input": "$l", "cond": True, "limit": 2}}, [3, 1]),
        ({"$reduce": {"input": "$l", "initialValue": 0, "in": {"$add": ["$$value", "$$this"]}}}, 6),
        ({"$sortArray": {"input": "$l", "sortBy": -1}}, [3, 2, 1]),
        ({"$zip": {"inputs": [[1, 2], ["a"]], "useLongestLength": True, "defaults": [0, "z"]}},
         [[1, "a"], [2, "z"]]),
        ({"$arrayToObject": [[["a", 1], ["b", 2]]]}, {"a": 1, "b": 2}),
        ({"$objectToArray": {"x": 1}}, [{"k": "x", "v": 1}]),
        ({"$setUnion": [[1, 2], [2.0, 3]]}, [1, 2, 3]),
        ({"$setIntersection": [[1, 2], [2]]}, [2]),
        ({"$setDifference": [[1, 2], [2]]}, [1]),
        ({"$setEquals": [[1, 2], [2, 1, 1]]}, True),
        ({"$setIsSubset": [[1], [1, 2]]}, True),
        ({"$maxN": {"input": "$l", "n": 2}}, [3, 2]),
        ({"$sum": "$l"}, 6),
        ({"$sum": ["$a", "$b"]}, 9),
        ({"$avg": "$l"}, 2.0),
        ({"$max": "$l"}, 3),
        ({"$stdDevPop": [[1, 3]]}, 1.0),
        ({"$mergeObjects": ["$o", {"x": 5}, None]}, {"x": 5, "y": {"z": 2}}),
        ({"$getField": "s"}, "Hello"),
        ({"$setField": {"field": "a.b", "input": {}, "value": 1}}, {"a.b": 1}),
        ({"$unsetField": {"field": "x", "input": {"x": 1, "y": 2}}}, {"y": 2}),
        ({"$concat": ["$s", " ", "world"]}, "Hello world"),
        ({"$concat": ["$s", "$n"]}, None),
        ({"$toUpper": "$s"}, "HELLO"),
        ({"$substrCP": ["häuser", 1, 2]}, "äu"),
        ({"$substrBytes": ["$s", 1, -1]}, "ello"),
        ({"$strLenBytes": "ä"}, 2),
        ({"$split": ["a-b-c", "-"]}, ["a", "b", "c"]),
        ({"$trim": {"input": "  x "}}, "x"),
        ({"$ltrim": {"input": "xxa", "chars": "x"}}, "a"),
        ({"$indexOfCP": ["abcabc", "c", 3]}, 5),
        ({"$replaceAll": {"input": "aXbX", "find": "X", "replacement": "-"}}, "a-b-"),
        ({"$regexMatch": {"input": "$s", "regex": "^h", "options": "i"}}, True),
        ({"$regexFind": {"input": "$s", "regex": Regex("l(.)")}},
         {"match": "ll", "idx": 2, "captures": ["l"]}),
        ({"$type": "$l"}, "array"),
        ({"$type": "$nothing"}, "missing"),
        ({"$toInt": "42"}, 42),
        ({"$toInt": 3.9}, 3),
        ({"$toLong": "$t"}, Int64(1772368245678)),
        ({"$toString": 2.0}, "2"),
        ({"$toString": "$t"}, "2026-03-01T12:30:45.678Z"),
        ({"$toBool": "false"}, True),
        ({"$toDate": "2026-01-02T03:04:05Z"}, dt.datetime(2026, 1, 2, 3, 4, 5)),
        ({"$toDecimal": "1.10"}, Decimal128("1.10")),
        ({"$convert": {"input": "x", "to": "int", "onError": -1}}, -1),
        ({"$year": "$t"}, 2026),
        ({"$dayOfWeek": "$t"}, 1),
        ({"$isoWeek": "$t"}, 9),
        ({"$hour": {"date": "$t", "timezone": "America/Chicago"}}, 6),
        ({"$dateToString": {"date": "$t", "format": "%Y-%m-%d %H:%M:%S.%L"}}, "2026-03-01 12:30:45.678"),
        ({"$dateToString": {"date": "$t", "format": "%H %z", "timezone": "+02:30"}}, "15 +0230"),
        ({"$dateFromString": {"dateString": "02/03/2026", "format": "%d/%m/%Y"}}, dt.datetime(2026, 3, 2)),
        ({"$dateFromParts": {"year": 2026, "month": 14}}, dt.datetime(2027, 2, 1)),
        ({"$dateToParts": {"date": "$t"}}, {"year": 2026, "month": 3, "day": 1, "hour": 12, "minute": 30,
                                            "second": 45, "millisecond": 678}),
        ({"$dateAdd": {"startDate": dt.datetime(2026, 1, 31), "unit": "month", "amount": 1}},
         dt.datetime(2026, 2, 28)),
        ({"$dateDiff": {"startDate": dt.datetime(2026, 1, 31), "endDate": "$t", "unit": "month"}}, Int64(2)),
        ({"$dateTrunc": {"date": "$t", "unit": "hour", "binSize": 6}}, dt.datetime(2026, 3, 1, 12)),
        ({"$bitAnd": [12, 10]}, 8),
        ({"$bsonSize": {}}, 5),
    ],
)  # fmt: skip
def test_value(spec: Any, wanted: Any) -> None:
    found = value(spec)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"$nonsense": 1}, Code.InvalidPipelineOperator),
        ({"$add": ["x", 1]}, Code.TypeMismatch),
        ({"$divide": [1, 0]}, Code.BadValue),
        ({"$size": "x"}, Code.Location17124),
        ({"$toInt": "x"}, Code.ConversionFailure),
        ({"$toInt": 3e10}, Code.ConversionFailure),
        ({"$cond": [1, 2]}, Code.Location16020),
        ({"$cond": {"if": 1}}, Code.FailedToParse),
        ({"$add": 1, "$subtract": 2}, Code.Location15983),
        ({"$year": "x"}, Code.Location16006),
        ("$$nobody", Code.Location17276),
        ("$", Code.FieldPathInvalid),
        ({"$substrCP": ["x", -1, 1]}, Code.Location34455),
        ({"$range": [0, 1, 0]}, Code.Location34449),
        ({"$range": [0, 2**31 - 1]}, Code.QueryExceededMemoryLimitNoDiskUseAllowed),
        ({"$dateToString": {"date": NOON, "format": "%q"}}, Code.Location18536),
    ],
)
def test_refused(spec: Any, code: Code) -> None:
    with pytest.raises(CommandError) as error:
        value(spec)
    assert error.value.code == code


def test_integers_grow_into_longs_and_doubles() -> None:
    assert type(value({"$add": [2**31 - 1, 1]})) is Int64
    assert type(value({"$multiply": [Int64(2), 3]})) is Int64
    assert value({"$add": [2**63 - 1, 1]}) == float(2**63)


@given(store_cases.expressions, store_cases.documents(1))
def test_expressions_leave_the_document_alone(spec: Any, content: list[dict[str, Any]]) -> None:
    before = repr(content)
    with contextlib.suppress(CommandError):
        value(spec, content[0])
    assert repr(content) == before


@given(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)), st.integers(-500, 500),
       st.sampled_from(["day", "week", "hour", "minute", "second"]))  # fmt: skip
def test_date_arithmetic_is_consistent(start: dt.datetime, amount: int, unit: str) -> None:
    start = start.replace(microsecond=0)
    end = value({"$dateAdd": {"startDate": start, "unit": unit, "amount": amount}})
    assert value({"$dateDiff": {"startDate": start, "endDate": end, "unit": unit}}) == amount
    assert value({"$dateSubtract": {"startDate": end, "unit": unit, "amount": amount}}) == start
