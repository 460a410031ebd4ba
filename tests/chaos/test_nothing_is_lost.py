"""Two scans and hundreds of dependent tasks, while whatever can die, dies.

Afterwards every task ended once in the books, every result is there, every counter equals a recount, and the
maps are those of a quiet day.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iceprod.client import Client
from tests.support.chaos import Chain, Trouble, compile_kernels, far_pilot, map_of, start_scan
from tests.support.installation import Installed, installation, wait_until
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NSIDES = "8:0,64:12"
SETTINGS = {"LEASES__SECONDS": 5, "LEASES__SWEEP_SECONDS": 0.5, "PILOTS__HEARTBEAT_SECONDS": 1,
            "SERVICES__REPAIR_SECONDS": 2, "SERVICES__LEADER_SECONDS": 3}
"""Leases shorter than some of the pauses, so that pilots come back which were thought to be dead."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    compile_kernels()
    root = tmp_path_factory.mktemp("chaos")
    with installation(root, pilots=2, PILOTS__ISOLATION="off", **SETTINGS) as here:
        here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        yield here


@pytest.mark.parametrize(("jobs", "strikes", "seed"), [
    pytest.param(50, 8, 1, id="short"),
    *(pytest.param(500, 80, seed, id=f"long-{seed}", marks=pytest.mark.nightly) for seed in (2, 3))])
def test_nothing_is_lost_and_nothing_counts_twice(here: Installed, tmp_path: Path, jobs: int, strikes: int,
                                                  seed: int) -> None:
    chain = Chain(tmp_path, jobs)
    with here.client() as client:
        proxy = Proxy(int(client.url.rpartition(":")[2]))
        trouble = Trouble(here, seed, proxy)
        with far_pilot(here, proxy):
            chain.submit(client)
            scans = [start_scan(here, client, NSIDES) for _ in range(2)]
            for turn in range(strikes):
                goal = turn * 4 * jobs // (strikes + 2)
                wait_until(lambda goal=goal: completed(client) >= goal, 600)
                trouble.strike()
            print("\n".join(trouble.told))
            chain.check_books(client)
            maps = [map_of(client, scan_id) for scan_id in scans]
        proxy.close()
        quiet = map_of(client, start_scan(here, client, NSIDES))
        assert [different(one, quiet) for one in maps] == [[], []]
        check_counters(client)


def different(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The rows in which two maps differ."""
    assert [*map(len, one.values())] == [*map(len, other.values())]
    return [(name, row, twin) for name, rows in one.items()
            for row, twin in zip(rows, other[name], strict=True) if row != twin]


def completed(client: Client) -> int:
    """Tasks of all kinds that are complete."""
    return int(client.get("/task_counts/status", patience=600).get("complete", 0))


def check_counters(client: Client) -> None:
    """What the server counts is what a recount gives, and nothing is left to be looked at."""
    counts = client.get("/task_counts/status", patience=60)
    tasks = client.get("/tasks", {"keys": "task_id|status"}, patience=60)["tasks"]
    recount: dict[str, int] = {}
    for task in tasks:
        recount[task["status"]] = recount.get(task["status"], 0) + 1
    assert {name: count for name, count in counts.items() if count} == recount
    assert set(recount) == {"complete"}
