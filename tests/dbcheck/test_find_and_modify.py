"""find_one_and_update and its relatives."""

import datetime as dt

import pytest
from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, OperationFailure

from .helpers import without_id


@pytest.mark.iceprod
def test_sort_after_proj(c):
    c.insert_many([{"_id": i, "status": "waiting" if i % 2 else "x", "priority": i / 10} for i in range(10)])
    r = c.find_one_and_update(
        {"status": "waiting"},
        {"$set": {"status": "queued", "owner": "me"}},
        sort=[("priority", -1)],
        projection={"_id": False},
        return_document=ReturnDocument.AFTER,
    )
    assert r == {"status": "queued", "priority": 0.9, "owner": "me"}
    assert c.find_one({"owner": "me"}) == {"_id": 9, "status": "queued", "priority": 0.9, "owner": "me"}
    assert c.count_documents({"status": "waiting"}) == 4


@pytest.mark.iceprod
def test_sort_ties_and_multi(c):
    c.insert_many(
        [
            {"_id": 1, "p": 5, "a": 2, "t": dt.datetime(2026, 1, 2)},
            {"_id": 2, "p": 5, "a": 1, "t": dt.datetime(2026, 1, 3)},
            {"_id": 3, "p": 5, "a": 1, "t": dt.datetime(2026, 1, 1)},
        ]
    )
    r = c.find_one_and_update(
        {"p": 5}, {"$inc": {"a": 10}}, sort=[("p", -1), ("a", 1), ("t", 1)], return_document=True
    )
    assert r["_id"] == 3
    assert r["a"] == 11


@pytest.mark.iceprod
def test_before(c):
    c.insert_one({"_id": 1, "a": 1})
    assert c.find_one_and_update({}, {"$set": {"a": 2}}) == {"_id": 1, "a": 1}
    assert c.find_one({})["a"] == 2


@pytest.mark.iceprod
def test_none(c):
    assert c.find_one_and_update({"a": 5}, {"$set": {"a": 2}}, return_document=True) is None
    c.insert_one({"a": 1})
    assert c.find_one_and_update({"a": 5}, {"$set": {"a": 2}}) is None


def test_upsert_after(c):
    r = c.find_one_and_update({"_id": "k"}, {"$inc": {"n": 1}}, upsert=True, return_document=True)
    assert r == {"_id": "k", "n": 1}


def test_upsert_before_none(c):
    r = c.find_one_and_update({"_id": "k"}, {"$inc": {"n": 1}}, upsert=True)
    assert r is None
    assert c.find_one({}) == {"_id": "k", "n": 1}


@pytest.mark.iceprod
def test_error_is_raised_dup(c):
    c.create_index("u", unique=True)
    c.insert_many([{"_id": 1, "u": 1}, {"_id": 2, "u": 2}])
    with pytest.raises(DuplicateKeyError):
        c.find_one_and_update({"_id": 1}, {"$set": {"u": 2}})


def test_error_is_raised_badop(c):
    c.insert_one({"_id": 1, "a": "x"})
    with pytest.raises(OperationFailure):
        c.find_one_and_update({"_id": 1}, {"$inc": {"a": 1}})


@pytest.mark.iceprod
def test_delete(c):
    c.insert_many([{"a": 1}, {"a": 2}])
    assert without_id([c.find_one_and_delete({"a": 2})]) == [{"a": 2}]


@pytest.mark.iceprod
def test_set_datetime_queue(c):
    """AsyncMongoQueue.pop()"""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    c.insert_one({"status": "queued", "priority": 1, "attempts": 0, "created_at": now, "locked_at": None})
    r = c.find_one_and_update(
        {"$or": [{"status": "queued"}, {"status": "processing", "locked_at": {"$lt": now}}]},
        {"$set": {"status": "processing", "locked_at": now, "worker_id": "w"}, "$inc": {"attempts": 1}},
        sort=[("priority", -1), ("attempts", 1), ("created_at", 1)],
        projection={"_id": False},
        return_document=ReturnDocument.AFTER,
    )
    assert r["locked_at"] == now.replace(tzinfo=None)
    assert r["attempts"] == 1
    assert c.count_documents({"locked_at": {"$lte": now}}) == 1


def test_delete_replace(c):
    c.insert_many([{"a": 1}, {"a": 2}])
    assert without_id([c.find_one_and_delete({}, sort=[("a", -1)])]) == [{"a": 2}]
    assert without_id([c.find_one_and_replace({"a": 1}, {"b": 1}, return_document=True)]) == [{"b": 1}]
    assert without_id(list(c.find({}))) == [{"b": 1}]


def test_replace_int_id(c):
    c.insert_one({"_id": 1, "a": 1})
    assert c.find_one_and_replace({"_id": 1}, {"b": 1}, return_document=True) == {"_id": 1, "b": 1}


def test_array_result_types(c):
    t = dt.datetime(2026, 1, 1)
    c.insert_one({"_id": 1, "t": t, "o": ObjectId("0" * 24), "f": 1.0})
    r = c.find_one_and_update({"t": {"$lte": t}}, {"$set": {"t2": t}}, return_document=True)
    assert r == {"_id": 1, "t": t, "o": ObjectId("0" * 24), "f": 1.0, "t2": t}
    assert type(r["f"]) is float
