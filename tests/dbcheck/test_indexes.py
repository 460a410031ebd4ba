"""Indexes: uniqueness, names, expiry."""

import datetime as dt
import time

import pytest
from pymongo.errors import DuplicateKeyError, OperationFailure


@pytest.mark.iceprod
def test_unique_named(c):
    n = c.create_index("task_id", unique=True, name="task_id_index")
    assert n == "task_id_index"
    c.insert_one({"task_id": "a"})
    with pytest.raises(DuplicateKeyError) as error:
        c.insert_one({"task_id": "a"})
    e = error.value
    assert e.code == 11000
    assert c.count_documents({}) == 1


@pytest.mark.feature("duplicate_details")
def test_dup_details(c):
    c.create_index("u", unique=True)
    c.insert_one({"u": 1})
    with pytest.raises(DuplicateKeyError) as error:
        c.insert_one({"u": 1})
    e = error.value
    assert (e.details or {}).get("keyValue") == {"u": 1}


def test_unique_on_update(c):
    c.create_index("u", unique=True)
    c.insert_many([{"_id": 1, "u": 1}, {"_id": 2, "u": 2}])
    with pytest.raises(DuplicateKeyError):
        c.update_one({"_id": 1}, {"$set": {"u": 2}})
    assert c.find_one({"_id": 1})["u"] == 1


def test_compound_unique(c):
    c.create_index([("d", 1), ("j", -1)], unique=True, name="dj")
    c.insert_many([{"d": 1, "j": 1}, {"d": 1, "j": 2}])
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"d": 1, "j": 2})
    assert c.index_information()["dj"]["key"] == [("d", 1), ("j", -1)]


def test_unique_dotted(c):
    c.create_index("a.b", unique=True)
    c.insert_one({"a": {"b": 1}})
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"a": {"b": 1}})


def test_unique_type_distinct(c):
    c.create_index("u", unique=True)
    c.insert_many([{"u": 1}, {"u": "1"}, {"u": True}])
    assert c.count_documents({}) == 3
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"u": 1.0})


def test_unique_datetime(c):
    c.create_index("t", unique=True)
    c.insert_one({"t": dt.datetime(2026, 1, 1)})
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"t": dt.datetime(2026, 1, 1)})


def test_unique_missing_is_null(c):
    c.create_index("u", unique=True)
    c.insert_one({"a": 1})
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"a": 2})


def test_unique_sparse(c):
    c.create_index("u", unique=True, sparse=True)
    c.insert_many([{"a": 1}, {"a": 2}, {"u": 5}])
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"u": 5})


def test_unique_partial(c):
    c.create_index("u", unique=True, partialFilterExpression={"active": True})
    c.insert_many([{"u": 1, "active": False}, {"u": 1, "active": False}, {"u": 1, "active": True}])
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"u": 1, "active": True})


def test_unique_on_dups_fails(c):
    c.insert_many([{"u": 1}, {"u": 1}])
    with pytest.raises(OperationFailure):
        c.create_index("u", unique=True)


def test_unique_multikey(c):
    c.create_index("l", unique=True)
    c.insert_one({"l": [1, 2]})
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"l": [2, 3]})


@pytest.mark.iceprod
def test_information_iceprod(c):
    """exactly what Mongo.create_indexes relies on"""
    names = {
        "task_id_index": {"keys": "task_id", "unique": True},
        "dataset_id_index": {"keys": "dataset_id", "unique": False},
        "priority_index": {"keys": [("status", 1), ("priority", -1)], "unique": False},
    }
    for _ in range(2):
        ex = c.index_information()
        for n, kw in names.items():
            if n not in ex:
                c.create_index(name=n, **kw)
    ii = c.index_information()
    assert sorted(ii) == ["_id_", "dataset_id_index", "priority_index", "task_id_index"]
    assert ii["priority_index"]["key"] == [("status", 1), ("priority", -1)]
    assert ii["task_id_index"].get("unique") is True
    assert not ii["priority_index"].get("unique")


@pytest.mark.iceprod
def test_restart_keeps_unique(c):
    """IceProd's Mongo.create_indexes run 2 and 3 times (server restarts)"""
    want = {
        "task_id_index": {"keys": "task_id", "unique": True},
        "priority_index": {"keys": [("status", 1), ("priority", -1)]},
    }
    for k in range(2):
        ex = c.index_information()
        for n, kw in want.items():
            if n not in ex:
                c.create_index(name=n, **kw)
        for n in ex:
            if not n.startswith("_") and n not in want:
                c.drop_index(n)
    c.insert_one({"task_id": 1})
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"task_id": 1})


@pytest.mark.iceprod
def test_drop_by_name(c):
    c.create_index("a", unique=True, name="foo")
    c.drop_index("foo")
    c.insert_many([{"a": 1}, {"a": 1}])
    assert "foo" not in c.index_information()


def test_drop_missing_errors(c):
    c.insert_one({"a": 1})
    with pytest.raises(OperationFailure):
        c.drop_index("nope")


@pytest.mark.iceprod
def test_same_name_two_collections(c):
    d = c.database["other_" + c.name]
    d.drop()
    c.create_index("dataset_id", name="dataset_id_index", unique=True)
    d.create_index("dataset_id", name="dataset_id_index")
    d.insert_many([{"dataset_id": 1}, {"dataset_id": 1}])
    c.insert_one({"dataset_id": 1})
    with pytest.raises(DuplicateKeyError):
        c.insert_one({"dataset_id": 1})
    assert "dataset_id_index" in d.index_information()
    d.drop_index("dataset_id_index")
    assert "dataset_id_index" in c.index_information()


def test_idempotent_and_conflict(c):
    c.create_index("a", name="x")
    c.create_index("a", name="x")
    with pytest.raises(OperationFailure):
        c.create_index("b", name="x")


def test_survives_drop_collection(c):
    c.create_index("a", unique=True, name="x")
    c.insert_one({"a": 1})
    c.drop()
    assert [k for k in c.index_information() if k != "_id_"] == []
    c.insert_many([{"a": 1}, {"a": 1}])


def test_ttl_info(c):
    c.create_index("t", expireAfterSeconds=3600, name="ttl")
    assert c.index_information()["ttl"].get("expireAfterSeconds") == 3600


def test_ttl_expires(c):
    """MongoDB looks once a minute."""
    c.create_index("t", expireAfterSeconds=1)
    now = dt.datetime.now(dt.UTC)
    c.insert_many([{"t": now - dt.timedelta(hours=1)}, {"t": now + dt.timedelta(hours=1)}])
    deadline = time.monotonic() + 240
    while c.count_documents({}) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.5)
