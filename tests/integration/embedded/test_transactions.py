"""Transactions: isolation, conflicts, and who waits for whom."""

from __future__ import annotations

import threading
from typing import Any

import pymongo
import pytest
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure

Client = pymongo.MongoClient[dict[str, Any]]


@pytest.fixture
def accounts(client: Client) -> Any:
    found = client["t"]["accounts"]
    found.create_index("owner", unique=True)
    found.create_index([("kind", 1), ("money", -1)])
    found.insert_many([{"_id": i, "owner": f"o{i}", "kind": "a", "money": 10 * i} for i in range(10)])
    return found


def test_reads_its_own_writes_through_indexes_in_order(client: Client, accounts: Any) -> None:
    with client.start_session() as session, session.start_transaction():
        accounts.insert_one({"_id": 10, "owner": "new", "kind": "a", "money": 45}, session=session)
        accounts.update_one({"_id": 0}, {"$set": {"money": 85}}, session=session)
        accounts.delete_one({"_id": 9}, session=session)
        best = list(accounts.find({"kind": "a"}, session=session).sort("money", -1).limit(4))
        assert [d["money"] for d in best] == [85, 80, 70, 60]
        assert [
            d["money"] for d in accounts.find({"kind": "a"}, session=session).sort("money", 1).limit(2)
        ] == [10, 20]
        assert accounts.find_one({"owner": "new"}, session=session)["_id"] == 10
        assert accounts.count_documents({"kind": "a"}, session=session) == 10
        assert accounts.find_one({"owner": "o9"}, session=session) is None
        assert {d["_id"] for d in accounts.find({}, session=session)} == {*range(9), 10}
        # others see nothing of it
        assert accounts.count_documents({"money": 85}) == 0
        assert accounts.find_one({"_id": 9}) is not None
    assert accounts.find_one({"_id": 9}) is None
    assert accounts.find_one({"_id": 0})["money"] == 85


def test_reads_a_snapshot(client: Client, accounts: Any) -> None:
    with client.start_session() as session, session.start_transaction():
        assert accounts.count_documents({}, session=session) == 10
        accounts.insert_one({"_id": 99, "owner": "later"})
        accounts.update_one({"_id": 1}, {"$set": {"money": 0}})
        assert accounts.count_documents({}, session=session) == 10
        assert accounts.find_one({"_id": 1}, session=session)["money"] == 10
    assert accounts.count_documents({}) == 11


def test_conflicting_transactions(client: Client, accounts: Any) -> None:
    with client.start_session() as first, client.start_session() as second:
        first.start_transaction()
        second.start_transaction()
        accounts.update_one({"_id": 1}, {"$inc": {"money": 1}}, session=first)
        with pytest.raises(OperationFailure) as error:
            accounts.update_one({"_id": 1}, {"$inc": {"money": 1}}, session=second)
        assert error.value.code == 112
        assert error.value.has_error_label("TransientTransactionError")
        # the loser is over, the winner is not
        with pytest.raises(OperationFailure) as error:
            accounts.find_one({}, session=second)
        assert error.value.code == 251
        second.abort_transaction()
        first.commit_transaction()
    assert accounts.find_one({"_id": 1})["money"] == 11


def test_unique_key_of_an_open_transaction(client: Client, accounts: Any) -> None:
    with client.start_session() as first, client.start_session() as second:
        first.start_transaction()
        second.start_transaction()
        accounts.insert_one({"owner": "both"}, session=first)
        with pytest.raises(OperationFailure) as error:
            accounts.insert_one({"owner": "both"}, session=second)
        assert error.value.code == 112
        first.commit_transaction()
    with pytest.raises(DuplicateKeyError):
        accounts.insert_one({"owner": "both"})


def test_a_key_can_change_hands_within_a_transaction(client: Client, accounts: Any) -> None:
    with client.start_session() as session, session.start_transaction():
        accounts.update_one({"_id": 1}, {"$set": {"owner": "elsewhere"}}, session=session)
        accounts.update_one({"_id": 2}, {"$set": {"owner": "o1"}}, session=session)
    assert accounts.find_one({"owner": "o1"})["_id"] == 2


@pytest.mark.parametrize("commit", [True, False])
def test_others_wait_for_a_document(client: Client, accounts: Any, commit: bool) -> None:
    """A write outside of transactions waits for the end, and then applies to what it finds."""
    with client.start_session() as session:
        session.start_transaction()
        accounts.update_one({"_id": 1}, {"$inc": {"money": 1}}, session=session)
        done: list[Any] = []
        thread = threading.Thread(
            target=lambda: done.append(
                accounts.find_one_and_update({"_id": 1}, {"$inc": {"money": 100}}, return_document=True)
            )
        )
        thread.start()
        thread.join(0.3)
        assert not done
        if commit:
            session.commit_transaction()
        else:
            session.abort_transaction()
        thread.join(20)
    assert done[0]["money"] == 110 + commit


def test_waiting_has_a_limit(client: Client, accounts: Any) -> None:
    with client.start_session() as session, session.start_transaction():
        accounts.update_one({"_id": 1}, {"$inc": {"money": 1}}, session=session)
        with pytest.raises(OperationFailure) as error:
            client["t"].command(
                "findAndModify", "accounts", query={"_id": 1}, update={"$inc": {"money": 1}}, maxTimeMS=200
            )
        assert error.value.code == 50
    assert accounts.find_one({"_id": 1})["money"] == 11


def test_transfers_keep_the_sum(client: Client, accounts: Any) -> None:
    def transfer(number: int) -> None:
        source, target = number % 10, (number * 7 + 3) % 10

        def callback(session: ClientSession) -> None:
            accounts.update_one({"_id": source}, {"$inc": {"money": -1}}, session=session)
            accounts.update_one({"_id": target}, {"$inc": {"money": 1}}, session=session)

        with client.start_session() as session:
            session.with_transaction(callback)

    threads = [
        threading.Thread(target=lambda n=n: [transfer(n * 10 + i) for i in range(10)]) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(d["money"] for d in accounts.find()) == 450


def test_what_cannot_be_done_inside(client: Client, accounts: Any) -> None:
    with client.start_session() as session:
        session.start_transaction()
        with pytest.raises(OperationFailure) as error:
            client["t"].command("count", "accounts", session=session)
        assert error.value.code == 263
        session.abort_transaction()


def test_dropped_collection_fails_the_commit_or_waits(client: Client, accounts: Any) -> None:
    with client.start_session() as session:
        session.start_transaction()
        accounts.insert_one({"_id": 50, "owner": "x"}, session=session)
        thread = threading.Thread(target=accounts.drop)
        thread.start()
        thread.join(0.2)
        session.commit_transaction()
        thread.join(20)
    assert "accounts" not in client["t"].list_collection_names()


def test_collection_and_index_made_after_the_snapshot(client: Client, accounts: Any) -> None:
    with client.start_session() as session, session.start_transaction():
        assert accounts.count_documents({}, session=session) == 10
        accounts.create_index("money")
        client["t"]["late"].insert_one({"_id": 1})
        assert accounts.find_one({"money": 50}, session=session)["_id"] == 5
        assert client["t"]["late"].find_one({}, session=session) is None
