"""Aggregation pipelines."""

import datetime as dt

import pytest
from bson import ObjectId
from pymongo.errors import OperationFailure

from .helpers import by_id, ids, seed_tasks


@pytest.mark.iceprod
def test_group_count(c):
    seed_tasks(c)
    assert by_id(
        list(
            c.aggregate(
                [{"$match": {"dataset_id": "d1"}}, {"$group": {"_id": "$status", "total": {"$sum": 1}}}]
            )
        )
    ) == [{"_id": "complete", "total": 3}, {"_id": "failed", "total": 1}, {"_id": "waiting", "total": 1}]


@pytest.mark.iceprod
def test_group_compound_first(c):
    seed_tasks(c)
    assert by_id(
        list(
            c.aggregate(
                [
                    {"$match": {"dataset_id": "d1"}},
                    {
                        "$group": {
                            "_id": {"name": "$name", "status": "$status"},
                            "ordering": {"$first": "$task_index"},
                            "total": {"$sum": 1},
                        }
                    },
                ]
            )
        )
    ) == by_id(
        [
            {"_id": {"name": "gen", "status": "complete"}, "ordering": 0, "total": 2},
            {"_id": {"name": "det", "status": "complete"}, "ordering": 1, "total": 1},
            {"_id": {"name": "det", "status": "waiting"}, "ordering": 1, "total": 1},
            {"_id": {"name": "gen", "status": "failed"}, "ordering": 0, "total": 1},
        ]
    )


def test_stdDevSamp_single_is_null(c):
    seed_tasks(c)
    assert (
        next(iter(c.aggregate(
                [
                    {"$match": {"name": "det", "status": "complete"}},
                    {"$group": {"_id": "$name", "s": {"$stdDevSamp": "$wall"}}},
                ]
            )))["s"]
        is None
    )


@pytest.mark.iceprod
def test_task_stats_iceprod(c):
    seed_tasks(c)
    r = {
        d["_id"]: d
        for d in list(
            c.aggregate(
                [
                    {"$match": {"dataset_id": "d1", "status": "complete"}},
                    {
                        "$group": {
                            "_id": "$name",
                            "count": {"$sum": 1},
                            "gpu": {"$sum": "$requirements.gpu"},
                            "total_hrs": {"$sum": "$wall"},
                            "total_err_hrs": {"$sum": "$err"},
                            "avg_hrs": {"$avg": "$wall"},
                            "stddev_hrs": {"$stdDevSamp": "$wall"},
                            "min_hrs": {"$min": "$wall"},
                            "max_hrs": {"$max": "$wall"},
                            "ordering": {"$first": "$task_index"},
                        }
                    },
                ]
            )
        )
    }
    assert {k: v for k, v in r["gen"].items() if k != "stddev_hrs"} == {
        "_id": "gen",
        "count": 2,
        "gpu": 0,
        "total_hrs": 4.0,
        "total_err_hrs": 1.0,
        "avg_hrs": 2.0,
        "min_hrs": 1.0,
        "max_hrs": 3.0,
        "ordering": 0,
    }
    assert abs(r["gen"]["stddev_hrs"] - 2**0.5) < 1e-09
    assert r["det"]["count"] == 1


def test_group_null_and_push(c):
    seed_tasks(c)
    assert list(
        c.aggregate(
            [
                {"$sort": {"_id": -1}},
                {
                    "$group": {
                        "_id": None,
                        "ids": {"$push": "$_id"},
                        "s": {"$addToSet": "$dataset_id"},
                        "n": {"$sum": "$wall"},
                        "f": {"$first": "$name"},
                        "l": {"$last": "$name"},
                    }
                },
            ]
        )
    ) == [{"_id": None, "ids": [4, 3, 2, 1, 0], "s": ["d1"], "n": 16.0, "f": "gen", "l": "gen"}]


def test_group_missing_key(c):
    c.insert_many([{"k": "a"}, {"x": 1}, {"k": None}])
    assert sorted(list(c.aggregate([{"$group": {"_id": "$k", "n": {"$sum": 1}}}])), key=lambda d: d["n"]) == [
        {"_id": "a", "n": 1},
        {"_id": None, "n": 2},
    ]


def test_group_typed_keys(c):
    c.insert_many([{"k": 1}, {"k": "1"}, {"k": True}, {"k": 1.0}])
    assert sorted(d["n"] for d in list(c.aggregate([{"$group": {"_id": "$k", "n": {"$sum": 1}}}]))) == [
        1,
        1,
        2,
    ]


def test_group_sum_cond(c):
    seed_tasks(c)
    assert list(
        c.aggregate(
            [
                {
                    "$group": {
                        "_id": "$dataset_id",
                        "ok": {"$sum": {"$cond": [{"$eq": ["$status", "complete"]}, 1, 0]}},
                        "tot": {"$sum": {"$multiply": ["$wall", 2]}},
                    }
                }
            ]
        )
    ) == [{"_id": "d1", "ok": 3, "tot": 32.0}]


def test_group_push_obj(c):
    seed_tasks(c)
    r = list(
        c.aggregate(
            [
                {"$sort": {"_id": 1}},
                {"$group": {"_id": "$name", "l": {"$push": {"s": "$status", "i": "$wall"}}}},
                {"$sort": {"_id": 1}},
            ]
        )
    )
    assert r[0] == {"_id": "det", "l": [{"s": "complete", "i": 10}, {"s": "waiting", "i": 0}]}


def test_sort_project_limit(c):
    seed_tasks(c)
    assert list(
        c.aggregate(
            [
                {"$sort": {"wall": -1}},
                {"$skip": 1},
                {"$limit": 2},
                {
                    "$project": {
                        "_id": 0,
                        "name": 1,
                        "w2": {"$multiply": ["$wall", 2]},
                        "gpu": "$requirements.gpu",
                    }
                },
            ]
        )
    ) == [{"name": "gen", "w2": 6.0, "gpu": 0}, {"name": "gen", "w2": 4.0, "gpu": 0}]


def test_project_exclude(c):
    seed_tasks(c)
    assert sorted(
        next(iter(c.aggregate([{"$match": {"_id": 0}}, {"$project": {"_id": 0, "requirements": 0, "err": 0}}])))
    ) == ["dataset_id", "name", "status", "task_index", "wall"]


def test_unwind(c):
    c.insert_many([{"_id": 1, "l": ["a", "b"]}, {"_id": 2, "l": []}, {"_id": 3}, {"_id": 4, "l": "z"}])
    assert [
        (d["_id"], d["l"]) for d in list(c.aggregate([{"$unwind": "$l"}, {"$sort": {"_id": 1, "l": 1}}]))
    ] == [(1, "a"), (1, "b"), (4, "z")]
    assert ids(
        c.aggregate(
            [{"$unwind": {"path": "$l", "preserveNullAndEmptyArrays": True, "includeArrayIndex": "i"}}]
        )
    ) == [1, 1, 2, 3, 4]


def test_unwind_group(c):
    c.insert_many(
        [{"_id": 1, "l": [{"k": "a", "n": 1}, {"k": "b", "n": 2}]}, {"_id": 2, "l": [{"k": "a", "n": 5}]}]
    )
    assert by_id(
        list(c.aggregate([{"$unwind": "$l"}, {"$group": {"_id": "$l.k", "t": {"$sum": "$l.n"}}}]))
    ) == [{"_id": "a", "t": 6}, {"_id": "b", "t": 2}]


def test_lookup(c):
    o = c.database["lk_" + c.name]
    o.drop()
    o.insert_many([{"_id": "d1", "desc": "x"}, {"_id": "d2", "desc": "y"}])
    c.insert_many([{"_id": 1, "d": "d1"}, {"_id": 2, "d": "nope"}])
    assert list(
        c.aggregate(
            [
                {"$lookup": {"from": o.name, "localField": "d", "foreignField": "_id", "as": "ds"}},
                {"$sort": {"_id": 1}},
            ]
        )
    ) == [{"_id": 1, "d": "d1", "ds": [{"_id": "d1", "desc": "x"}]}, {"_id": 2, "d": "nope", "ds": []}]


def test_lookup_field_unwind(c):
    o = c.database["lk_" + c.name]
    o.drop()
    o.insert_many([{"dataset_id": "d1", "desc": "x", "n": 1}, {"dataset_id": "d1", "desc": "y", "n": 2}])
    c.insert_one({"_id": 1, "dataset_id": "d1"})
    assert list(
        c.aggregate(
            [
                {
                    "$lookup": {
                        "from": o.name,
                        "localField": "dataset_id",
                        "foreignField": "dataset_id",
                        "as": "ds",
                    }
                },
                {"$unwind": "$ds"},
                {"$group": {"_id": "$dataset_id", "t": {"$sum": "$ds.n"}}},
            ]
        )
    ) == [{"_id": "d1", "t": 3}]


def test_lookup_pipeline(c):
    o = c.database["lk_" + c.name]
    o.drop()
    o.insert_many([{"_id": 1, "d": "d1", "v": 5}, {"_id": 2, "d": "d1", "v": 50}])
    c.insert_one({"_id": 1, "d": "d1"})
    assert list(
        c.aggregate(
            [
                {
                    "$lookup": {
                        "from": o.name,
                        "let": {"dd": "$d"},
                        "pipeline": [
                            {"$match": {"$expr": {"$and": [{"$eq": ["$d", "$$dd"]}, {"$gt": ["$v", 10]}]}}},
                            {"$project": {"_id": 0, "v": 1}},
                        ],
                        "as": "x",
                    }
                }
            ]
        )
    ) == [{"_id": 1, "d": "d1", "x": [{"v": 50}]}]


def test_facet(c):
    seed_tasks(c)
    r = next(iter(c.aggregate(
            [
                {
                    "$facet": {
                        "by": [{"$group": {"_id": "$status", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
                        "tot": [{"$count": "c"}],
                    }
                }
            ]
        )))
    assert r == {
        "by": [{"_id": "complete", "n": 3}, {"_id": "failed", "n": 1}, {"_id": "waiting", "n": 1}],
        "tot": [{"c": 5}],
    }


def test_addFields_replaceRoot(c):
    seed_tasks(c)
    assert list(
        c.aggregate(
            [
                {"$match": {"_id": 2}},
                {"$addFields": {"z": {"$concat": ["$name", "-", "$status"]}}},
                {"$replaceRoot": {"newRoot": {"z": "$z", "r": "$requirements"}}},
            ]
        )
    ) == [{"z": "det-complete", "r": {"gpu": 1}}]


def test_count_sortByCount_bucket(c):
    seed_tasks(c)
    assert list(c.aggregate([{"$match": {"status": "complete"}}, {"$count": "n"}])) == [{"n": 3}]
    assert next(iter(c.aggregate([{"$sortByCount": "$status"}]))) == {"_id": "complete", "count": 3}
    assert list(
        c.aggregate(
            [
                {
                    "$bucket": {
                        "groupBy": "$wall",
                        "boundaries": [0, 2, 5],
                        "default": "hi",
                        "output": {"n": {"$sum": 1}},
                    }
                }
            ]
        )
    ) == [{"_id": 0, "n": 2}, {"_id": 2, "n": 2}, {"_id": "hi", "n": 1}]


def test_unionWith(c):
    o = c.database["u_" + c.name]
    o.drop()
    o.insert_one({"_id": "o"})
    c.insert_one({"_id": "c"})
    assert ids(c.aggregate([{"$unionWith": o.name}])) == ["c", "o"]


def test_dates(c):
    c.insert_many([{"_id": i, "t": dt.datetime(2026, 1, 1 + i // 2, 5, 6, 7), "v": i} for i in range(4)])
    assert by_id(
        list(
            c.aggregate(
                [
                    {
                        "$group": {
                            "_id": {"$dateToString": {"format": "%Y-%m-%d", "date": "$t"}},
                            "n": {"$sum": 1},
                            "m": {"$max": "$t"},
                        }
                    }
                ]
            )
        )
    ) == [
        {"_id": "2026-01-01", "n": 2, "m": dt.datetime(2026, 1, 1, 5, 6, 7)},
        {"_id": "2026-01-02", "n": 2, "m": dt.datetime(2026, 1, 2, 5, 6, 7)},
    ]


def test_match_datetime(c):
    c.insert_many([{"_id": i, "t": dt.datetime(2026, 1, 1 + i)} for i in range(4)])
    assert list(c.aggregate([{"$match": {"t": {"$gte": dt.datetime(2026, 1, 3)}}}, {"$count": "n"}])) == [
        {"n": 2}
    ]


def test_types(c):
    o = ObjectId()
    t = dt.datetime(2026, 1, 1)
    c.insert_one({"_id": o, "t": t, "b": b"x", "f": 1.0})
    r = next(iter(c.aggregate(
            [{"$group": {"_id": "$_id", "t": {"$first": "$t"}, "b": {"$push": "$b"}, "f": {"$sum": "$f"}}}]
        )))
    assert r == {"_id": o, "t": t, "b": [b"x"], "f": 1.0}
    assert type(r["f"]) is float


def test_regex_match(c):
    seed_tasks(c)
    assert list(c.aggregate([{"$match": {"name": {"$regex": "^g"}}}, {"$count": "n"}])) == [{"n": 3}]


@pytest.mark.iceprod
def test_logs_group_iceprod(c):
    """rest/handlers/logs.py shape"""
    c.insert_many(
        [
            {
                "log_id": str(i),
                "dataset_id": "d",
                "task_id": "t",
                "name": n,
                "data": f"x{i}",
                "timestamp": f"2026-01-0{i + 1}T00:00:00",
            }
            for i, n in enumerate(["stdout", "stdout", "stderr"])
        ]
    )
    r = list(
        c.aggregate(
            [
                {"$match": {"dataset_id": "d", "task_id": "t"}},
                {"$sort": {"timestamp": -1}},
                {
                    "$group": {
                        "_id": "$name",
                        "log_id": {"$first": "$log_id"},
                        "data": {"$first": "$data"},
                        "timestamp": {"$first": "$timestamp"},
                    }
                },
                {"$project": {"_id": False}},
                {"$sort": {"timestamp": -1}},
            ],
            allowDiskUse=True,
        )
    )
    assert [x["log_id"] for x in r] == ["2", "1"]
    assert sorted(r[0]) == ["data", "log_id", "timestamp"]


def test_bad_stage_errors(c):
    seed_tasks(c)
    with pytest.raises(OperationFailure):
        list(c.aggregate([{"$bogus": 1}]))


def test_getmore(c):
    c.insert_many([{"_id": i, "g": i} for i in range(3000)])
    assert len(list(c.aggregate([{"$group": {"_id": "$g", "n": {"$sum": 1}}}]))) == 3000


def test_out_merge(c):
    seed_tasks(c)
    o = c.database["out_" + c.name]
    o.drop()
    list(c.aggregate([{"$match": {"status": "complete"}}, {"$out": o.name}]))
    assert o.count_documents({}) == 3
    list(c.aggregate([{"$merge": {"into": o.name}}]))
    assert o.count_documents({}) == 5


def test_stdDev_min_max_strings(c):
    seed_tasks(c)
    r = next(iter(c.aggregate(
            [
                {
                    "$group": {
                        "_id": None,
                        "mn": {"$min": "$name"},
                        "mx": {"$max": "$status"},
                        "p": {"$stdDevPop": "$wall"},
                    }
                }
            ]
        )))
    assert (r["mn"], r["mx"]) == ("det", "waiting")
    assert abs(r["p"] - 3.54400902933387) < 1e-06
