"""Which index is chosen, and what of it is walked."""

from __future__ import annotations

from typing import Any

import pytest

from server.embedded.documents.errors import Code, CommandError
from tests.unit.embedded.conftest import LocalStore


@pytest.fixture
def tasks(local: LocalStore) -> LocalStore:
    local.index({"task_id": 1}, unique=True)
    local.index({"status": 1, "priority": -1})
    local.index({"dataset": 1, "status": 1, "job": 1})
    local.index({"site": 1}, sparse=True)
    local.index({"owner": 1}, partialFilterExpression={"owner": {"$gt": ""}})
    local.index({"tags": 1})
    local.insert(*(
        {"_id": i, "task_id": f"t{i}", "status": ["waiting", "done"][i % 2], "priority": i,
         "dataset": f"d{i % 5}",
         "job": i // 5, "tags": [i, i + 1]}
        for i in range(200)
    ))  # fmt: skip
    return local


@pytest.mark.parametrize(
    ("spec", "sort", "index"),
    [
        ({"task_id": "t5", "status": "waiting"}, {}, "task_id_1"),
        ({"status": "waiting"}, {"priority": -1}, "status_1_priority_-1"),
        ({"status": "waiting"}, {"priority": 1}, "status_1_priority_-1"),
        ({"status": {"$in": ["waiting", "done"]}}, {"priority": -1}, "status_1_priority_-1"),
        ({"dataset": "d1", "status": "done"}, {"job": 1}, "dataset_1_status_1_job_1"),
        ({"dataset": "d1"}, {}, "dataset_1_status_1_job_1"),
        ({"task_id": {"$regex": "^t1"}}, {}, "task_id_1"),
        ({"task_id": {"$gte": "t1", "$lt": "t2"}}, {}, "task_id_1"),
        ({"_id": {"$in": [1, 2]}}, {}, "_id_"),
        ({}, {"task_id": 1}, "task_id_1"),
        ({"site": "x"}, {}, "site_1"),
        ({"owner": "me"}, {}, "owner_1"),
        ({"owner": {"$gte": "a"}}, {}, "owner_1"),
        ({"tags": 5}, {}, "tags_1"),
        ({"$and": [{"status": "waiting"}, {"task_id": "t1"}]}, {}, "task_id_1"),
        # these must not use the index that seems to fit
        ({"site": None}, {}, None),
        ({"site": {"$ne": "x"}}, {}, None),
        ({}, {"site": 1}, None),
        ({"owner": {"$gte": ""}}, {}, None),
        ({"owner": None}, {}, None),
        ({"job": 3}, {}, None),
        ({}, {"tags": 1}, None),
        ({"$or": [{"status": "waiting"}, {"job": 1}]}, {}, None),
        ({"task_id": {"$regex": "^t1", "$options": "i"}}, {}, "task_id_1"),
    ],
)
def test_choice(tasks: LocalStore, spec: Any, sort: Any, index: str | None) -> None:
    found = tasks.explain(spec, sort=sort)
    assert found.get("indexName") == index
    assert found["stage"] == ("COLLSCAN" if index is None else found["stage"])


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("number", [10, 199, 200, 450, 900])
def test_many_values_of_a_unique_index_rather_than_unknown_many(local: LocalStore, number: int,
                                                                order: int) -> None:
    for index in [{"status": 1, "class": 1}, {"task_id": 1}][::order]:
        local.index(index, unique="task_id" in index)
    local.insert(*({"_id": i, "task_id": f"t{i}", "status": "b", "class": i % 3} for i in range(1500)))
    wanted = {"task_id": {"$in": [f"t{i}" for i in range(number)]}, "status": {"$in": ["a", "b"]}}
    assert local.explain(wanted)["indexName"] == "task_id_1"


def test_union_of_indexes(tasks: LocalStore) -> None:
    found = tasks.explain({"$or": [{"task_id": "t1"}, {"status": "waiting", "priority": {"$lt": 5}}]})
    assert [stage["indexName"] for stage in found["inputStages"]] == ["task_id_1", "status_1_priority_-1"]


def test_walk_stops_early(tasks: LocalStore) -> None:
    command = {"find": "c", "filter": {"status": "waiting"}, "sort": {"priority": -1}, "limit": 3}
    statistics = tasks.command({"explain": command})["executionStats"]
    assert (statistics["nReturned"], statistics["totalDocsExamined"]) == (3, 3)


def test_hint(tasks: LocalStore) -> None:
    assert tasks.explain({"status": "waiting"}, hint="task_id_1")["indexName"] == "task_id_1"
    assert tasks.explain({"status": "waiting"}, hint={"$natural": 1})["stage"] == "COLLSCAN"
    assert len(tasks.find({"status": "waiting"}, hint={"task_id": 1})) == 100
    with pytest.raises(CommandError) as error:
        tasks.find({}, hint="nonsense")
    assert error.value.code == Code.BadValue


def test_multikey_bounds_are_not_intersected(tasks: LocalStore) -> None:
    """[3, 4] matches {$gt: 3, $lt: 4}, by different elements."""
    assert [d["_id"] for d in tasks.find({"tags": {"$gt": 3, "$lt": 4}})] == [3]


def test_null_keys_of_arrays_without_the_field(local: LocalStore) -> None:
    """a.b of {a: [1]} has the key null, and yet is not equal to null."""
    local.index({"a.b": 1})
    local.insert({"_id": 1, "a": [1]}, {"_id": 2, "a": {"b": None}}, {"_id": 3, "a": {"b": 5}}, {"_id": 4})
    for spec, wanted in [
        ({"a.b": {"$ne": None}}, [1, 3]), ({"a.b": {"$nin": [None, 7]}}, [1, 3]), ({"a.b": None}, [2, 4]),
        ({"a.b": {"$exists": False}}, [1, 4]), ({"a.b": {"$not": {"$eq": 5}}}, [1, 2, 4]),
    ]:  # fmt: skip
        assert [d["_id"] for d in local.find(spec, hint="a.b_1", sort={"_id": 1})] == wanted


def test_skewed_values_decide_between_indexes(local: LocalStore) -> None:
    local.index({"common": 1})
    local.index({"rare": 1})
    local.insert(*({"common": 1, "rare": i} for i in range(500)))
    assert local.explain({"common": 1, "rare": 7})["indexName"] == "rare_1"
