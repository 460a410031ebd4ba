"""A rescan by the clock: the grid does it, the server is killed meanwhile, and the run ends with its map."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from sigmf.archivereader import SigMFArchiveReader

from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.skymap import SkyMap
from tests.support.api import Session, running_server, start_server
from tests.support.scans import PixelPilot, made_up_map, scan_body, wait_for

ENTRY = "/api/v1/schedule/nightly/"
RUN = "/api/v1/acquisitions/nightly/1/"


def state(session: Session, scan_id: str) -> str:
    return str(session.get(f"/scan/{scan_id}/status").json()["scan_state"])


def finish(session: Session, pilot: PixelPilot, scan_id: str) -> None:
    wait_for(lambda: bool(pilot.work(50)) or state(session, scan_id) == "SCAN_HAS_FINAL_RESULT", "work")
    wait_for(lambda: pilot.work(50) >= 0 and state(session, scan_id) == "SCAN_HAS_FINAL_RESULT", "the map")


@pytest.mark.slow
def test_a_rescan_survives_its_server(tmp_path: Path) -> None:
    settings = {"SERVICES__LEADER_SECONDS": 2, "SERVICES__REPAIR_SECONDS": 1}
    with running_server(tmp_path, settings) as first:
        admin = first.session("user", "admin", username="root")
        pilot = PixelPilot(first.session("pilot")).register()
        scan_id = admin.post("/scan", json=scan_body(classifiers={"gold": True})).json()["scan_id"]
        finish(admin, pilot, scan_id)
        arguments = {"classifiers": {"gold": True}, "reco_algo": "track_mpe", "nsides": {"2": 0, "8": 4},
                     "request_clusters": {"local": 1}, "real_or_simulated_event": "simulated"}
        stored = admin.put("/api/v1/actions/rescan_event:gold/", json={"arguments": arguments})
        assert stored.status_code == 200, stored.text
        body = {"name": "nightly", "action": "rescan_event:gold"}
        assert admin.post("/api/v1/schedule/", json=body).status_code == 201
        wait_for(lambda: bool(admin.get(RUN).json().get("grid")), "the run's scan")
        again, = admin.get(RUN).json()["grid"]["scan_ids"]
        first.kill()
        second = start_server(first.data, first.database_url, first.database_name, settings)
        try:
            admin = second.session("user", "admin", username="root")
            assert admin.get(RUN).json()["status"] == "in-progress"
            finish(admin, PixelPilot(second.session("pilot")).register("there"), again)
            wait_for(lambda: admin.get(RUN).json()["status"] == "success", "the run's end")
            told = admin.get(RUN).json()
            assert told["detail"] == "1 of 1 maps are complete"
            assert told["sigmf_metadata"]["global"]["grid:scan_id"] == again
            content = io.BytesIO(admin.get(told["archive"]).content)
            recording = SigMFArchiveReader(archive_buffer=content).sigmffile
            recording.validate()
            pixels = sum(part["grid:pixels"] for part in recording.get_annotations())
            skymap = SkyMap.from_results(made_up_map("2:0,8:4"))
            assert pixels == len(Posterior.of(skymap, default_levels("track_mpe")))
            assert not admin.get(ENTRY).json()["is_active"], "it ran once"
            second.stop()
        finally:
            second.close()
            if second.process.poll() is None:
                second.kill()


@pytest.mark.slow
def test_the_canary_tells_a_wrong_map(tmp_path: Path) -> None:
    """The pilot makes its results up, so the map cannot point to the event."""
    with running_server(tmp_path, {"SERVICES__REPAIR_SECONDS": 1}) as api:
        admin = api.session("user", "admin", username="root")
        body = {"name": "nightly", "action": "canary_scan"}
        assert admin.post("/api/v1/schedule/", json=body).status_code == 201
        wait_for(lambda: bool(admin.get(RUN).json().get("grid")), "the simulated event", 240)
        scan_id, = admin.get(RUN).json()["grid"]["scan_ids"]
        finish(admin, PixelPilot(api.session("pilot")).register(), scan_id)
        wait_for(lambda: admin.get(RUN).json()["status"] != "in-progress", "the run's end")
        told = admin.get(RUN).json()
        assert told["status"] == "failure", told
        assert "from the truth" in told["detail"]
        assert "more than 3°" in told["detail"]
        assert admin.get(told["archive"]).status_code == 404
