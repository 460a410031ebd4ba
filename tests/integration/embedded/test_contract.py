"""What the servers rely on, through PyMongo's own clients on a unix socket."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import time
from typing import Any

import pymongo
import pytest
from pymongo import DeleteOne, InsertOne, ReturnDocument, UpdateOne
from pymongo.errors import (
    BulkWriteError,
    CursorNotFound,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
)

from tests.support.store import StoreProcess

Client = pymongo.MongoClient[dict[str, Any]]


def test_asyncio_client(shared_store: StoreProcess, client: Client) -> None:
    async def main() -> None:
        async with pymongo.AsyncMongoClient(shared_store.url) as aclient:
            tasks = aclient["t"]["tasks"]
            await tasks.insert_many([{"_id": i, "n": i} for i in range(500)])
            await asyncio.gather(*(tasks.update_one({"_id": i}, {"$inc": {"n": 1}}) for i in range(100)))
            assert [d["n"] async for d in tasks.find({"_id": {"$lt": 3}}).sort("_id", 1)] == [1, 2, 3]
            assert await tasks.count_documents({}) == 500

    asyncio.run(main())


def test_claim_takes_the_best_and_stops_early(client: Client) -> None:
    tasks = client["t"]["tasks"]
    tasks.create_index([("status", 1), ("priority", -1)])
    tasks.insert_many([{"_id": i, "status": "waiting", "priority": i % 100} for i in range(2000)])
    claimed = tasks.find_one_and_update(
        {"status": "waiting"}, {"$set": {"status": "queued"}}, sort=[("priority", -1)],
        return_document=ReturnDocument.AFTER,
    )  # fmt: skip
    assert claimed == {"_id": 99, "status": "queued", "priority": 99}
    explained = client["t"].command(
        "explain", {"find": "tasks", "filter": {"status": "waiting"}, "sort": {"priority": -1}, "limit": 1}
    )
    assert explained["queryPlanner"]["winningPlan"]["inputStage"]["stage"] == "IXSCAN"
    assert explained["executionStats"]["totalDocsExamined"] == 1


def test_claim_over_several_classes_is_merged_in_order(client: Client) -> None:
    tasks = client["t"]["tasks"]
    tasks.create_index([("status", 1), ("class", 1), ("priority", -1)])
    tasks.insert_many(
        [{"_id": i, "status": "waiting", "class": i % 7, "priority": i * 7919 % 1000} for i in range(1000)]
    )
    spec = {"status": "waiting", "class": {"$in": [1, 3, 5]}}
    found = [d["priority"] for d in tasks.find(spec).sort("priority", -1).limit(50)]
    everything = [d["priority"] for d in tasks.find({"status": "waiting"}) if d["class"] in (1, 3, 5)]
    assert found == sorted(everything, reverse=True)[:50]
    explained = tasks.find(spec).sort("priority", -1).limit(50).explain()
    assert explained["executionStats"]["totalDocsExamined"] == 50


def test_update_many_by_ids_uses_the_index(client: Client) -> None:
    tasks = client["t"]["tasks"]
    tasks.create_index("task_id", unique=True)
    tasks.insert_many([{"task_id": f"t{i}", "status": "waiting"} for i in range(1000)])
    wanted = {"task_id": {"$in": [f"t{i}" for i in range(0, 1000, 10)]}, "status": "waiting"}
    assert client["t"].command(
        "explain", {"update": "tasks", "updates": [{"q": wanted, "u": {"$set": {"status": "x"}}}]}
    )["executionStats"]["totalDocsExamined"] == 100  # fmt: skip
    result = tasks.update_many(wanted, {"$set": {"status": "queued"}})
    assert (result.matched_count, result.modified_count) == (100, 100)
    assert tasks.count_documents({"status": "queued"}) == 100


def test_update_many_that_moves_documents_along_its_index(client: Client) -> None:
    """Each document is changed once, though it comes up again."""
    numbers = client["t"]["numbers"]
    numbers.create_index("n")
    numbers.insert_many([{"n": i} for i in range(2000)])
    assert numbers.update_many({"n": {"$gte": 0}}, {"$inc": {"n": 10}}).modified_count == 2000
    assert sorted(d["n"] for d in numbers.find()) == list(range(10, 2010))


def test_cursor_across_changes(client: Client) -> None:
    documents = client["t"]["documents"]
    documents.create_index("n")
    documents.insert_many([{"_id": i, "n": i} for i in range(300)])
    cursor = documents.find({"n": {"$gte": 0}}).sort("n", 1).batch_size(20)
    seen = [next(cursor)["n"] for _ in range(20)]
    documents.delete_many({"n": {"$gte": 20, "$lt": 40}})
    documents.insert_one({"_id": 1000, "n": 299.5})
    assert seen + [d["n"] for d in cursor] == [*range(20), *range(40, 300), 299.5]


def test_killed_cursor(client: Client) -> None:
    documents = client["t"]["documents"]
    documents.insert_many([{} for _ in range(50)])
    cursor = documents.find({}, batch_size=10)
    next(cursor)
    client["t"].command("killCursors", "documents", cursors=[cursor.cursor_id])
    with pytest.raises(CursorNotFound):
        list(cursor)


def test_sort_larger_than_memory_is_spilled(client: Client) -> None:
    documents = client["t"]["documents"]
    padding = "x" * 40_000
    for start in range(0, 2400, 300):
        documents.insert_many([{"n": i * 7919 % 2400, "p": padding} for i in range(start, start + 300)])
    assert [d["n"] for d in documents.find({}, {"n": 1}).sort("n", 1)] == list(range(2400))


def test_duplicate_key_details(client: Client) -> None:
    users = client["t"]["users"]
    users.create_index([("name", 1), ("group", -1)], unique=True)
    users.insert_one({"name": "ada", "group": 1})
    with pytest.raises(
        DuplicateKeyError, match=re.escape("E11000 duplicate key error collection: t.users")
    ) as error:
        users.insert_one({"name": "ada", "group": 1.0})
    assert error.value.details is not None
    assert error.value.details["keyPattern"] == {"name": 1, "group": -1}
    assert error.value.details["keyValue"] == {"name": "ada", "group": 1}


def test_ordered_and_unordered_bulk(client: Client) -> None:
    documents = client["t"]["documents"]
    work = [
        InsertOne({"_id": 1}),
        InsertOne({"_id": 1}),
        UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
        DeleteOne({"_id": 5}),
    ]
    with pytest.raises(BulkWriteError):
        documents.bulk_write(work)
    assert documents.find_one({"_id": 1}) == {"_id": 1}
    with pytest.raises(BulkWriteError):
        documents.bulk_write(work, ordered=False)
    assert documents.find_one({"_id": 1}) == {"_id": 1, "a": 1}


def test_upserts_race_to_one_document(shared_store: StoreProcess, client: Client) -> None:
    client["t"]["counters"].create_index("name", unique=True)

    async def main() -> None:
        async with pymongo.AsyncMongoClient(shared_store.url) as aclient:
            counters = aclient["t"]["counters"]
            await asyncio.gather(
                *(counters.update_one({"name": "x"}, {"$inc": {"n": 1}}, upsert=True) for _ in range(50))
            )

    asyncio.run(main())
    assert [d["n"] for d in client["t"]["counters"].find()] == [50]


def test_writes_that_are_not_acknowledged(client: Client) -> None:
    documents = client["t"].get_collection("documents", write_concern=pymongo.WriteConcern(w=0))
    for i in range(300):
        documents.insert_one({"_id": i})
    documents.insert_one({"_id": 5})  # nobody is told
    deadline = time.monotonic() + 20
    while client["t"]["documents"].count_documents({}) < 300 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [d["_id"] for d in client["t"]["documents"].find().sort("$natural", -1).limit(2)] == [299, 298]


def test_variables_of_a_command(client: Client) -> None:
    client["t"]["documents"].insert_many([{"_id": i, "n": i} for i in range(5)])
    found = client["t"]["documents"].find({"$expr": {"$gt": ["$n", "$$least"]}}, let={"least": 2})
    assert [d["_id"] for d in found] == [3, 4]


def test_time_limit(client: Client) -> None:
    documents = client["t"]["documents"]
    documents.insert_many([{"n": i} for i in range(20_000)])
    slow = {
        "$expr": {
            "$gt": [
                {
                    "$reduce": {
                        "input": {"$range": [0, 200]},
                        "initialValue": 0,
                        "in": {"$add": ["$$value", "$n"]},
                    }
                },
                -1,
            ]
        }
    }
    with pytest.raises(ExecutionTimeout):
        list(documents.find(slow).max_time_ms(50))
    with pytest.raises(ExecutionTimeout):  # each batch is quick, all of them are not
        list(documents.find(slow).batch_size(20).max_time_ms(50))
    assert documents.find_one({"n": 5}) is not None


def test_a_long_scan_lets_others_work(shared_store: StoreProcess, client: Client) -> None:
    documents = client["t"]["documents"]
    documents.insert_many([{"n": i} for i in range(4_000)])
    slow = {
        "$expr": {
            "$lt": [
                {
                    "$reduce": {
                        "input": {"$range": [0, 100]},
                        "initialValue": 0,
                        "in": {"$add": ["$$value", 1]},
                    }
                },
                0,
            ]
        }
    }

    async def main() -> int:
        async with pymongo.AsyncMongoClient(shared_store.url) as aclient:
            scan = asyncio.create_task(aclient["t"]["documents"].find(slow).to_list())
            answered = 0
            while not scan.done():
                await aclient["t"]["other"].insert_one({})
                answered += 1
            assert await scan == []
            return answered

    assert asyncio.run(main()) > 5


def test_ttl_index_expires_documents(client: Client) -> None:
    tokens = client["t"]["tokens"]
    tokens.create_index("until", expireAfterSeconds=0)
    now = dt.datetime.now(dt.UTC)
    tokens.insert_many([
        {"_id": 1, "until": now - dt.timedelta(seconds=5)}, {"_id": 2, "until": now + dt.timedelta(hours=1)},
        {"_id": 3, "until": "never"}, {"_id": 4},
        {"_id": 5, "until": [now + dt.timedelta(hours=1), now - dt.timedelta(hours=1)]},
    ])  # fmt: skip
    deadline = time.monotonic() + 60
    while tokens.count_documents({}) > 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sorted(d["_id"] for d in tokens.find()) == [2, 3, 4]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"find": "c", "collation": {"locale": "en", "strength": 2}}, 238),
        ({"find": "c", "tailable": True}, 238),
        ({"create": "c", "capped": True, "size": 1000}, 238),
        ({"createIndexes": "c", "indexes": [{"key": {"a": "text"}, "name": "t"}]}, 238),
        ({"createIndexes": "c", "indexes": [{"key": {"$**": 1}, "name": "t"}]}, 67),
        ({"aggregate": "c", "pipeline": [{"$changeStream": {}}], "cursor": {}}, 40573),
        ({"aggregate": "c", "pipeline": [{"$setWindowFields": {}}], "cursor": {}}, 238),
        ({"aggregate": "c", "pipeline": [{"$nonsense": {}}], "cursor": {}}, 40324),
        ({"mapReduce": "c"}, 59),
        ({"getMore": 5, "collection": "c"}, 43),
        ({"dropIndexes": "c", "index": "a"}, 26),
        ({"find": ""}, 73),
        ({"insert": "c", "documents": []}, 16),
        ({"find": "c", "hint": "nonsense"}, None),
    ],
)
def test_what_it_does_not_do_is_refused(client: Client, command: dict[str, Any], code: int | None) -> None:
    if code is None:
        assert client["t"].command(command)["cursor"]["firstBatch"] == []
        return
    with pytest.raises(OperationFailure) as error:
        client["t"].command(command)
    assert error.value.code == code
    assert error.value.details is not None
    assert error.value.details["errmsg"]
    assert error.value.details["codeName"]
