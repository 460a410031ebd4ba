"""The task benchmark measures what it says, on few tasks."""

from __future__ import annotations

import pytest

from grid import bench, bench_idle
from grid.bench_peers import measure


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_run() -> None:
    result = bench.run(bench.Wish(tasks=60, pilots=2, kinds=["empty", "sleep"], waiting=[30], made=[40]))
    empty, sleep = result["tasks"]
    assert (empty["kind"], empty["tasks"], sleep["tasks"]) == ("empty", 60, 20)
    for row in (empty, sleep):
        assert row["rate"] > 0
        assert row["commands"] > 0
        assert set(row["cpu"]) == {"store", "server", "pilots"}
    [claim] = result["claims"]
    assert 0 < claim["median"] <= claim["p95"]
    [made] = result["made"]
    assert (made["tasks"], set(made["cpu"])) == (40, {"store", "server"})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_installation_at_rest() -> None:
    result = bench_idle.run(pilots=0, seconds=3.0, settle=0.0)
    assert {part["name"] for part in result["parts"]} == {"supervisor", "store", "server"}
    assert 0 <= result["core"] < 2
    assert result["wakes"] >= 0
    assert all(rate > 0 for rate in result["commands"].values())


def test_peers_that_are_not_here_are_reported_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEPROD_BENCH_PEERS", "/bin/false")
    for name in ("parsl", "iceprod"):
        assert measure(name, 1)["reason"]
