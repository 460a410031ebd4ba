"""`iceprod up --servers 3`: three processes answer at one port, and each may go while the others answer."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.api import free_port
from tests.support.installation import PATIENCE, Installed, installation, wait_until

SERVER = "-m server --data"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installation(tmp_path_factory.mktemp("several"), pilots=None) as here:
        here.up("--servers", "3", pilots=0)
        wait_until(lambda: serving(here) == 3)
        yield here


def serving(here: Installed) -> int:
    """How many processes say that they serve together."""
    with here.client() as client:
        return int(client.get("/healthz", patience=60)["servers"]["here"])


def test_all_of_them_are_shown(here: Installed) -> None:
    assert len(here.processes(SERVER)) == 3
    assert "servers   3 processes" in here.iceprod("status", "--data", here.data)


def test_another_number_is_told_to_need_a_new_start(here: Installed) -> None:
    for number, is_told in (("5", True), ("3", False)):
        said = here.start("up", "--data", here.data, "--servers", number).communicate(timeout=PATIENCE)
        assert ("to have 5 server processes, not 3, stop it first" in said[1]) == is_told


def test_they_are_as_one_to_whoever_counts(here: Installed) -> None:
    """Every connection comes to any of them, and the figures are those of all."""
    with here.client() as client:
        url = client.url
    counted = []
    for _ in range(12):
        text = requests.get(f"{url}/metrics", headers={"Connection": "close"}, timeout=60).text
        lines = re.findall(r'^iceprod_requests_total{handler="Metrics".*} (\S+)$', text, re.MULTILINE)
        counted.append(sum(map(float, lines)))
    assert counted == sorted(counted)
    assert 10 <= counted[-1] - counted[0] <= 11, "the last one may be counted a moment later"


def test_one_that_dies_is_replaced_and_nobody_waits_for_it(here: Installed) -> None:
    victim, *rest = here.processes(SERVER)
    with asking(here) as failures:
        os.kill(victim, signal.SIGKILL)
        # one that is just becoming another program is not seen for a moment
        wait_until(lambda: set(rest) < (now := {*here.processes(SERVER)} - {victim}) and len(now) == 3)
    assert not failures


def test_one_that_hangs_is_replaced(tmp_path: Path) -> None:
    """It keeps its socket: the kernel would go on giving it every second connection."""
    with installation(tmp_path, pilots=None, SERVER__WATCHDOG_SECONDS="6") as here:
        here.up("--servers", "2", pilots=0)
        wait_until(lambda: serving(here) == 2)
        victim, other = here.processes(SERVER)
        os.kill(victim, signal.SIGSTOP)
        wait_until(lambda: victim not in (now := here.processes(SERVER)) and len(now) == 2)
        assert other in here.processes(SERVER)
        assert "said nothing for 6 s" in here.logs()
        with asking(here) as failures:
            wait_until(lambda: serving(here) == 2)
        assert not failures


def test_all_are_restarted_one_after_the_other(here: Installed) -> None:
    before = set(here.processes(SERVER))
    with asking(here) as failures:
        here.kill("iceprod.supervisor", number=signal.SIGUSR1)
        wait_until(lambda: len(here.processes(SERVER)) == 3 and not before & set(here.processes(SERVER)))
    wait_until(lambda: serving(here) >= 3)
    assert not failures


def test_what_is_stored_is_answered_also_by_one_that_stops(here: Installed) -> None:
    """Else whoever asked would ask again, and have it twice."""
    answered, cut, is_over = list[str](), list[Exception](), threading.Event()
    with here.client() as client:
        address, headers = f"{client.url}/datasets", {"Authorization": f"Bearer {client.token}"}
    wanted: Any = {"description": "stopping", "jobs_submitted": 1, "tasks_submitted": 1, "tasks_per_job": 1,
              "group": "users", "username": "test"}

    def ask() -> None:
        with requests.Session() as session:
            while not is_over.is_set():
                try:
                    answer = session.post(address, json=wanted, headers=headers, timeout=60)
                    answer.raise_for_status()
                    answered.append(answer.json()["result"])
                except requests.RequestException as error:
                    cut.append(error)

    before = set(here.processes(SERVER))
    askers = [threading.Thread(target=ask) for _ in range(12)]
    for asker in askers:
        asker.start()
    here.kill("iceprod.supervisor", number=signal.SIGUSR1)
    try:
        wait_until(lambda: len(here.processes(SERVER)) == 3 and not before & set(here.processes(SERVER)))
    finally:
        is_over.set()
        for asker in askers:
            asker.join(120)
    with here.client() as client:
        stored = client.get("/datasets", {"keys": "dataset_id|description"}, patience=60)
    assert len(answered) == sum(row["description"] == "stopping" for row in stored.values()), cut
    assert len(cut) <= 12, "only who connects in the moment in which one ceases to listen"


def test_two_that_start_at_the_same_time_do_not_share_a_port(tmp_path: Path) -> None:
    """The kernel would let them, and each would have half of the other's requests."""
    port = str(free_port())
    with (installation(tmp_path / "one", pilots=None) as one,
          installation(tmp_path / "two", pilots=None) as two):
        starts = [here.start("up", "--data", here.data, "--port", port, "--servers", "2", "--no-pilots",
                             "--no-open") for here in (one, two)]
        ends = [(start.communicate(timeout=PATIENCE)[1], start.returncode) for start in starts]
        assert sorted(status for _, status in ends) == [0, 1]
        assert any(f"cannot listen on 127.0.0.1:{port}: another installation" in said for said, _ in ends)


@contextmanager
def asking(here: Installed) -> Iterator[list[Exception]]:
    """Somebody asks all the time, each time over a new connection; what failed although it was repeated."""
    failures, is_over = list[Exception](), threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            try:
                with here.client() as client:
                    client.get("/datasets", patience=30)
            except Exception as error:  # noqa: BLE001 (whatever it is)
                failures.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield failures
    finally:
        is_over.set()
        asker.join(120)


@pytest.mark.parametrize("number", ["0", "65", "many"])
def test_a_number_that_cannot_be(tmp_path: Path, number: str) -> None:
    said = Installed(tmp_path).iceprod("up", "--data", tmp_path / "data", "--servers", number, status=2)
    assert "--servers" in said
