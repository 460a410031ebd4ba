"""Sessions and multi-document transactions."""

import subprocess
import sys
import time

import pymongo
import pytest
from pymongo.errors import PyMongoError

pytestmark = pytest.mark.transactions


@pytest.mark.iceprod
def test_session_without_transaction(c):
    with c.database.client.start_session() as session:
        c.insert_one({"_id": 1}, session=session)
        assert c.find_one({"_id": 1}, session=session) == {"_id": 1}


@pytest.mark.iceprod
def test_commit(c):
    c.insert_one({"_id": 0})

    def callback(session):
        c.insert_one({"_id": 1}, session=session)
        c.update_many({"_id": 0}, {"$set": {"a": 1}}, session=session)
        return "result"

    with c.database.client.start_session() as session:
        assert session.with_transaction(callback) == "result"
    assert list(c.find().sort("_id")) == [{"_id": 0, "a": 1}, {"_id": 1}]


@pytest.mark.iceprod
def test_abort_rolls_back(c):
    c.insert_one({"_id": 0})

    def callback(session):
        c.insert_one({"_id": 1}, session=session)
        c.update_one({"_id": 0}, {"$set": {"a": 1}}, session=session)
        raise RuntimeError("abort")

    with c.database.client.start_session() as session, pytest.raises(RuntimeError):
        session.with_transaction(callback)
    assert list(c.find()) == [{"_id": 0}]


@pytest.mark.iceprod
def test_isolated_from_other_client(c, other):
    """Nobody else sees what is not committed."""
    c.insert_one({"_id": 0})
    with c.database.client.start_session() as session:
        session.start_transaction()
        c.insert_one({"_id": 1}, session=session)
        assert other.count_documents({}) == 1
        session.abort_transaction()


@pytest.mark.feature("reads_during_transactions")
def test_others_can_read_meanwhile(c, other):
    """Others need not wait for the end of a transaction, nor does that end it."""
    c.insert_one({"_id": 0})
    with c.database.client.start_session() as session, session.start_transaction():
        c.insert_one({"_id": 1}, session=session)
        with pymongo.timeout(5):
            assert other.count_documents({}) == 1
    assert other.count_documents({}) == 2


@pytest.mark.iceprod
def test_abort_keeps_other_clients_writes(c, other):
    """What another client wrote meanwhile, and was acknowledged, survives an abort."""
    c.insert_one({"_id": 0})
    acknowledged = True
    with c.database.client.start_session() as session:
        session.start_transaction()
        c.insert_one({"_id": 1}, session=session)
        try:
            with pymongo.timeout(5):
                other.insert_one({"_id": 2})
        except PyMongoError:
            acknowledged = False  # a server may make others wait; then either outcome is right
        session.abort_transaction()
    found = [d["_id"] for d in c.find().sort("_id")]
    assert found == [0, 2] or (not acknowledged and found == [0])


def test_aggregate_sees_own_writes(c):
    def callback(session):
        c.insert_one({"_id": 1}, session=session)
        return list(c.aggregate([{"$count": "n"}], session=session))

    with c.database.client.start_session() as session:
        assert session.with_transaction(callback) == [{"n": 1}]


CRASHING_CLIENT = """
import os, sys, pymongo
client = pymongo.MongoClient(sys.argv[1])
c = client["dbcheck"][sys.argv[2]]
session = client.start_session()
session.start_transaction()
c.update_many({"status": "waiting"}, {"$set": {"status": "queued"}}, session=session)
os._exit(0)
"""


def test_client_that_dies_in_a_transaction(c, mongo_url):
    """Its changes are never seen, and others can go on (at most a minute later)."""
    c.insert_many([{"_id": i, "status": "waiting"} for i in range(10)])
    subprocess.run([sys.executable, "-c", CRASHING_CLIENT, mongo_url, c.name], check=True, timeout=60)
    assert c.distinct("status") == ["waiting"]
    deadline = time.monotonic() + 240
    while True:
        try:
            with pymongo.timeout(2):
                c.update_many({}, {"$set": {"status": "done"}})
            break
        except PyMongoError:
            assert time.monotonic() < deadline
    with c.database.client.start_session() as session, session.start_transaction():
        c.insert_one({"_id": 10, "status": "done"}, session=session)
    assert c.count_documents({"status": "done"}) == 11


def test_write_conflict_is_transient(c, other):
    """A transaction whose document was changed since it read it must start again."""
    c.insert_one({"_id": 1, "n": 0})
    attempts, acknowledged = [], []

    def callback(session):
        attempts.append(1)
        n = c.find_one({"_id": 1}, session=session)["n"]
        if len(attempts) == 1:
            try:
                with pymongo.timeout(5):
                    acknowledged.append(other.update_one({"_id": 1}, {"$inc": {"n": 10}}))
            except PyMongoError:
                pass    # it waits for this transaction, and may be done after it
        c.update_one({"_id": 1}, {"$set": {"n": n + 1}}, session=session)

    with c.database.client.start_session() as session:
        session.with_transaction(callback)
    assert c.find_one({"_id": 1})["n"] in ([11] if acknowledged else [1, 11])
