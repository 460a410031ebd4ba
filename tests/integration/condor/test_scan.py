"""A scan of a real event by pilots of a site: workers as asked for, real states, the final map."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, running_server
from tests.support.condor import Grid, Pool, running_grid, wait_for
from tests.support.data import real

pytestmark = pytest.mark.slow

ASKED, ADDED = 2, 1


@pytest.fixture(scope="module")
def event() -> dict[str, Any]:
    """A published event; see the test data for where it comes from."""
    return dict(json.loads(real("hese_event_01.json").read_bytes()))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def grid(pool_a: Pool, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    caches = {"XDG_CACHE_HOME": str(Path.home() / ".cache")}  # where compiled code is kept
    pilot = {"pixels": True, "python": sys.executable, "idle_minutes": 0.2, "environment": caches}
    with running_grid(tmp_path_factory.mktemp("grid"), "siteA", pool_a, api, pilot=pilot,
                      limits={"pilots": 3, "queued": 3}) as running:
        wait_for(running.report, why="the grid being registered")
        yield running


def test_a_real_event_is_scanned(grid: Grid, event: dict[str, Any]) -> None:
    user = grid.api.session("user")
    request = {"docker_tag": "latest", "reco_algo": "track_mpe", "real_or_simulated_event": "real",
               "nsides": {"4": 0, "16": 4}, "max_pixel_reco_time": 60, "event_i3live_json": event,
               "request_clusters": {"siteA": ASKED}, "worker_memory_bytes": "2GB"}
    scan_id = user.post("/scan", json=request).json()["scan_id"]

    def get(path: str) -> Any:
        return user.get(f"/scan/{scan_id}/{path}").json()

    wait_for(lambda: get("ewms/workforce")["n_running"] >= ASKED, why="the workers that were asked for")
    added = user.post(f"/scan/{scan_id}/actions/add-workers",
                      json={"n_workers": ADDED, "cluster_location": "siteA"})
    forces = get("ewms/taskforces")["taskforces"]
    wait_for(lambda: get("progress")["is_final"], 400, "the final map")
    assert added.status_code == 200, added.text
    sites = [force for force in forces if force.get("cluster_location") == "siteA"]
    assert [force["n_workers"] for force in sites] == [ASKED, ADDED]
    assert all(force["phase"] == "condor-submit" and force["compound_statuses"] for force in sites)
    result = get("result")
    assert result["is_final"]
    assert len(result["skyscan_result"]["nside-4"]["data"]) == 192
    hosts = {end["kind"] for end in grid.report()["ends"]}
    assert not hosts & {"failed", "killed", "held"}


def test_the_workers_leave(grid: Grid) -> None:
    wait_for(lambda: not grid.pool.jobs(), why="an empty queue")
