"""A scan ends with the same map whatever is killed while it runs: one kind of misfortune after the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iceprod.client import Client
from tests.support.chaos import compile_kernels
from tests.support.installation import Installed, installation, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]

NSIDES = "16:0,64:12,128:12"
PATIENCE = 600.0


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """An installation with two pilots, and a simulated event in ``event.json``."""
    compile_kernels()
    with installation(tmp_path_factory.mktemp("chaos"), pilots=2) as here:
        here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        here.wait_for_pilots(2)
        yield here


@pytest.fixture(scope="module")
def undisturbed(here: Installed) -> dict[str, Any]:
    """The map that comes out when nothing happens."""
    return map_of(finished(here, start(here)), here)


def start(here: Installed) -> str:
    """Start a scan; its id."""
    event = json.loads((here.root / "event.json").read_text())
    levels = dict(level.split(":") for level in NSIDES.split(","))
    request = {"docker_tag": "latest", "reco_algo": "track_mpe", "real_or_simulated_event": "simulated",
               "nsides": {nside: int(extension) for nside, extension in levels.items()}, "priority": 100,
               "max_pixel_reco_time": 60, "request_clusters": {"local": 1}, "event_i3live_json": event}
    with here.client() as client:
        return str(client.post("/scan", request)["scan_id"])


def finished(here: Installed, scan_id: str) -> dict[str, Any]:
    """The final progress of a scan."""
    with here.client() as client:
        def look() -> dict[str, Any] | None:
            progress = progress_of(client, scan_id)
            assert "ABORTED" not in progress["state"], progress["state_reason"]
            return progress if progress["is_final"] else None

        return wait_until(look, PATIENCE)


def progress_of(client: Client, scan_id: str) -> dict[str, Any]:
    return client.get(f"/scan/{scan_id}/progress", patience=PATIENCE)


def map_of(progress: dict[str, Any], here: Installed) -> dict[str, Any]:
    """All rows of the final map, by nside."""
    with here.client() as client:
        document = client.get(f"/scan/{progress['scan_id']}/skymap.json", patience=PATIENCE)
    return {name: table["data"] for name, table in document.items()}


def disturbed(here: Installed, disturb: Callable[[int], None], times: int = 3) -> dict[str, Any]:
    """The map of a scan during which something happens, each time that there is news of the scan."""
    scan_id, before = start(here), -1
    with here.client() as client:
        for turn in range(times):
            def news(before: int = before) -> dict[str, Any] | None:
                progress = progress_of(client, scan_id)
                return progress if progress["pixels_done"] > before or progress["is_final"] else None

            progress = wait_until(news, PATIENCE)
            assert turn or not progress["is_final"], "the scan was over before anything happened"
            before = progress["pixels_done"]
            disturb(turn)
    return map_of(finished(here, scan_id), here)


def test_pilots_are_killed(here: Installed, undisturbed: dict[str, Any]) -> None:
    def disturb(turn: int) -> None:
        killed = here.kill("-m grid.pilot")
        wait_until(lambda: not set(killed) & set(here.processes()))

    assert disturbed(here, disturb) == undisturbed


def test_workers_are_killed(here: Installed, undisturbed: dict[str, Any]) -> None:
    assert disturbed(here, lambda turn: here.kill("-m scanner.worker") and None) == undisturbed


def test_the_server_is_killed(here: Installed, undisturbed: dict[str, Any]) -> None:
    def disturb(turn: int) -> None:
        killed = wait_until(lambda: here.kill("-m server --data"))
        wait_until(lambda: set(here.processes("-m server --data")) - set(killed))

    assert disturbed(here, disturb) == undisturbed


def test_the_store_is_killed(here: Installed, undisturbed: dict[str, Any]) -> None:
    def disturb(turn: int) -> None:
        killed = wait_until(lambda: here.kill("-m server.embedded"))
        wait_until(lambda: set(here.processes("-m server.embedded")) - set(killed))

    assert disturbed(here, disturb) == undisturbed


def test_pilots_that_were_thought_dead_come_back(here: Installed, undisturbed: dict[str, Any],
                                                 tmp_path: Path) -> None:
    """Frozen longer than their leases last; what they then report must neither count twice nor be lost."""
    with installation(tmp_path, pilots=2, LEASES__SECONDS=2, LEASES__SWEEP_SECONDS=0.5) as other:
        shutil.copy(here.root / "event.json", other.root)
        other.wait_for_pilots(2)

        def freeze(turn: int) -> None:
            [pilot, *_] = other.processes("-m grid.pilot", f"--queue-id pilot-{turn % 2 + 1}.")
            os.kill(pilot, signal.SIGSTOP)
            time.sleep(4)
            os.kill(pilot, signal.SIGCONT)

        assert disturbed(other, freeze) == undisturbed


def test_everything_is_killed(here: Installed, undisturbed: dict[str, Any]) -> None:
    def disturb(turn: int) -> None:
        here.kill()
        wait_until(lambda: not here.processes(), 60)
        port = json.loads((here.data / "up.json").read_text())["url"].rpartition(":")[2]
        here.iceprod("up", "--data", here.data, "--port", port, "--pilots", "2")

    assert disturbed(here, disturb, times=1) == undisturbed


def test_two_scans_at_once(here: Installed, undisturbed: dict[str, Any]) -> None:
    maps: list[dict[str, Any]] = []

    def scan(directory: str) -> None:
        out = Path(directory)
        here.iceprod("scan", "event.json", "--nsides", NSIDES, "--json", "--out", out)
        result = json.loads((here.root / out / "result.json").read_text())
        maps.append({name: table["data"] for name, table in result.items()})

    threads = [threading.Thread(target=scan, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert maps == [undisturbed, undisturbed]
