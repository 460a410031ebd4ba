"""A whole installation on a replica set that loses its primary: pilots work on, nothing is lost or twice."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.chaos import Chain
from tests.support.installation import Installed, installation, wait_until
from tests.support.mongo.replicas import ReplicaSet, replica_set
from tests.support.store import embedded_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OUTAGE = 30.0  # seconds without a primary
PATHS = ("/task_counts/status", "/api/groups", "/api/v1/schedule/")  # one of each family


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[ReplicaSet]:
    with embedded_store(tmp_path / "behind") as url, replica_set(url) as replicas:
        yield replicas


@pytest.fixture
def here(tmp_path: Path, replicas: ReplicaSet) -> Iterator[Installed]:
    with installation(tmp_path / "here", pilots=2, DATABASE__URL=replicas.url, PILOTS__ISOLATION="off",
                      LEASES__SECONDS=10, SERVICES__REPAIR_SECONDS=2) as here:
        yield here


class Asking:
    """Somebody who asks the server all the time, and what it answered."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self.answers: Counter[tuple[int, bool]] = Counter()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(path,)) for path in PATHS]
        for thread in self._threads:
            thread.start()

    def _ask(self, path: str) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        while not self._end.wait(0.2):
            answer = requests.get(self._url + path, headers=headers, timeout=60, allow_redirects=False)
            self.answers[answer.status_code, "Retry-After" in answer.headers] += 1

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def test_thirty_seconds_without_a_primary_cost_thirty_seconds(replicas: ReplicaSet, here: Installed,
                                                              tmp_path: Path) -> None:
    chain = Chain(tmp_path / "chain", jobs=30)
    running = json.loads((here.data / "up.json").read_text())
    token = here.iceprod("token", "--data", here.data, "--user", "me", "--roles", "admin,user,system").strip()
    with here.client() as client:
        chain.submit(client)
        wait_until(lambda: chain.done(client) >= 8)
        asking = Asking(running["url"], token)
        try:
            replicas.fail("update", applied=True)
            replicas.fail("findAndModify", 11602)
            replicas.lose(0)
            time.sleep(OUTAGE)
            replicas.elect(1)
            before = chain.done(client)
            wait_until(lambda: chain.done(client) > before)
            for number, code in ((2, 189), (1, 91), (2, 262)):  # and some short elections more
                replicas.fail("update", code)
                replicas.fail("insert", code, applied=True)
                replicas.step_down()
                time.sleep(1)
                replicas.elect(number)
                done = chain.done(client)
                wait_until(lambda done=done: chain.done(client) >= min(done + 8, 120))
        finally:
            asking.end()
        chain.check_books(client)
    assert {status for status, _ in asking.answers} == {200, 503}, asking.answers
    assert asking.answers[503, True] >= len(PATHS)
    assert asking.answers[503, False] == 0
    assert set(replicas.state.applied.values()) == {1}
