"""What was acknowledged must be there after the server was killed."""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import PyMongoError

from .conftest import connect

pytestmark = pytest.mark.durability

DATABASE = "dbcheck_kills"


class Server:
    """The server that --server-command runs."""

    def __init__(self, command, url):
        self.command, self.url, self.process = command, url, None

    def start(self):
        self.process = subprocess.Popen(f"exec {self.command}", shell=True, start_new_session=True)
        deadline = time.monotonic() + 120
        while True:
            assert self.process.poll() is None, "the server ended"
            try:
                with pymongo.MongoClient(self.url, serverSelectionTimeoutMS=200) as client:
                    client.admin.command("ping")
                return
            except PyMongoError:
                assert time.monotonic() < deadline, "the server does not answer"

    def processes(self):
        """The server's process and all its descendants."""
        children = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(path.parent.name))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, ())
        return found

    def kill(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def server(request, mongo_url):
    command = request.config.getoption("--server-command")
    if not command:
        pytest.skip("needs --server-command")
    server = Server(command, mongo_url)
    try:
        server.start()
        with connect(mongo_url) as client:
            client.drop_database(DATABASE)
        yield server
    finally:
        server.stop()


class Load:
    """Clients in threads that work, and note what was acknowledged, until an error."""

    def __init__(self, url):
        self.client = pymongo.MongoClient(url, timeoutMS=5000)
        self.c = self.client[DATABASE]["tasks"]
        self.c.create_index("key", unique=True)
        self.c.insert_many({"key": f"seed{i}", "status": "waiting", "priority": i} for i in range(300))
        self.inserted, self.claimed, self.in_transactions = [], [], []
        work = [self.insert] * 6 + [self.insert_batch] * 2 + [self.claim] * 3 + [self.transaction] * 2
        self.threads = [threading.Thread(target=self.loop, args=(f, i)) for i, f in enumerate(work)]
        for thread in self.threads:
            thread.start()

    def loop(self, work, number):
        try:
            for i in range(1_000_000):
                work(f"{number}-{i}")
        except PyMongoError:
            pass  # the server was killed

    def insert(self, key):
        self.c.insert_one({"key": key, "status": "new", "padding": "x" * 300})
        self.inserted.append(key)

    def insert_batch(self, key):
        self.c.insert_many([{"key": f"{key}-{i}", "status": "new"} for i in range(50)])
        self.inserted += [f"{key}-{i}" for i in range(50)]

    def claim(self, key):
        found = self.c.find_one_and_update(
            {"status": "waiting"}, {"$set": {"status": "queued", "owner": key}}, sort=[("priority", -1)])  # fmt: skip
        if found:
            self.claimed.append((found["key"], key))
        else:
            time.sleep(0.01)

    def transaction(self, key):
        """Both documents, or none of them."""
        with self.client.start_session() as session, session.start_transaction():
            self.c.insert_one({"key": f"{key}-a", "pair": key}, session=session)
            self.c.insert_one({"key": f"{key}-b", "pair": key}, session=session)
        self.in_transactions.append(key)

    def end(self):
        for thread in self.threads:
            thread.join(60)
        self.client.close()


def test_kill(server, mongo_url, kill_round):
    load = Load(mongo_url)
    time.sleep(1 + random.random())
    server.kill()
    load.end()
    assert load.inserted
    assert load.claimed
    assert load.in_transactions
    server.start()
    with connect(mongo_url) as client:
        c = client[DATABASE]["tasks"]
        found = {d["key"]: d for d in c.find()}
        assert [key for key in load.inserted if key not in found] == []
        assert [key for key, owner in load.claimed if found[key].get("owner") != owner] == []
        pairs = [d["pair"] for d in found.values() if "pair" in d]
        assert [pair for pair in pairs if pairs.count(pair) != 2] == []
        assert set(load.in_transactions) <= set(pairs)
        # the index agrees with the documents, and the server works
        assert c.count_documents({"key": {"$gte": ""}}) == len(found)
        c.insert_one({"key": "after"})


def test_stop(server, mongo_url):
    """An orderly stop keeps everything, and so does the next start."""
    with connect(mongo_url) as client:
        client[DATABASE]["tasks"].insert_many({"_id": i} for i in range(1000))
    server.stop()
    server.start()
    with connect(mongo_url) as client:
        assert client[DATABASE]["tasks"].count_documents({}) == 1000
