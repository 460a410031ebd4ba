"""What we ask of MongoDB's driver, what a url may ask instead, and which errors pass by themselves."""

from __future__ import annotations

import pytest
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from config.settings import Database, SettingsError, load
from server.store.away import is_away
from server.store.database import OPTIONS, options
from server.store.duplicates import are_duplicates

LATE = {"writeConcernErrors": [{"code": 64}], "writeErrors": []}


def client(query: str) -> AsyncMongoClient:
    url = f"mongodb://db1.example.org,db2.example.org/?{query}&replicaSet=iceprod".replace("?&", "?")
    return AsyncMongoClient(url, connect=False, **options(url))


def test_without_a_word_of_the_url_nothing_acknowledged_is_lost() -> None:
    found = client("")
    assert found.write_concern.document == {"w": "majority", "j": True, "wtimeout": 20_000}
    assert (found.options.retry_writes, found.options.retry_reads) == (True, True)
    assert found.read_preference == ReadPreference.PRIMARY
    assert found.options.server_selection_timeout == 15.0


@pytest.mark.parametrize(("query", "document"), [
    ("w=3", {"w": 3, "j": True, "wtimeout": 20_000}),
    ("W=5&wTimeoutMS=9", {"w": 5, "j": True, "wtimeout": 9}),
    ("journal=true&w=twoSites", {"w": "twoSites", "j": True, "wtimeout": 20_000}),
])
def test_a_url_may_ask_for_more(query: str, document: dict[str, object]) -> None:
    assert client(query).write_concern.document == document


def test_a_url_has_the_last_word_of_what_costs_no_data() -> None:
    query = "retryWrites=false&retryreads=false&serverSelectionTimeoutMS=1000"
    found = client(query + "&appName=me&maxPoolSize=7")
    assert (found.options.retry_writes, found.options.retry_reads) == (False, False)
    assert found.options.server_selection_timeout == 1.0
    assert found.options.pool_options.appname == "me"
    assert found.options.pool_options.max_pool_size == 7


@pytest.mark.parametrize("query", ["w=0", "w=1", "w=01", "w=%2B1", "journal=false",
                                   "readPreference=secondaryPreferred", "tls=true&readpreference=nearest"])
def test_what_would_lose_data_is_refused(query: str) -> None:
    url = f"mongodb://db.example.org/?{query}"
    with pytest.raises(SettingsError, match=r"url: with .*; leave it out.*database"):
        load(None, {"ICEPROD__DATABASE__URL": url})


def test_the_primary_may_be_named() -> None:
    assert Database(url="mongodb://db.example.org/?readPreference=primary&journal=true&w=majority")


def test_every_option_is_known_to_the_driver() -> None:
    assert client("").options.write_concern.acknowledged
    assert set(options("")) == set(OPTIONS)


@pytest.mark.parametrize("error", [
    AutoReconnect("x"), NotPrimaryError("x"), ServerSelectionTimeoutError("x"), WaitQueueTimeoutError("x"),
    WTimeoutError("x", 64), OperationFailure("x", 11602), OperationFailure("x", 43),
    OperationFailure("x", 14031), BulkWriteError(LATE),
    BulkWriteError({**LATE, "writeErrors": [{"code": 11000}]})])
def test_what_passes_by_itself(error: PyMongoError) -> None:
    assert is_away(error)


@pytest.mark.parametrize("error", [
    DuplicateKeyError("x", 11000), ExecutionTimeout("x", 50), OperationFailure("x", 2), InvalidOperation("x"),
    BulkWriteError({**LATE, "writeErrors": [{"code": 11000}, {"code": 121}]}), ValueError(), None])
def test_what_does_not(error: object) -> None:
    assert not is_away(error)


def test_what_a_majority_does_not_acknowledge_is_not_taken_for_stored() -> None:
    there = [{"code": 11000, "index": 0}]
    assert are_duplicates(BulkWriteError({"writeErrors": there, "writeConcernErrors": []}))
    assert not are_duplicates(BulkWriteError({"writeErrors": [*there, {"code": 121}]}))
    assert not are_duplicates(BulkWriteError(LATE))
    assert not are_duplicates(BulkWriteError({**LATE, "writeErrors": there}))
