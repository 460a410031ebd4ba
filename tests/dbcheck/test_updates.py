"""Updates, upserts, replacing, bulk writes, deleting."""

import datetime as dt

import pytest
from bson import ObjectId
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from .helpers import assert_same, ids, seed, without_id


@pytest.mark.iceprod
def test_set_counts(c):
    seed(c)
    r = c.update_one({"_id": 1}, {"$set": {"s": "x"}})
    assert (r.matched_count, r.modified_count) == (1, 1)


@pytest.mark.iceprod
def test_noop_modified_0(c):
    seed(c)
    r = c.update_one({"_id": 1}, {"$set": {"s": "waiting"}})
    assert (r.matched_count, r.modified_count) == (1, 0)
    r = c.update_many({}, {"$set": {"s": "waiting"}})
    assert (r.matched_count, r.modified_count) == (5, 3)


@pytest.mark.iceprod
def test_set_dotted(c):
    seed(c)
    c.update_one({"_id": 5}, {"$set": {"r.q.w": 1}})
    assert c.find_one({"_id": 5})["r"] == {"q": {"w": 1}}
    c.update_one({"_id": 1}, {"$set": {"r.gpu": 3}})
    assert c.find_one({"_id": 1})["r"] == {"gpu": 3, "mem": 1.5}


def test_set_types(c):
    v = {
        "d": dt.datetime(2026, 5, 5),
        "b": b"abc",
        "o": ObjectId(),
        "f": 2.0,
        "n": None,
        "t": True,
        "l": [1, {"a": dt.datetime(2020, 1, 1)}],
        "e": {},
    }
    c.insert_one({"_id": 1})
    c.update_one({"_id": 1}, {"$set": v})
    g = c.find_one({"_id": 1})
    g.pop("_id")
    assert g == v
    assert type(g["f"]) is float
    assert type(g["t"]) is bool


def test_set_array_index(c):
    seed(c)
    c.update_one({"_id": 1}, {"$set": {"tags.1": "Z"}})
    assert c.find_one({"_id": 1})["tags"] == ["a", "Z"]


def test_inc(c):
    c.insert_one({"_id": 1, "a": 1})
    c.update_one({"_id": 1}, {"$inc": {"a": 2, "b": 1.5, "c.d": -1}})
    assert c.find_one({}) == {"_id": 1, "a": 3, "b": 1.5, "c": {"d": -1}}


def test_inc_int64(c):
    c.insert_one({"_id": 1, "a": 2**53})
    c.update_one({"_id": 1}, {"$inc": {"a": 1}})
    assert_same(int(c.find_one({})["a"]), 2**53 + 1)


def test_inc_float_keeps_float(c):
    c.insert_one({"_id": 1, "a": 1.0})
    c.update_one({"_id": 1}, {"$inc": {"a": 1.0}})
    assert_same(c.find_one({})["a"], 2.0)


def test_inc_on_string_errors(c):
    c.insert_one({"_id": 1, "a": "x"})
    with pytest.raises(OperationFailure):
        c.update_one({"_id": 1}, {"$inc": {"a": 1}})
    assert c.find_one({})["a"] == "x"


def test_max_min_mul(c):
    c.insert_one({"_id": 1, "a": 5, "b": 5, "m": 2})
    c.update_one({"_id": 1}, {"$max": {"a": 9, "r.x": 1}, "$min": {"b": 9}, "$mul": {"m": 3}})
    assert c.find_one({}) == {"_id": 1, "a": 9, "b": 5, "m": 6, "r": {"x": 1}}


def test_max_datetime(c):
    c.insert_one({"_id": 1, "t": dt.datetime(2026, 1, 1)})
    c.update_one({"_id": 1}, {"$max": {"t": dt.datetime(2025, 1, 1)}})
    assert c.find_one({})["t"] == dt.datetime(2026, 1, 1)
    c.update_one({"_id": 1}, {"$max": {"t": dt.datetime(2027, 1, 1)}})
    assert c.find_one({})["t"] == dt.datetime(2027, 1, 1)


def test_unset(c):
    seed(c)
    c.update_one({"_id": 1}, {"$unset": {"r.gpu": "", "site": "", "nope": ""}})
    g = c.find_one({"_id": 1})
    assert g["r"] == {"mem": 1.5}
    assert "site" not in g


@pytest.mark.iceprod
def test_set_max_unset_combined(c):
    """IceProd bulk_requirements POST"""
    c.insert_one({"_id": 1, "requirements": {"memory": 2.0, "site": "a", "os": ["x"]}})
    r = c.update_many(
        {},
        {
            "$set": {"requirements.site": "b"},
            "$max": {"requirements.memory": 4.0, "requirements.cpu": 2},
            "$unset": {"requirements.os": "", "requirements.gpu": ""},
        },
    )
    assert r.matched_count == 1
    assert c.find_one({}) == {"_id": 1, "requirements": {"memory": 4.0, "site": "b", "cpu": 2}}


def test_push(c):
    c.insert_one({"_id": 1})
    c.update_one({"_id": 1}, {"$push": {"l": 1}})
    c.update_one({"_id": 1}, {"$push": {"l": {"a": 1}, "x.y": 2}})
    assert c.find_one({}) == {"_id": 1, "l": [1, {"a": 1}], "x": {"y": [2]}}


def test_push_each_slice_sort_pos(c):
    c.insert_one({"_id": 1, "l": [5, 3]})
    c.update_one({"_id": 1}, {"$push": {"l": {"$each": [4, 1], "$sort": 1, "$slice": 3}}})
    assert c.find_one({})["l"] == [1, 3, 4]
    c.update_one({"_id": 1}, {"$push": {"l": {"$each": [9], "$position": 0}}})
    assert c.find_one({})["l"] == [9, 1, 3, 4]


def test_push_slice_neg(c):
    c.insert_one({"_id": 1, "l": list(range(10))})
    c.update_one({"_id": 1}, {"$push": {"l": {"$each": [10], "$slice": -3}}})
    assert c.find_one({})["l"] == [8, 9, 10]


def test_addToSet(c):
    c.insert_one({"_id": 1, "l": [1]})
    r = c.update_one({"_id": 1}, {"$addToSet": {"l": 1}})
    assert r.modified_count == 0
    c.update_one({"_id": 1}, {"$addToSet": {"l": {"$each": [1, 2, 3]}}})
    assert c.find_one({})["l"] == [1, 2, 3]
    c.update_one({"_id": 1}, {"$addToSet": {"n.m": {"a": 1}}})
    c.update_one({"_id": 1}, {"$addToSet": {"n.m": {"a": 1}}})
    assert c.find_one({})["n"] == {"m": [{"a": 1}]}


def test_pull_pop(c):
    c.insert_one({"_id": 1, "l": [1, 2, 3, 2], "o": [{"k": 1}, {"k": 2}]})
    c.update_one({"_id": 1}, {"$pull": {"l": 2, "o": {"k": 1}}})
    assert c.find_one({})["l"] == [1, 3]
    assert c.find_one({})["o"] == [{"k": 2}]
    c.update_one({"_id": 1}, {"$pop": {"l": -1}})
    assert c.find_one({})["l"] == [3]
    c.update_one({"_id": 1}, {"$pull": {"l": {"$gte": 3}}})
    assert c.find_one({})["l"] == []


def test_rename_currentDate(c):
    c.insert_one({"_id": 1, "a": 1})
    c.update_one({"_id": 1}, {"$rename": {"a": "b"}, "$currentDate": {"t": True}})
    g = c.find_one({})
    assert g["b"] == 1
    assert isinstance(g["t"], dt.datetime)


@pytest.mark.iceprod
def test_many(c):
    seed(c)
    r = c.update_many({"s": "waiting"}, {"$set": {"s": "queued"}, "$inc": {"n": 1}})
    assert (r.matched_count, r.modified_count) == (2, 2)
    assert ids(c.find({"s": "queued"})) == [1, 2, 3]


@pytest.mark.iceprod
def test_set_replaces_subdoc(c):
    seed(c)
    c.update_one({"_id": 1}, {"$set": {"r": {"z": 1}}})
    assert c.find_one({"_id": 1})["r"] == {"z": 1}


@pytest.mark.iceprod
def test_upsert(c):
    r = c.update_one({"k": "a"}, {"$set": {"v": 1}, "$setOnInsert": {"c": 2}}, upsert=True)
    assert isinstance(r.upserted_id, ObjectId)
    assert (r.matched_count, r.modified_count) == (0, 0)
    assert without_id(list(c.find({}))) == [{"k": "a", "v": 1, "c": 2}]
    r = c.update_one({"k": "a"}, {"$set": {"v": 2}, "$setOnInsert": {"c": 9}}, upsert=True)
    assert r.upserted_id is None
    assert without_id(list(c.find({}))) == [{"k": "a", "v": 2, "c": 2}]


def test_upsert_dotted_filter(c):
    c.update_one(
        {"a.b": 1, "c": {"$gte": 5}, "d": {"$in": [1, 2]}, "e": {"$eq": 7}}, {"$set": {"v": 1}}, upsert=True
    )
    assert without_id(list(c.find({}))) == [{"a": {"b": 1}, "e": 7, "v": 1}]


def test_upsert_inc_push(c):
    c.update_one({"_id": "x"}, {"$inc": {"n": 1}, "$push": {"l": 1}, "$max": {"m": 3}}, upsert=True)
    assert list(c.find({})) == [{"_id": "x", "n": 1, "l": [1], "m": 3}]


@pytest.mark.iceprod
def test_upsert_setOnInsert_queue(c):
    """AsyncMongoQueue.push_if_not_exists"""
    m = {
        "payload": {"x": 1},
        "uuid": "u1",
        "status": "queued",
        "priority": 0,
        "created_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "locked_at": None,
    }
    f = {"payload.x": 1, "status": {"$in": ["queued", "processing"]}}
    r = c.find_one_and_update(
        f,
        {"$setOnInsert": {k: v for k, v in m.items() if k != "payload"}},
        projection={"_id": False},
        return_document=ReturnDocument.AFTER,
        upsert=True,
    )
    assert r["uuid"] == "u1"
    assert r["payload"] == {"x": 1}
    r = c.find_one_and_update(
        f,
        {"$setOnInsert": {"uuid": "u2"}},
        projection={"_id": False},
        return_document=ReturnDocument.AFTER,
        upsert=True,
    )
    assert r["uuid"] == "u1"
    assert c.count_documents({}) == 1


@pytest.mark.iceprod
def test_replace(c):
    seed(c)
    r = c.replace_one({"_id": 1}, {"new": 1})
    assert (r.matched_count, r.modified_count) == (1, 1)
    assert c.find_one({"_id": 1}) == {"_id": 1, "new": 1}
    r = c.replace_one({"dataset_id": "q"}, {"dataset_id": "q", "v": 1}, upsert=True)
    assert r.upserted_id is not None
    assert without_id(list(c.find({"dataset_id": "q"}))) == [{"dataset_id": "q", "v": 1}]


def test_positional(c):
    seed(c)
    c.update_one({"_id": 4, "dep.id": "w"}, {"$set": {"dep.$.k": 50}})
    assert c.find_one({"_id": 4})["dep"] == [{"id": "q", "k": 1}, {"id": "w", "k": 50}]
    c.update_one({"_id": 4}, {"$set": {"dep.$[e].k": 7}}, array_filters=[{"e.id": "q"}])
    assert c.find_one({"_id": 4})["dep"][0] == {"id": "q", "k": 7}
    c.update_one({"_id": 4}, {"$inc": {"dep.$[].k": 1}})
    assert [x["k"] for x in c.find_one({"_id": 4})["dep"]] == [8, 51]


def test_pipeline(c):
    c.insert_one({"_id": 1, "a": 2, "b": 3})
    c.update_one({"_id": 1}, [{"$set": {"s": {"$add": ["$a", "$b"]}}}])
    assert c.find_one({})["s"] == 5


def test_conflict_errors(c):
    c.insert_one({"_id": 1, "a": {"b": 1}})
    with pytest.raises(OperationFailure):
        c.update_one({"_id": 1}, {"$set": {"a": 1, "a.b": 2}})


def test_id_immutable(c):
    c.insert_one({"_id": 1, "a": 1})
    with pytest.raises(OperationFailure):
        c.update_one({"_id": 1}, {"$set": {"_id": 2}})
    assert list(c.find({})) == [{"_id": 1, "a": 1}]


def test_bad_operator_errors(c):
    c.insert_one({"_id": 1, "a": 1})
    with pytest.raises(OperationFailure):
        c.update_one({"_id": 1}, {"$bogus": {"a": 2}})


def test_q_bad_operator_errors(c):
    c.insert_one({"_id": 1, "a": 1})
    with pytest.raises(OperationFailure):
        list(c.find({"a": {"$bogus": 2}}))


def test_bulk_write_mixed(c):
    seed(c)
    r = c.bulk_write(
        [
            InsertOne({"_id": 10}),
            UpdateOne({"_id": 1}, {"$set": {"z": 1}}),
            UpdateMany({"s": "waiting"}, {"$set": {"z": 2}}),
            UpdateOne({"_id": "u"}, {"$set": {"z": 3}}, upsert=True),
            ReplaceOne({"_id": 2}, {"z": 4}),
            DeleteOne({"_id": 3}),
            DeleteMany({"z": 4}),
        ]
    )
    assert (r.inserted_count, r.matched_count, r.modified_count, r.deleted_count, r.upserted_count) == (
        1,
        4,
        4,
        2,
        1,
    )
    assert r.upserted_ids == {3: "u"}


def test_bulk_write_dup_unordered(c):
    with pytest.raises(BulkWriteError) as error:
        c.bulk_write([InsertOne({"_id": 1}), InsertOne({"_id": 1}), InsertOne({"_id": 2})], ordered=False)
    e = error.value
    assert e.details["nInserted"] == 2


@pytest.mark.iceprod
def test_delete_counts(c):
    seed(c)
    assert c.delete_one({"s": "waiting"}).deleted_count == 1
    assert c.delete_many({"r.gpu": {"$gte": 1}}).deleted_count == 2
    assert c.count_documents({}) == 2
