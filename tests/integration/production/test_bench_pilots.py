"""Hundreds of simulated pilots go through what thousands do, and nobody loses anything."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from grid import bench_pilots
from grid.bench_scenarios import Plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _phases(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {phase["name"]: phase for phase in result["phases"]}


def test_pilots_that_wait_hold_and_work() -> None:
    result = bench_pilots.run(Plan("steady", pilots=30, seconds=6.0, per_second=5.0))
    phases = _phases(result)
    assert list(phases) == ["rest", "beats", "work"]
    assert phases["rest"]["claims"] == phases["beats"]["claims"] == 0
    assert phases["beats"]["beats"] > 0
    assert 0 < phases["work"]["claim_p50_ms"] <= phases["work"]["claim_p99_ms"]
    assert result["beat_ms"] > 0
    assert (result["lost_leases"], result["lost_reports"]) == (0, 0)
    assert result["server_files"] > 30


def test_a_server_that_is_killed_loses_no_lease() -> None:
    result = bench_pilots.run(Plan("restart", pilots=200, seconds=3.0, per_second=10.0))
    phases = _phases(result)
    assert phases["killed"]["refused"]  # it was away indeed
    assert phases["after"]["claims"] > 0
    assert (result["lost_leases"], result["lost_reports"]) == (0, 0)


def test_a_site_that_comes_back_loses_no_lease() -> None:
    result = bench_pilots.run(
        Plan("return", pilots=200, seconds=3.0, per_second=10.0, site_pilots=120, away=8.0))
    phases = _phases(result)
    assert any("the network is cut" in why for why in phases["away"]["refused"])
    assert phases["after"]["claims"] > 0
    assert (result["lost_leases"], result["lost_reports"]) == (0, 0)


def test_too_few_files_are_told_before_anything_starts() -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400)); " \
              "from grid.bench_pilots import main; raise SystemExit(main(['--pilots', '500']))"
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False,
                          env={**os.environ})
    assert done.returncode == 1
    assert "500 pilots need as many open files; the limit is 400 (ulimit -Hn)" in done.stderr
