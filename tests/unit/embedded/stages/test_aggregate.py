"""Pipelines on a store without network."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.embedded.documents.errors import Code, CommandError
from tests.support import store_cases
from tests.unit.embedded.conftest import LocalStore

TASKS = [
    {"_id": i, "name": name, "status": status, "hours": hours}
    for i, (name, status, hours) in enumerate([
        ("gen", "complete", 1.0), ("gen", "complete", 3), ("det", "waiting", None), ("det", "complete", 10),
        ("gen", "failed", 2.5),
    ])
]  # fmt: skip


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [
        ([{"$group": {"_id": "$name", "n": {"$count": {}}}}],
         [{"_id": "gen", "n": 3}, {"_id": "det", "n": 2}]),
        ([{"$group": {"_id": None, "sum": {"$sum": "$hours"}, "avg": {"$avg": "$hours"}}}],
         [{"_id": None, "sum": 16.5, "avg": 4.125}]),
        ([{"$group": {"_id": None, "top": {"$top": {"sortBy": {"hours": -1}, "output": "$_id"}},
                      "two": {"$bottomN": {"n": 2, "sortBy": {"hours": -1}, "output": "$_id"}}}}],
         [{"_id": None, "top": 3, "two": [2, 0]}]),
        ([{"$group": {"_id": None, "n": {"$minN": {"input": "$hours", "n": 2}}}}],
         [{"_id": None, "n": [1.0, 2.5]}]),
        ([{"$match": {"name": "none"}}, {"$count": "n"}], []),
        ([{"$sort": {"hours": -1}}, {"$limit": 1}, {"$project": {"hours": 1}}], [{"_id": 3, "hours": 10}]),
        ([{"$bucketAuto": {"groupBy": "$_id", "buckets": 2}}],
         [{"_id": {"min": 0, "max": 3}, "count": 3}, {"_id": {"min": 3, "max": 4}, "count": 2}]),
        ([{"$facet": {"a": [{"$count": "n"}], "b": [{"$match": {"_id": 9}}]}}], [{"a": [{"n": 5}], "b": []}]),
        ([{"$match": {"_id": 0}}, {"$set": {"x.y": "$name", "hours": "$$REMOVE"}}],
         [{"_id": 0, "name": "gen", "status": "complete", "x": {"y": "gen"}}]),
        ([{"$match": {"_id": 0}}, {"$replaceWith": {"n": "$name"}}], [{"n": "gen"}]),
        ([{"$unionWith": {"coll": "c", "pipeline": [{"$match": {"_id": 1}}]}}, {"$count": "n"}], [{"n": 6}]),
        ([{"$documents": [{"a": 1}]}, {"$project": {"a": 1}}], [{"a": 1}]),
        ([{"$match": {"_id": {"$lt": 2}}}, {"$lookup": {
            "from": "c", "let": {"s": "$status"}, "as": "same",
            "pipeline": [{"$match": {"$expr": {"$eq": ["$status", "$$s"]}}}, {"$project": {"_id": 1}}]}},
          {"$project": {"same": 1}}],
         [{"_id": i, "same": [{"_id": 0}, {"_id": 1}, {"_id": 3}]} for i in (0, 1)]),
        ([{"$match": {"_id": 0}}, {"$graphLookup": {
            "from": "c", "startWith": 1, "connectFromField": "_id", "connectToField": "_id", "as": "g",
            "depthField": "d"}},
          {"$project": {"g._id": 1, "g.d": 1}}], [{"_id": 0, "g": [{"_id": 1, "d": 0}]}]),
    ],
)  # fmt: skip
def test_pipeline(local: LocalStore, stages: list[Any], wanted: list[Any]) -> None:
    local.insert(*TASKS)
    assert local.aggregate(*stages) == wanted


@pytest.mark.parametrize(
    ("stages", "code"),
    [
        ([{"$nonsense": 1}], Code.Location40324),
        ([{"$match": {}, "$limit": 1}], Code.Location40323),
        ([{"$limit": 0}], Code.Location15957),
        ([{"$group": {"n": {"$sum": 1}}}], Code.Location15955),
        ([{"$group": {"_id": 1, "n": {"$nonsense": 1}}}], Code.Location15952),
        ([{"$project": {"a": 1, "b": 0}}], Code.Location31254),
        ([{"$out": "x"}, {"$match": {}}], Code.Location40601),
        ([{"$unwind": "a"}], Code.Location28818),
        ([{"$geoNear": {}}], Code.NotImplemented),
        ([{"$merge": {"into": "x", "on": "not_unique"}}], Code.Location51183),
        ([{"$facet": {"a": [{"$out": "x"}]}}], Code.Location40601),
    ],
)
def test_refused(local: LocalStore, stages: list[Any], code: Code) -> None:
    local.insert(*TASKS)
    with pytest.raises(CommandError) as error:
        local.aggregate(*stages)
    assert error.value.code == code


@pytest.mark.parametrize("matched", ["replace", "keepExisting", "merge", [{"$set": {"n": "$$new.n"}}]])
def test_merge(local: LocalStore, matched: Any) -> None:
    local.insert({"_id": 1, "n": 1}, {"_id": 2, "n": 2})
    local.command({"insert": "target", "documents": [{"_id": 1, "n": 0, "old": True}]})
    local.aggregate({"$merge": {"into": "target", "whenMatched": matched}})
    wanted = {
        "replace": {"_id": 1, "n": 1}, "keepExisting": {"_id": 1, "n": 0, "old": True},
    }.get(str(matched), {"_id": 1, "n": 1, "old": True})  # fmt: skip
    found = local.command({"find": "target", "sort": {"_id": 1}})["cursor"]["firstBatch"]
    assert found == [wanted, {"_id": 2, "n": 2}]


def test_out_replaces_and_keeps_indexes(local: LocalStore) -> None:
    local.insert(*TASKS)
    local.command({"createIndexes": "target", "indexes": [{"key": {"name": 1}, "name": "by_name"}]})
    local.command({"insert": "target", "documents": [{"_id": "old"}]})
    local.aggregate({"$match": {"name": "gen"}}, {"$out": "target"})
    assert local.command({"count": "target"})["n"] == 3
    names = [index["name"] for index in local.command({"listIndexes": "target"})["cursor"]["firstBatch"]]
    assert names == ["_id_", "by_name"]


_field = st.sampled_from([None, 1, 1.0, 2, "a", "b", True])
_rows = st.lists(st.fixed_dictionaries({}, optional={"s": _field, "n": _field}), max_size=30)
_counting = [
    [{"$group": {"_id": "$s", "n": {"$sum": 1}}}],
    [{"$group": {"_id": {"s": "$s", "n": "$n"}, "k": {"$sum": 2}}}],
    [{"$match": {"s": "a"}}, {"$group": {"_id": "$n", "n": {"$count": {}}}}],
    [{"$match": {"s": {"$in": ["a", 1]}, "n": {"$gte": 1}}}, {"$group": {"_id": None, "n": {"$sum": 1}}}],
    [{"$match": {"s": "a"}}, {"$count": "n"}],
    [{"$group": {"_id": 1, "n": {"$sum": 1}}}],
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(_rows)
def test_counts_from_an_index_are_those_from_documents(local: LocalStore, rows: list[dict[str, Any]]) -> None:
    local.command({"dropDatabase": 1})
    content = [{"_id": i, **row} for i, row in enumerate(rows * 5)]
    for name in ("indexed", "plain"):
        local.command({"create": name})
        if content:
            local.command({"insert": name, "documents": content})
    for keys in ({"s": 1, "n": -1}, {"n": 1}):
        local.command({"createIndexes": "indexed", "indexes": [{"key": keys, "name": str(keys)}]})

    def canonical(name: str, stages: Any) -> Any:
        reply = local.command({"aggregate": name, "pipeline": stages, "cursor": {}})
        return store_cases.unordered(reply["cursor"]["firstBatch"], store_cases.by_value)

    for stages in _counting:
        assert canonical("indexed", stages) == canonical("plain", stages)
    for query in ({}, {"s": "a"}, {"s": None}, {"n": {"$gt": 0}}, {"s": {"$ne": "a"}}):
        both = [local.command({"count": name, "query": query})["n"] for name in ("indexed", "plain")]
        assert both[0] == both[1]
        distinct = [
            local.command({"distinct": name, "key": "s", "query": query})["values"]
            for name in ("indexed", "plain")
        ]
        assert distinct[0] == distinct[1]


def test_sums_keep_their_type(local: LocalStore) -> None:
    local.insert({"a": 1, "b": Int64(1), "c": 2**31 - 1}, {"a": 2, "b": 1, "c": 1})
    (found,) = local.aggregate({"$group": {"_id": None, **{k: {"$sum": f"${k}"} for k in "abc"}}})
    assert [type(found[k]) for k in "abc"] == [int, Int64, Int64]


def test_compensated_sum(local: LocalStore) -> None:
    local.insert(*({"x": x} for x in [1e16, 1.0, -1e16, 1.0]))
    assert local.aggregate({"$group": {"_id": None, "s": {"$sum": "$x"}}}) == [{"_id": None, "s": 2.0}]
