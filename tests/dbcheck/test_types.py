"""Inserting, and what comes back: types, key order, sizes."""

import datetime as dt
import math
import os
import uuid

import bson
import pymongo
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from pymongo.errors import BulkWriteError, DuplicateKeyError

from .helpers import assert_same, round_trip


@pytest.mark.iceprod
def test_insert_one_objectid(c):
    d = {"a": 1}
    r = c.insert_one(d)
    assert type(r.inserted_id) is ObjectId
    assert d["_id"] == r.inserted_id
    g = c.find_one({"_id": r.inserted_id})
    assert g == {"_id": r.inserted_id, "a": 1}
    assert list(g) == ["_id", "a"]


@pytest.mark.iceprod
def test_insert_many_ids(c):
    r = c.insert_many([{"a": i} for i in range(300)])
    assert len(r.inserted_ids) == 300
    assert sorted(d["a"] for d in list(c.find({}))) == list(range(300))


def test_own_ids_str_int(c):
    c.insert_many(
        [{"_id": "abc", "v": 1}, {"_id": 7, "v": 2}, {"_id": "7", "v": 3}, {"_id": {"a": 1, "b": 2}, "v": 4}]
    )
    assert c.find_one({"_id": "abc"})["v"] == 1
    assert c.find_one({"_id": 7})["v"] == 2
    assert c.find_one({"_id": "7"})["v"] == 3
    g = c.find_one({"v": 2})
    assert_same(g["_id"], 7)
    g = c.find_one({"v": 4})
    assert g["_id"] == {"a": 1, "b": 2}


def test_id_hexstring_stays_string(c):
    h = ObjectId().__str__()
    c.insert_one({"_id": h})
    g = c.find_one({"_id": h})
    assert_same(g["_id"], h)
    assert c.find_one({"_id": ObjectId(h)}) is None


def test_dup_id(c):
    c.insert_one({"_id": 1})
    with pytest.raises(DuplicateKeyError) as error:
        c.insert_one({"_id": 1})
    e = error.value
    assert e.code == 11000


def test_insert_many_ordered_dup(c):
    with pytest.raises(BulkWriteError) as error:
        c.insert_many([{"_id": 1}, {"_id": 1}, {"_id": 2}])
    e = error.value
    assert e.details["nInserted"] == 1
    assert e.details["writeErrors"][0]["index"] == 1
    assert e.details["writeErrors"][0]["code"] == 11000
    assert c.count_documents({}) == 1


def test_insert_many_unordered_dup(c):
    with pytest.raises(BulkWriteError) as error:
        c.insert_many([{"_id": 1}, {"_id": 1}, {"_id": 2}], ordered=False)
    e = error.value
    assert e.details["nInserted"] == 2
    assert c.count_documents({}) == 2


@pytest.mark.iceprod
def test_int(c):
    assert_same(round_trip(c, 5), 5)


@pytest.mark.iceprod
def test_float_integral(c):
    assert_same(round_trip(c, 1.0), 1.0)


@pytest.mark.iceprod
def test_float_precise(c):
    assert_same(
        round_trip(c, [0.1, 1 / 3, 1e300, 5e-324, -0.0, 1e22]), [0.1, 1 / 3, 1e300, 5e-324, -0.0, 1e22]
    )


def test_float_nan_inf(c):
    g = round_trip(c, [float("nan"), float("inf"), float("-inf")])
    assert math.isnan(g[0])
    assert g[1:] == [float("inf"), float("-inf")]


def test_int64_large(c):
    assert round_trip(c, [2**31, 2**53 + 1, 2**63 - 1, -(2**63)]) == [2**31, 2**53 + 1, 2**63 - 1, -(2**63)]


def test_Int64_type(c):
    g = round_trip(c, Int64(5))
    assert isinstance(g, Int64)


@pytest.mark.iceprod
def test_None(c):
    c.insert_one({"_id": 1, "a": None})
    g = c.find_one({"_id": 1})
    assert g == {"_id": 1, "a": None}


@pytest.mark.iceprod
def test_bool(c):
    g = round_trip(c, [True, False])
    assert g == [True, False]
    assert type(g[0]) is bool


def test_datetime_naive(c):
    assert_same(
        round_trip(c, dt.datetime(2026, 1, 2, 3, 4, 5, 678000)), dt.datetime(2026, 1, 2, 3, 4, 5, 678000)
    )


@pytest.mark.iceprod
def test_datetime_aware(c):
    assert_same(
        round_trip(c, dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
        dt.datetime(2026, 1, 2, 1, 4, 5, 678000),
    )


def test_datetime_us_truncated(c):
    assert_same(
        round_trip(c, dt.datetime(2026, 1, 2, 3, 4, 5, 678901)), dt.datetime(2026, 1, 2, 3, 4, 5, 678000)
    )


def test_datetime_nested(c):
    v = {"a": [dt.datetime(2026, 1, 1)], "b": {"c": dt.datetime(1960, 1, 1)}}
    assert round_trip(c, v) == v


@pytest.mark.iceprod
def test_isostring_stays_str(c):
    assert_same(round_trip(c, "2026-01-02T03:04:05"), "2026-01-02T03:04:05")


@pytest.mark.iceprod
def test_isostring_ms_stays_str(c):
    assert_same(round_trip(c, "2026-01-02T03:04:05.678901"), "2026-01-02T03:04:05.678901")


def test_bytes(c):
    assert_same(round_trip(c, b"\x00\x01\xff" * 10), b"\x00\x01\xff" * 10)


def test_uuid_binary(c):
    b = Binary.from_uuid(uuid.UUID(int=5))
    g = round_trip(c, b)
    assert g == b
    assert g.subtype == 4


def test_objectid_nested(c):
    o = ObjectId()
    assert round_trip(c, [o, {"x": o}]) == [o, {"x": o}]


def test_decimal128(c):
    assert_same(round_trip(c, Decimal128("1.10")), Decimal128("1.10"))


def test_regex(c):
    g = round_trip(c, Regex("^a", "i"))
    assert g == Regex("^a", "i")


@pytest.mark.iceprod
def test_unicode_and_quotes(c):
    v = "é漢😀\u2028 \"q\" 's' \\ \n\t `;--"
    assert round_trip(c, {v.replace(".", ""): v}) == {v: v}


def test_nul_in_string(c):
    assert round_trip(c, "a\x00b") == "a\x00b"


@pytest.mark.iceprod
def test_empty(c):
    assert round_trip(c, {"l": [], "d": {}, "s": ""}) == {"l": [], "d": {}, "s": ""}


def test_oid_like_dict(c):
    assert round_trip(c, {"oid": "x", "__objectid__": True, "type": "binary"}) == {
        "oid": "x",
        "__objectid__": True,
        "type": "binary",
    }


def test_field_named_id(c):
    c.insert_one({"_id": 1, "id": 0, "data": "x", "rowid": 9})
    assert c.find_one({"id": 0}) == {"_id": 1, "id": 0, "data": "x", "rowid": 9}
    assert c.count_documents({"rowid": 9}) == 1
    assert c.count_documents({"data": "x"}) == 1
    assert c.count_documents({"id": 1}) == 0


def test_weird_field_names(c):
    d = {"_id": 1, "a b": 1, "it's": 2, 'q"x': 3, "a-b": 4, "ünï": 5, "x[0]": 6, "0": 7}
    c.insert_one(dict(d))
    assert c.find_one({"_id": 1}) == d
    for k in d:
        if k != "_id":
            assert c.count_documents({k: d[k]}) == 1


@pytest.mark.iceprod
def test_key_order(c):
    d = {"z": 1, "a": {"y": 1, "b": 2}, "m": 3}
    c.insert_one(dict(d, _id=1))
    g = c.find_one({})
    assert list(g) == ["_id", "z", "a", "m"]
    assert list(g["a"]) == ["y", "b"]


@pytest.mark.iceprod
def test_key_order_after_set(c):
    c.insert_one({"_id": 1, "z": 1, "a": 2})
    c.update_one({"_id": 1}, {"$set": {"z": 9, "k": 3}})
    assert list(c.find_one({})) == ["_id", "z", "a", "k"]


@pytest.mark.iceprod
def test_big_doc_15MB(c):
    s = "x" * (15 * 1024 * 1024)
    c.insert_one({"_id": 1, "s": s})
    g = c.find_one({"_id": 1})
    assert len(g["s"]) == len(s)


def test_big_doc_15MB_binary(c):
    s = os.urandom(15 * 1024 * 1024)
    c.insert_one({"_id": 1, "s": s})
    g = c.find_one({"_id": 1})
    assert g["s"] == s


def test_too_big_doc_rejected(c):
    with pytest.raises((pymongo.errors.PyMongoError, bson.errors.InvalidDocument)):
        c.insert_one({"s": "x" * (17 * 1024 * 1024)})
