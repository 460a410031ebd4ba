"""Broken messages, greedy commands, many connections: the store refuses, goes on, and serves the others."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import psutil
import pymongo
import pytest
from pymongo.errors import ExecutionTimeout, OperationFailure

from tests.support.store import StoreProcess, store_process

_SEED = 20261128
_CONNECTIONS = 1000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with store_process(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@pytest.fixture
def documents(store: StoreProcess) -> Iterator[Any]:
    with pymongo.MongoClient(store.url) as client:
        collection = client["hostile"]["c"]
        collection.drop()
        yield collection


def _connect(store: StoreProcess) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(store.socket))
    return connection


def _message(body: bytes, number: int = 1, operation: int = 2013, flags: int = 0) -> bytes:
    payload = struct.pack("<I", flags) + b"\0" + body
    return struct.pack("<iiii", 16 + len(payload), number, 0, operation) + payload


_PING = _message(bson.encode({"ping": 1, "$db": "admin"}))


def _answers(store: StoreProcess) -> bool:
    with contextlib.closing(_connect(store)) as connection:
        connection.sendall(_PING)
        size = struct.unpack("<i", connection.recv(4, socket.MSG_WAITALL))[0]
        return len(connection.recv(size - 4, socket.MSG_WAITALL)) == size - 4


def _memory(store: StoreProcess) -> int:
    assert store.process is not None
    return int(psutil.Process(store.process.pid).memory_info().rss)


def _mutated(source: random.Random) -> bytes:
    """A message that is cut, changed, or random."""
    kind = source.randrange(5)
    if kind == 0:
        return source.randbytes(source.randrange(1, 400))
    body = {"find": "c", "filter": {"a": {"$in": [1, "b", None]}}, "$db": "t"}
    message = bytearray(_message(bson.encode(body)))
    if kind == 1:
        return bytes(message[: source.randrange(len(message))])
    for _ in range(source.randrange(1, 6)):
        message[source.randrange(16 if kind == 2 else 4, len(message))] = source.randrange(256)
    if kind == 3:
        struct.pack_into("<i", message, 0, source.choice([-1, 0, 15, 2**31 - 1, 50_000_000]))
    return bytes(message)


def test_broken_messages(store: StoreProcess) -> None:
    source = random.Random(_SEED)
    before = _memory(store)
    for _ in range(600):
        with contextlib.closing(_connect(store)) as connection, contextlib.suppress(OSError):
            connection.sendall(_mutated(source))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert _answers(store)
    assert _memory(store) - before < 200 << 20


def test_clients_that_stop_in_the_middle(store: StoreProcess) -> None:
    halves = [_connect(store) for _ in range(50)]
    for i, connection in enumerate(halves):
        connection.sendall(_PING[: 1 + i % (len(_PING) - 1)])
    assert _answers(store)
    for connection in halves:
        connection.close()
    assert _answers(store)


def test_a_thousand_connections(store: StoreProcess) -> None:
    before = _memory(store)
    connections = [_connect(store) for _ in range(_CONNECTIONS)]
    try:
        for connection in connections:
            connection.sendall(_PING)
        for connection in connections:
            assert connection.recv(4, socket.MSG_WAITALL)
    finally:
        for connection in connections:
            connection.close()
    assert _answers(store)
    assert _memory(store) - before < 100 << 20


@pytest.mark.parametrize(
    "expression",
    [
        {"$reduce": {"input": {"$range": [0, 1_000_000]}, "initialValue": [], "in": {
            "$concatArrays": ["$$value", {"$range": [0, 1000]}]}}},
        {"$size": {"$map": {"input": {"$range": [0, 1_000_000]}, "in": {"$map": {
            "input": {"$range": [0, 1000]}, "in": {"$sqrt": "$$this"}}}}}},
        {"$regexMatch": {"input": "a" * 40, "regex": "(?=a)" + "a?" * 40 + "a" * 40 + "(?=c)"}},
    ],
)  # fmt: skip
def test_greedy_computing_ends_with_an_error(store: StoreProcess, documents: Any, expression: Any) -> None:
    documents.insert_one({"_id": 1})
    for ask in (
        lambda: list(documents.aggregate([{"$project": {"x": expression}}])),
        lambda: documents.update_one({}, [{"$set": {"x": expression}}]),
        lambda: documents.find_one({"$expr": {"$eq": [expression, 1]}}),
    ):
        with pytest.raises(OperationFailure) as refused:
            ask()
        assert refused.value.code in (50, 146, 292)
    assert documents.find_one() == {"_id": 1}
    assert _answers(store)


def test_point_reads_go_on_beside_a_slow_command(store: StoreProcess, documents: Any) -> None:
    """However long a scan takes, others are served meanwhile: it ends by its own limit, not by theirs."""
    documents.insert_many({"_id": i, "text": "a" * 200} for i in range(60_000))
    with pymongo.MongoClient(store.url) as other:
        slow = _connect(store)
        pipeline = [{"$match": {"text": {"$regex": "(a*)*b"}}}]
        body = {"aggregate": "c", "pipeline": pipeline, "cursor": {}, "$db": "hostile"}
        slow.sendall(_message(bson.encode(body)))
        slow.setblocking(False)
        reads = 0
        while True:
            try:
                assert slow.recv(4)
                break
            except BlockingIOError:
                assert other["hostile"]["c"].find_one({"_id": reads})
                reads += 1
        slow.close()
    assert reads >= 10


def test_max_time_is_honoured(documents: Any) -> None:
    documents.insert_many({"_id": i, "text": "a" * 500} for i in range(30_000))
    begun = time.monotonic()
    with pytest.raises(ExecutionTimeout):
        list(documents.find({"text": {"$regex": "(a*)*b"}}).max_time_ms(1))
    assert documents.find_one({"_id": 5})
    assert time.monotonic() > begun


def test_the_file_of_the_store_is_whole_afterwards(tmp_path: Path) -> None:
    from server.embedded.__main__ import main

    with store_process(tmp_path) as running:
        with pymongo.MongoClient(running.url) as client:
            client["t"]["c"].insert_many({"a": i} for i in range(100))
        source = random.Random(_SEED)
        for _ in range(50):
            with contextlib.closing(_connect(running)) as connection, contextlib.suppress(OSError):
                connection.sendall(_mutated(source))
        running.stop()
        assert main(["check", "--data", str(running.data)]) == 0
