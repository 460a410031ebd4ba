"""Servers behind HAProxy are killed every few seconds, while tasks and two scans run.

Nothing is lost, nothing counts twice, and no client sees an error that its repeating does not cure.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iceprod.client import Client
from tests.chaos.house import House, behind_haproxy
from tests.support.chaos import PATIENCE, Chain, compile_kernels, map_of, start_scan
from tests.support.installation import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

NSIDES = "8:0,64:12"
SETTINGS = {"LEASES__SECONDS": 20, "LEASES__SWEEP_SECONDS": 1, "SERVICES__REPAIR_SECONDS": 3,
            "SERVICES__LEADER_SECONDS": 3, "PILOTS__ISOLATION": "off"}


@pytest.mark.parametrize(("servers", "jobs", "pause", "scans"), [
    pytest.param(2, 20, 4.0, 1, id="short"),
    pytest.param(3, 500, 5.0, 2, id="long", marks=pytest.mark.nightly)])
def test_servers_are_killed_every_few_seconds(tmp_path: Path, servers: int, jobs: int, pause: float,
                                              scans: int) -> None:
    compile_kernels()
    with behind_haproxy(tmp_path / "house", servers, 2, **SETTINGS) as house, house.client() as client:
        house.here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        chain = Chain(tmp_path / "chain", jobs)
        submit(chain, client)
        started = [start_scan(house.here, client, NSIDES) for _ in range(scans)]
        with trouble(house, pause) as kills, reader(house) as failures:
            wait_until(lambda: chain.done(client) >= 4 * jobs, PATIENCE)
            maps = [map_of(client, scan_id) for scan_id in started]
        chain.check_books(client)
        print(f"{len(kills)} servers were killed")
        assert len(kills) >= 2
        assert not failures
        quiet = map_of(client, start_scan(house.here, client, NSIDES))
        assert all(one == quiet for one in maps)


def submit(chain: Chain, client: Client) -> None:
    wait_until(lambda: client.get("/healthz", patience=PATIENCE)["servers"]["not_heard"] == 0)
    chain.submit(client)


@contextmanager
def trouble(house: House, pause: float) -> Iterator[list[float]]:
    """Kill a server every few seconds; when."""
    kills, is_over, which = list[float](), threading.Event(), random.Random(11)

    def strike() -> None:
        while not is_over.wait(which.uniform(0.5, 1.5) * pause):
            house.kill_one(which)
            kills.append(time.monotonic())

    with _beside(strike, is_over):
        yield kills


@contextmanager
def reader(house: House) -> Iterator[list[str]]:
    """Somebody who looks all the time; what failed although it was repeated."""
    failures, is_over = list[str](), threading.Event()

    def look() -> None:
        with house.client() as client:
            while not is_over.wait(0.1):
                try:
                    client.get("/task_counts/status", patience=60)
                except Exception as error:  # noqa: BLE001 (whatever it is)
                    failures.append(repr(error))

    with _beside(look, is_over):
        yield failures


@contextmanager
def _beside(work: object, is_over: threading.Event) -> Iterator[None]:
    assert callable(work)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(120)
