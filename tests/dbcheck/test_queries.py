"""Filters, sorting, paging, projection, counting."""

import datetime as dt
import re

import pytest

from .helpers import assert_same, ids, seed


def test_eq_and_array_contains(c):
    seed(c)
    assert ids(c.find({"s": "waiting"})) == [1, 3]
    assert ids(c.find({"tags": "b"})) == [1, 2]
    assert ids(c.find({"tags": ["b"]})) == [2]


@pytest.mark.iceprod
def test_in_nin(c):
    seed(c)
    assert ids(c.find({"s": {"$in": ["waiting", "queued"]}})) == [1, 2, 3]
    assert ids(c.find({"s": {"$nin": ["waiting", "queued"]}})) == [4, 5]
    assert ids(c.find({"site": {"$nin": ["CHTC"]}})) == [2, 3, 4, 5]
    assert ids(c.find({"tags": {"$in": ["a", "z"]}})) == [1]


def test_in_null(c):
    seed(c)
    assert ids(c.find({"site": {"$in": [None, "ND"]}})) == [2, 3, 4, 5]


def test_in_empty(c):
    seed(c)
    assert ids(c.find({"s": {"$in": []}})) == []
    assert ids(c.find({"s": {"$nin": []}})) == [1, 2, 3, 4, 5]


@pytest.mark.iceprod
def test_exists(c):
    seed(c)
    assert ids(c.find({"site": {"$exists": True}})) == [1, 2]
    assert ids(c.find({"x": {"$exists": True}})) == [3]
    assert ids(c.find({"r.gpu": {"$exists": False}})) == [3, 5]


def test_or_and_nor(c):
    seed(c)
    assert ids(
        c.find({"s": "waiting", "$and": [{"$or": [{"r.gpu": {"$exists": False}}, {"r.gpu": {"$lte": 0}}]}]})
    ) == [1, 3]
    assert ids(c.find({"$nor": [{"s": "waiting"}, {"n": None}]})) == [2, 4]
    assert ids(c.find({"$or": [{"s": "queued"}, {"s": "complete", "r.gpu": {"$gte": 2}}]})) == [2, 4]


@pytest.mark.iceprod
def test_or_and(c):
    seed(c)
    assert ids(
        c.find({"s": "waiting", "$and": [{"$or": [{"r.gpu": {"$exists": False}}, {"r.gpu": {"$lte": 0}}]}]})
    ) == [1, 3]
    assert ids(c.find({"$or": [{"s": "queued"}, {"s": "complete", "r.gpu": {"$gte": 2}}]})) == [2, 4]


def test_not(c):
    seed(c)
    assert ids(c.find({"n": {"$not": {"$gte": 2}}})) == [1, 4, 5]


@pytest.mark.iceprod
def test_cmp_number(c):
    seed(c)
    assert ids(c.find({"n": {"$gte": 1, "$lt": 3}})) == [1, 2]
    assert ids(c.find({"n": {"$gt": 0}})) == [1, 2, 3]
    assert ids(c.find({"n": 3})) == [3]
    assert ids(c.find({"n": 3.0})) == [3]


def test_cmp_type_bracket(c):
    seed(c)
    assert ids(c.find({"n": {"$gte": "0"}})) == [4]
    assert ids(c.find({"n": {"$lte": 100}})) == [1, 2, 3]


def test_bool_vs_int(c):
    c.insert_many([{"_id": 1, "v": True}, {"_id": 2, "v": 1}, {"_id": 3, "v": 0}, {"_id": 4, "v": False}])
    assert ids(c.find({"v": True})) == [1]
    assert ids(c.find({"v": 1})) == [2]
    assert ids(c.find({"v": {"$gte": 0}})) == [2, 3]


@pytest.mark.iceprod
def test_datetime(c):
    seed(c)
    assert ids(c.find({"t": {"$gte": dt.datetime(2026, 1, 2), "$lt": dt.datetime(2026, 1, 4)}})) == [2, 3]
    assert ids(c.find({"t": dt.datetime(2026, 1, 1)})) == [1]
    assert ids(c.find({"t": {"$in": [dt.datetime(2026, 1, 4)]}})) == [4]


@pytest.mark.iceprod
def test_datetime_aware(c):
    seed(c)
    assert ids(c.find({"t": {"$lt": dt.datetime(2026, 1, 2, 1, tzinfo=dt.UTC)}})) == [1, 2]


def test_datetime_sort(c):
    seed(c)
    assert [d["_id"] for d in list(c.find({"t": {"$exists": True}}).sort("t", -1))] == [4, 3, 2, 1]


@pytest.mark.iceprod
def test_datetime_lt_pop_queue(c):
    """the AsyncMongoQueue.pop() query shape"""
    now = dt.datetime.now(dt.UTC)
    c.insert_many(
        [
            {"_id": 1, "status": "processing", "locked_at": now - dt.timedelta(seconds=500)},
            {"_id": 2, "status": "processing", "locked_at": now},
            {"_id": 3, "status": "x", "locked_at": None},
        ]
    )
    assert ids(
        c.find(
            {
                "$or": [
                    {"status": "queued"},
                    {"status": "processing", "locked_at": {"$lt": now - dt.timedelta(seconds=300)}},
                ]
            }
        )
    ) == [1]


@pytest.mark.iceprod
def test_regex_prefix_str(c):
    seed(c)
    assert ids(c.find({"site": {"$regex": "^" + re.escape("CH")}})) == [1]


def test_regex(c):
    seed(c)
    assert ids(c.find({"site": {"$regex": "^ch", "$options": "i"}})) == [1]
    assert ids(c.find({"site": {"$regex": "^N"}})) == [2]
    assert ids(c.find({"site": re.compile("^nd$", re.I)})) == [2]


def test_regex_special(c):
    c.insert_many([{"_id": 1, "s": "a.b"}, {"_id": 2, "s": "axb"}, {"_id": 3, "s": "line1\nb2"}])
    assert ids(c.find({"s": {"$regex": "^" + re.escape("a.")}})) == [1]
    assert ids(c.find({"s": {"$regex": "^b", "$options": "m"}})) == [3]
    assert ids(c.find({"s": {"$not": re.compile("^a")}})) == [3]


def test_dotted_array(c):
    seed(c)
    assert ids(c.find({"dep.k": 5})) == [4]
    assert ids(c.find({"dep.0.k": 1})) == [4]
    assert ids(c.find({"dep.1.k": 1})) == []
    assert ids(c.find({"tags.0": "b"})) == [2]
    assert ids(c.find({"dep.k": {"$gt": 4}})) == [4]


def test_elemMatch(c):
    seed(c)
    assert ids(c.find({"dep": {"$elemMatch": {"id": "q", "k": 5}}})) == []
    assert ids(c.find({"dep": {"$elemMatch": {"id": "w", "k": 5}}})) == [4]


def test_all_size(c):
    seed(c)
    assert ids(c.find({"tags": {"$all": ["a", "b"]}})) == [1]
    assert ids(c.find({"tags": {"$size": 0}})) == [3]


def test_ne(c):
    seed(c)
    assert ids(c.find({"site": {"$ne": "CHTC"}})) == [2, 3, 4, 5]
    assert ids(c.find({"tags": {"$ne": "b"}})) == [3, 4, 5]


def test_null_matches_missing(c):
    seed(c)
    assert ids(c.find({"x": None})) == [1, 2, 3, 4, 5]
    assert ids(c.find({"s": None})) == [5]
    assert ids(c.find({"s": {"$ne": None}})) == [1, 2, 3, 4]


def test_type_mod_expr(c):
    seed(c)
    assert ids(c.find({"n": {"$type": "string"}})) == [4]
    assert ids(c.find({"n": {"$mod": [2, 1]}})) == [1, 3]
    assert ids(c.find({"$expr": {"$gt": ["$r.mem", "$n"]}})) == [1, 2, 3]


def test_embedded_exact(c):
    c.insert_many([{"_id": 1, "e": {"a": 1, "b": 2}}, {"_id": 2, "e": {"b": 2, "a": 1}}])
    assert ids(c.find({"e": {"a": 1, "b": 2}})) == [1]


@pytest.mark.iceprod
def test_combined_range_in_or(c):
    """IceProd TasksActionsQueue with requirements"""
    c.insert_many(
        [
            {"_id": i, "status": "waiting", "priority": i / 10, "requirements": r}
            for i, r in enumerate(
                [
                    {},
                    {"gpu": 1},
                    {"gpu": 0, "memory": 2.0},
                    {"memory": 8.0, "cpu": 4},
                    {"os": ["RHEL_7"], "site": "X"},
                ]
            )
        ]
    )
    f = {
        "status": "waiting",
        "$and": [
            {"$or": [{"requirements." + k: {"$exists": False}}, {"requirements." + k: v}]}
            for k, v in {"cpu": {"$lte": 2}, "memory": {"$lte": 4.0}, "site": "X"}.items()
        ],
    }
    assert ids(c.find(f)) == [0, 1, 2, 4]


@pytest.mark.iceprod
def test_in_100k(c):
    """IceProd allows 100 000 ids in one $in"""
    c.insert_many([{"_id": i, "task_id": f"{i:032x}", "s": "a"} for i in range(500)])
    ids = [f"{i:032x}" for i in range(100000)]
    assert c.count_documents({"task_id": {"$in": ids}}) == 500
    assert len(list(c.find({"task_id": {"$in": ids}}))) == 500
    r = c.update_many({"task_id": {"$in": ids}}, {"$set": {"s": "b"}})
    assert (r.matched_count, r.modified_count) == (500, 500)


def test_in_100k_nin_or(c):
    c.insert_many([{"_id": i, "task_id": f"{i:x}"} for i in range(100)])
    assert c.count_documents({"task_id": {"$nin": [f"{i:x}" for i in range(50, 100000)]}}) == 50


@pytest.mark.iceprod
def test_sort_multi_missing_first(c):
    c.insert_many(
        [
            {"_id": 1, "p": 1, "k": "b"},
            {"_id": 2, "p": 2.5},
            {"_id": 3, "p": 1, "k": "a"},
            {"_id": 4, "k": "z"},
            {"_id": 5, "p": 10},
        ]
    )
    assert [d["_id"] for d in list(c.find({}).sort([("p", -1), ("k", 1)]))] == [5, 2, 3, 1, 4]
    assert [d["_id"] for d in list(c.find({}).sort([("p", 1), ("_id", -1)]))] == [4, 3, 1, 2, 5]


def test_sort_mixed_types(c):
    c.insert_many(
        [
            {"_id": 1, "v": "a"},
            {"_id": 2, "v": 5},
            {"_id": 3, "v": None},
            {"_id": 4, "v": {"x": 1}},
            {"_id": 5, "v": True},
            {"_id": 6, "v": dt.datetime(2026, 1, 1)},
        ]
    )
    assert [d["_id"] for d in list(c.find({}).sort("v", 1))] == [3, 2, 1, 4, 5, 6]


def test_sort_dotted(c):
    seed(c)
    assert [d["_id"] for d in list(c.find({"r.mem": {"$exists": True}}, sort=[("r.mem", -1)]))] == [3, 2, 1]


@pytest.mark.iceprod
def test_sort_string_binary_order(c):
    c.insert_many([{"_id": i, "s": s} for i, s in enumerate(["b", "B", "a", "Z", "10", "9", "é"])])
    assert [d["s"] for d in list(c.find({}).sort("s", 1))] == ["10", "9", "B", "Z", "a", "b", "é"]


@pytest.mark.iceprod
def test_skip_limit(c):
    c.insert_many([{"i": i} for i in range(20)])
    assert [d["i"] for d in list(c.find({}).sort("i", 1).skip(5).limit(3))] == [5, 6, 7]
    assert [d["i"] for d in list(c.find({}, sort=[("i", -1)], skip=18, limit=5))] == [1, 0]
    assert len(list(c.find({}).limit(0))) == 20
    assert len(list(c.find({}).skip(15))) == 5


def test_sort_by_int_id(c):
    c.insert_many([{"_id": i} for i in range(20)])
    assert [d["_id"] for d in list(c.find({}).sort("_id", 1))] == list(range(20))


def test_sort_by_objectid(c):
    r = c.insert_many([{"i": i} for i in range(50)])
    assert [d["i"] for d in list(c.find({}).sort("_id", -1))] == list(range(49, -1, -1))
    assert c.count_documents({"_id": {"$gt": r.inserted_ids[39]}}) == 10


def test_id_in_objectids(c):
    r = c.insert_many([{"i": i} for i in range(10)])
    assert sorted(d["i"] for d in list(c.find({"_id": {"$in": r.inserted_ids[:3]}}))) == [0, 1, 2]
    assert c.delete_many({"_id": {"$in": r.inserted_ids[:3]}}).deleted_count == 3


@pytest.mark.iceprod
def test_getmore_5000(c):
    c.insert_many([{"i": i, "x": "y" * 100} for i in range(5000)])
    assert [d["i"] for d in list(c.find({}).sort("i", 1))] == list(range(5000))
    assert len(list(c.find({}, batch_size=10))) == 5000


def test_find_big_result_60MB(c):
    for i in range(12):
        c.insert_one({"_id": i, "x": "y" * 5000000})
    assert sum(len(d["x"]) for d in list(c.find({}))) == 60000000


@pytest.mark.iceprod
def test_proj_include(c):
    seed(c)
    assert c.find_one({"_id": 1}, {"s": 1}) == {"_id": 1, "s": "waiting"}
    assert c.find_one({"_id": 1}, {"_id": False, "s": True, "nope": 1}) == {"s": "waiting"}
    assert c.find_one({"_id": 1}, ["s"]) == {"_id": 1, "s": "waiting"}


@pytest.mark.iceprod
def test_proj_only_noid(c):
    seed(c)
    assert c.find_one({"_id": 5}, {"_id": False}) == {"s": None, "n": None}


@pytest.mark.iceprod
def test_proj_exclude(c):
    seed(c)
    assert sorted(c.find_one({"_id": 1}, {"r": 0, "_id": 0, "t": 0})) == ["n", "s", "site", "tags"]


def test_proj_dotted(c):
    seed(c)
    assert c.find_one({"_id": 1}, {"r.gpu": 1}) == {"_id": 1, "r": {"gpu": 0}}
    assert c.find_one({"_id": 1}, {"r.gpu": 0, "_id": 0, "t": 0, "tags": 0, "site": 0}) == {
        "s": "waiting",
        "n": 1,
        "r": {"mem": 1.5},
    }


def test_proj_array_sub(c):
    seed(c)
    assert c.find_one({"_id": 4}, {"dep.id": 1}) == {"_id": 4, "dep": [{"id": "q"}, {"id": "w"}]}


def test_proj_slice_elemmatch(c):
    seed(c)
    assert c.find_one({"_id": 4}, {"dep": {"$slice": 1}, "_id": 1, "s": 1}) == {
        "_id": 4,
        "s": "complete",
        "dep": [{"id": "q", "k": 1}],
    }
    assert c.find_one({"_id": 4}, {"dep": {"$elemMatch": {"k": 5}}}) == {
        "_id": 4,
        "dep": [{"id": "w", "k": 5}],
    }


@pytest.mark.iceprod
def test_find_missing(c):
    assert c.find_one({"a": 1}) is None
    assert list(c.find({})) == []
    assert c.count_documents({}) == 0
    assert c.update_one({"a": 1}, {"$set": {"b": 1}}).matched_count == 0
    assert c.delete_many({}).deleted_count == 0
    assert list(c.aggregate([{"$match": {}}])) == []
    assert c.distinct("a") == []


@pytest.mark.iceprod
def test_counts(c):
    seed(c)
    assert c.count_documents({}) == 5
    assert c.count_documents({"s": "waiting"}) == 2
    assert c.estimated_document_count() == 5
    assert c.count_documents({}, skip=1, limit=2) == 2


@pytest.mark.iceprod
def test_count_maxTimeMS(c):
    seed(c)
    assert c.count_documents({}, maxTimeMS=1000) == 5


def test_distinct(c):
    seed(c)
    assert sorted(x for x in c.distinct("s") if x) == ["complete", "queued", "waiting"]
    assert sorted(c.distinct("tags")) == ["a", "b"]
    assert sorted(c.distinct("r.gpu", {"s": {"$ne": None}})) == [0, 1, 2]
    assert sorted(c.distinct("dep.id")) == ["q", "w"]


def test_distinct_types(c):
    seed(c)
    assert_same(sorted(c.distinct("t"))[0], dt.datetime(2026, 1, 1))
