"""Restarts, crashes, a full disk, damage, dumps."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from server.embedded.access import store_url
from server.embedded.documents.errors import DataDirectoryError
from server.embedded.dumping import dump, restore
from server.embedded.serving import url_of
from server.embedded.sessions.checking import check
from tests.support.installation import wait_until
from tests.support.store import ROOT, StoreProcess, store_process


def connected(store: StoreProcess) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(store.url, serverSelectionTimeoutMS=5000)


def test_restart_keeps_documents_and_indexes(store: StoreProcess) -> None:
    with connected(store) as client:
        c = client["t"]["c"]
        c.create_index([("a", 1), ("b", -1)], unique=True, name="ab")
        c.create_index("s", sparse=True)
        c.create_index("p", unique=True, partialFilterExpression={"on": True})
        c.create_index("t", expireAfterSeconds=100)
        c.create_index("l")
        c.insert_many([{"_id": i, "a": i, "b": 0, "p": i, "on": False, "l": [i, i + 1]} for i in range(100)])
        before = c.index_information()
    assert store.stop() == 0
    store.start()
    with connected(store) as client:
        c = client["t"]["c"]
        assert c.index_information() == before
        assert c.count_documents({}) == 100
        assert [d["_id"] for d in c.find({"l": 5}).sort("_id", 1)] == [4, 5]
        with pytest.raises(DuplicateKeyError):
            c.insert_one({"a": 5, "b": 0, "p": 1000})
        c.insert_one({"a": 1000, "p": 1, "on": False})
        c.insert_one({"a": 1001, "p": 1, "on": True})
        with pytest.raises(DuplicateKeyError):
            c.insert_one({"a": 1002, "p": 1, "on": True})


def test_second_server_is_refused(store: StoreProcess) -> None:
    command = [sys.executable, "-m", "server.embedded", "serve", "--data", str(store.data)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "another process" in result.stderr
    assert str(store.process.pid if store.process else "") in result.stderr
    with connected(store) as client:
        assert client.admin.command("ping")["ok"] == 1


def test_socket_is_private_and_address_is_told(store: StoreProcess) -> None:
    assert store.socket.stat().st_mode & 0o777 == 0o600
    assert url_of(store.data) == store.url
    assert (store.data / "store.json").stat().st_mode & 0o777 == 0o600
    store.stop()
    with pytest.raises(DataDirectoryError):
        url_of(store.data)


def test_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 30) / "data"
    command = [sys.executable, "-m", "server.embedded", "serve", "--data", str(data)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (data / "store.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pymongo.MongoClient(url_of(data)) as client:
            client["t"]["c"].insert_one({"_id": 1})
    finally:
        process.terminate()
        process.wait(30)
    refused = [*command, "--socket", str(data / "store.sock")]
    result = subprocess.run(refused, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "107 bytes" in result.stderr


def test_login_over_tcp(tmp_path: Path) -> None:
    with store_process(tmp_path, ["--port", "0"]) as store:
        address = json.loads((store.data / "store.json").read_text())
        url = address["tcp_url"]
        with pymongo.MongoClient(url) as client:
            client["t"]["c"].insert_one({"_id": 1})
            client.admin.command("createUser", "ada", pwd="pass wörd", roles=[])
        host = url.rpartition("@")[2]
        with pymongo.MongoClient(f"mongodb://{host}", username="ada", password="pass wörd") as client:
            assert client["t"]["c"].count_documents({}) == 1
        for login in ({"username": "ada", "password": "wrong"}, {"username": "bob", "password": "x"}, {}):
            with (
                pymongo.MongoClient(f"mongodb://{host}", **login) as client,
                pytest.raises(OperationFailure) as error,
            ):
                client["t"]["c"].find_one()
            assert error.value.code in (13, 18)


def test_no_auth_only_on_loopback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "server.embedded", "serve", "--data", str(tmp_path / "d"), "--port", "0"]
    command += ["--host", "0.0.0.0", "--no-auth"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "loopback" in result.stderr


class Load:
    """Clients that write, and note what was acknowledged, until the server is gone."""

    def __init__(self, url: str, round_: int) -> None:
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, timeoutMS=3_000)
        self.c = self.client["t"]["c"]
        self.round = round_
        self.inserted: list[str] = []
        self.claimed: list[tuple[str, str]] = []
        self.pairs: list[str] = []
        self.c.insert_many([{"key": f"{round_}-seed-{i}", "status": "waiting"} for i in range(200)])
        work = [self.insert] * 3 + [self.insert_many] + [self.claim] * 2 + [self.pair] * 2
        self.threads = [threading.Thread(target=self.loop, args=pair) for pair in enumerate(work)]
        for thread in self.threads:
            thread.start()

    def loop(self, number: int, work: Any) -> None:
        try:
            for i in range(10**9):
                work(f"{self.round}-{number}-{i}")
        except PyMongoError:
            pass

    def insert(self, key: str) -> None:
        self.c.insert_one({"key": key, "padding": "x" * 500})
        self.inserted.append(key)

    def insert_many(self, key: str) -> None:
        self.c.insert_many([{"key": f"{key}-{i}"} for i in range(20)])
        self.inserted += [f"{key}-{i}" for i in range(20)]

    def claim(self, key: str) -> None:
        found = self.c.find_one_and_update(
            {"status": "waiting"}, {"$set": {"status": "queued", "owner": key}}
        )
        if found is None:
            time.sleep(0.01)
        else:
            self.claimed.append((found["key"], key))

    def pair(self, key: str) -> None:
        with self.client.start_session() as session, session.start_transaction():
            self.c.insert_one({"key": f"{key}-a", "pair": key}, session=session)
            self.c.insert_one({"key": f"{key}-b", "pair": key}, session=session)
        self.pairs.append(key)

    def end(self) -> None:
        for thread in self.threads:
            thread.join(60)
        self.client.close()


def kill_under_load(store: StoreProcess, round_: int) -> None:
    load = Load(store.url, round_)
    wait_until(lambda: load.inserted)
    time.sleep(random.random())
    store.kill()
    load.end()
    store.start()
    with connected(store) as client:
        found = {d["key"]: d for d in client["t"]["c"].find()}
        assert load.inserted
        assert [key for key in load.inserted if key not in found] == []
        assert [key for key, owner in load.claimed if found[key].get("owner") != owner] == []
        pairs = [d["pair"] for d in found.values() if "pair" in d]
        assert all(pairs.count(pair) == 2 for pair in set(pairs))
        assert set(load.pairs) <= set(pairs)
        assert client["t"].command("validate", "c")["valid"]


def _prepare(store: StoreProcess) -> None:
    with connected(store) as client:
        client["t"]["c"].create_index("key", unique=True)
        client["t"]["c"].create_index([("status", 1), ("owner", 1)])


@pytest.mark.slow
def test_kill_under_load(store: StoreProcess) -> None:
    _prepare(store)
    for round_ in range(3):
        kill_under_load(store, round_)
    store.stop()
    assert check(store.data).sound


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_kill_under_load_50_times(store: StoreProcess) -> None:
    _prepare(store)
    for round_ in range(50):
        kill_under_load(store, round_)
        with connected(store) as client:
            client["t"]["c"].delete_many({})
    store.stop()
    assert check(store.data).sound


def test_kill_while_an_index_is_made(store: StoreProcess) -> None:
    """The index is made whole, or not at all."""
    with connected(store) as client:
        client["t"]["c"].insert_many([{"n": i, "text": "x" * 200} for i in range(30_000)])

    def build() -> None:
        try:
            with connected(store) as client:
                client["t"]["c"].create_index("n")
        except PyMongoError:
            pass

    thread = threading.Thread(target=build)
    thread.start()
    time.sleep(0.15)
    store.kill()
    thread.join()
    store.start()
    with connected(store) as client:
        c = client["t"]["c"]
        assert client["t"].command("validate", "c")["valid"]
        c.create_index("n")
        assert c.count_documents({"n": {"$gte": 0}}) == 30_000


def test_full_disk(tmp_path: Path) -> None:
    """A write that does not fit is refused with MongoDB's code, and everything else goes on."""
    from server.embedded.storage.storage import Storage

    with store_process(tmp_path) as store:
        with connected(store) as client:
            client["t"]["c"].create_index("n")
            client["t"]["c"].insert_many([{"_id": i, "n": i} for i in range(100)])
        store.stop()
        storage = Storage(store.data)
        (pages,) = storage.db.execute("PRAGMA page_count").fetchone()
        storage.close()
        store.arguments += ["--max-pages", str(pages + 50)]
        store.start()
        with connected(store) as client:
            c = client["t"]["c"]

            def fill() -> None:
                for i in range(100, 1000):
                    c.insert_one({"_id": i, "n": i, "padding": "x" * 3000})

            with pytest.raises(OperationFailure) as error:
                fill()
            assert error.value.code == 14031
            number = c.count_documents({})
            assert 100 < number < 1000
            assert [d["_id"] for d in c.find().sort("_id", 1)] == list(range(number))
            assert c.delete_many({"_id": {"$gte": 50}}).deleted_count == number - 50
            c.insert_one({"_id": "fits again"})
            assert client["t"].command("validate", "c")["valid"]
        store.stop()
        assert check(store.data).sound


def test_full_disk_fails_all_of_its_group_and_no_more(tmp_path: Path) -> None:
    """Of many clients at once, whoever was acknowledged is there."""
    with store_process(tmp_path, ["--max-pages", "400"]) as store:
        acknowledged: list[str] = []
        codes: list[int | None] = []

        def write(number: int) -> None:
            with connected(store) as client:
                for i in range(200):
                    try:
                        client["t"]["c"].insert_one({"_id": f"{number}-{i}", "padding": "x" * 2000})
                        acknowledged.append(f"{number}-{i}")
                    except OperationFailure as error:
                        codes.append(error.code)
                        return

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(codes) == {14031}
        with connected(store) as client:
            found = {d["_id"] for d in client["t"]["c"].find({}, {"_id": 1})}
        assert found == set(acknowledged)


def test_repair_of_an_index(store: StoreProcess) -> None:
    with connected(store) as client:
        client["t"]["c"].create_index("n")
        client["t"]["c"].insert_many([{"_id": i, "n": i} for i in range(500)])
    store.stop()
    with sqlite3.connect(store.data / "store.sqlite") as db:
        (table,) = db.execute("SELECT 'k' || max(id) FROM indexes").fetchone()
        db.execute(f"DELETE FROM {table} WHERE rid % 3 = 0")
    db.close()
    report = check(store.data)
    assert len(report.problems) > 100
    assert not report.repairs
    assert check(store.data, repair=True).repairs
    assert check(store.data).sound
    store.start()
    with connected(store) as client:
        assert client["t"]["c"].count_documents({"n": {"$gte": 0}}) == 500


def test_repair_of_a_damaged_file(store: StoreProcess) -> None:
    """What can be read is saved, and the damaged file is kept."""
    with connected(store) as client:
        client["t"]["c"].create_index("n", unique=True)
        client["t"]["c"].insert_many([{"_id": i, "n": i, "text": "x" * 2000} for i in range(2000)])
    store.stop()
    path = store.data / "store.sqlite"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(os.urandom(8192))
    assert not check(store.data).sound
    report = check(store.data, repair=True)
    assert any("kept" in line for line in report.repairs)
    assert check(store.data).sound
    store.start()
    with connected(store) as client:
        c = client["t"]["c"]
        number = c.count_documents({})
        assert 1500 < number <= 2000
        assert c.count_documents({"n": {"$gte": 0}}) == number
        assert c.index_information()["n_1"]["unique"] is True
        assert all(d["n"] == d["_id"] and d["text"] == "x" * 2000 for d in c.find())


def test_check_needs_the_directory_for_itself(store: StoreProcess, tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match="another process"):
        check(store.data)
    with pytest.raises(DataDirectoryError, match="no store"):
        check(tmp_path / "nothing")


def test_dump_and_restore(store: StoreProcess, tmp_path: Path) -> None:
    documents = [
        {"_id": 1, "b": bson.Binary(b"x", 128), "l": bson.Int64(5)},
        {"_id": "two", "d": bson.Decimal128("1.10"), "r": bson.Regex("^a", "i")},
    ]
    with connected(store) as client:
        client["one"]["plain"].insert_many(documents)
        client["two"]["odd/name: 100%"].insert_one({"_id": 1})
        client["two"]["odd/name: 100%"].create_index(
            [("a", 1), ("b", -1)], unique=True, sparse=True, name="ab"
        )
        client["two"]["empty"].create_index("t", expireAfterSeconds=60)
    # from a running server
    copied = dump(store.url, tmp_path / "dump")
    assert sum(entry.documents for entry in copied) == 3
    assert bson.decode_all((tmp_path / "dump/one/plain.bson").read_bytes()) == documents
    # into a data directory that nobody serves
    with store_url(tmp_path / "other") as url:
        restore(url, tmp_path / "dump")
        with pymongo.MongoClient(url) as client:
            assert list(client["one"]["plain"].find()) == documents
            index = client["two"]["odd/name: 100%"].index_information()["ab"]
            assert index["key"] == [("a", 1), ("b", -1)]
            assert index["unique"]
            assert index["sparse"]
            assert client["two"]["empty"].index_information()["t_1"]["expireAfterSeconds"] == 60
            with pytest.raises(PyMongoError):
                restore(url, tmp_path / "dump")
            restore(url, tmp_path / "dump", drop=True)
            assert client["one"]["plain"].count_documents({}) == 2


def test_damaged_dump_is_refused(store: StoreProcess, tmp_path: Path) -> None:
    folder = tmp_path / "dump" / "t"
    folder.mkdir(parents=True)
    with pytest.raises(DataDirectoryError, match="no dump"):
        restore(store.url, tmp_path / "dump")
    (folder / "c.bson").write_bytes(bson.encode({"a": 1}) + b"\x40\0\0\0half")
    with pytest.raises(DataDirectoryError, match="damaged"):
        restore(store.url, tmp_path / "dump")


def test_command_line(store: StoreProcess, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "server.embedded", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    with connected(store) as client:
        client["t"]["c"].insert_one({"_id": 1})
    data, out = str(store.data), str(tmp_path / "out")
    assert "t.c: 1 documents" in run("dump", "--data", data, "--out", out).stdout
    assert run("check", "--data", data).returncode == 1
    store.stop()
    assert run("check", "--data", data).stdout == "sound\n"
    assert "t.c: 1 documents" in run("restore", "--data", data, "--from", out, "--drop").stdout
