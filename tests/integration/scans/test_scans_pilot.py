"""A simulated event, scanned by a real pilot with a real reconstruction."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scanner.events.directions import detector_to_icrs
from tests.support.api import REPOSITORY, Api, running_server
from tests.support.scans import scan_body, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture
def pilot(api: Api, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    token = tmp_path / "token"
    token.write_text(api.token("pilot"))
    command = [sys.executable, "-m", "grid.pilot", "--server", api.url, "--token-file", str(token),
               "--cores", "1", "--memory", "2", "--disk", "5", "--directory", str(tmp_path)]
    with (tmp_path / "pilot.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        yield process
        process.terminate()
        process.wait(60)


def test_the_map_points_to_the_truth(api: Api, pilot: subprocess.Popen[bytes]) -> None:
    user = api.session("user")
    answer = user.post("/scan", json=scan_body(nsides={"8": 0, "32": 12, "128": 12}))
    scan_id = answer.json()["scan_id"]
    wait_for(lambda: bool(user.get(f"/scan/{scan_id}/progress").json()["is_final"]), "the final map", 240)
    view = user.get(f"/scan/{scan_id}/progress").json()
    ra, dec = detector_to_icrs(np.radians(100.0), np.radians(40.0), 60000.0)
    assert view["pixels_done"] == view["pixels_total"] > 768
    best_ra, best_dec = np.radians([view["best_fit"]["ra_deg"], view["best_fit"]["dec_deg"]])
    cosine = np.sin(best_dec) * np.sin(dec) + np.cos(best_dec) * np.cos(dec) * np.cos(best_ra - ra)
    assert np.degrees(np.arccos(cosine)) < 3.0
