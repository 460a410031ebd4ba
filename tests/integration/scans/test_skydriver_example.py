"""What SkyDriver's documentation shows its users, done with their own client library against our server.

The example is examples/scan_one.py of github.com/WIPACrepo/SkyDriver (`launch_a_scan`, `monitor`): the same
calls with the same arguments, through `RestClient.request_seq` of wipac-rest-tools; only the address and the
pause between two looks differ. An older release of it is asked for the sky at nside 1 as ``{1: 12}``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanner.maps.result import ScanResult
from tests.support.api import Api, running_server
from tests.support.scans import PixelPilot, made_up_map, simulated_event, wait_for

rest = pytest.importorskip("rest_tools.client")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("example")) as server:
        yield server


@pytest.fixture
def busy_pilot(api: Api) -> Iterator[None]:
    """A pilot that works until the test ends."""
    pilot, over = PixelPilot(api.session("pilot")).register(), threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            pilot.work(8)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join(60)


def launch_a_scan(client: Any, event_file: Path, **changes: Any) -> str:
    """What the example sends."""
    body = {
        "reco_algo": "millipede_wilks", "event_i3live_json": event_file.read_text().strip(),
        "nsides": {8: 0, 64: 12, 512: 24}, "real_or_simulated_event": "simulated",
        "predictive_scanning_threshold": 0.3, "cluster": {"sub-2": 2}, "docker_tag": "latest",
        "max_pixel_reco_time": 30 * 60, "scanner_server_memory": "512M", **changes}
    return str(client.request_seq("POST", "/scan", body)["scan_id"])


def monitor(client: Any, scan_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The final result, and every progress that was seen; the example looks on after any error."""
    seen: list[dict[str, Any]] = []
    while True:
        result = client.request_seq("GET", f"/scan/{scan_id}/result")
        progress = client.request_seq("GET", f"/scan/{scan_id}/manifest")["progress"]
        if progress is not None:
            json.dumps(progress["processing_stats"]["rate"])
            seen.append(progress)
        if result.get("is_final"):
            return result, seen


def stats(client: Any, scan_id: str) -> dict[str, Any]:
    return dict(client.request_seq("GET", f"/scan/{scan_id}/manifest")["progress"]["processing_stats"])


@pytest.mark.parametrize(("changes", "nsides"), [
    ({}, "8:0,64:12,512:24"), ({"nsides": {1: 12}, "reco_algo": "splinempe"}, "1:0")])
@pytest.mark.usefixtures("busy_pilot")
def test_the_example_of_skydrivers_users(api: Api, tmp_path: Path, changes: dict[str, Any],
                                         nsides: str) -> None:
    event_file = tmp_path / "event.json"
    event_file.write_text(json.dumps(simulated_event()) + "\n")
    client = rest.RestClient(api.url, token=api.token("user", username="physicist"), retries=0)
    try:
        scan_id = launch_a_scan(client, event_file, **changes)
        result, seen = monitor(client, scan_id)
        wait_for(lambda: stats(client, scan_id)["finished"], "the last progress")
        status = client.request_seq("GET", f"/scan/{scan_id}/status")
    finally:
        client.close()
    found, wanted = ScanResult.from_json(result["skyscan_result"]), made_up_map(nsides)
    assert list(found.pixels) == list(wanted)
    assert status["scan_state"] == "SCAN_HAS_FINAL_RESULT"
    last = seen[-1]["processing_stats"]
    assert {"start", "runtime", "rate", "end", "finished", "predictions"} == set(last)
    assert "all recos" in last["rate"]
    if nsides == "1:0":  # of one level, whose map depends on no order of results
        assert found.pixels[1].tobytes() == wanted[1].tobytes()
    else:
        assert seen[-1]["predictive_scanning_threshold"] == 0.3
