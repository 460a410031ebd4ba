"""Scans through the real server: by outside scanners, by pilots of ours, through crashes and deletions."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from scanner.maps.result import ScanResult
from tests.support.api import Api, running_server, start_server
from tests.support.scans import PixelPilot, made_up_map, scan_body, simulated_event, wait_for

SETTINGS = {"SCANS__FIRST_BATCH_PIXELS": 7, "SCANS__BACKGROUND_SECONDS": 3600,
            "SERVICES__REPAIR_SECONDS": 1, "LEASES__SWEEP_SECONDS": 1}
PROGRESS: dict[str, Any] = {
    "summary": "s", "epilogue": "e", "tallies": {}, "predictive_scanning_threshold": 1.0,
    "last_updated": "now",
    "processing_stats": {"start": {}, "runtime": {}, "rate": {"all recos": {"wall time": "3 s"}}}}
OUTSIDE_RESULT = {"nside-1": {"columns": ["index", "llh"], "metadata": {"nside": 1}, "data": [[0, 1.5]]}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("scans"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def user(api: Api) -> requests.Session:
    return api.session("user")


@pytest.fixture(scope="module")
def system(api: Api) -> requests.Session:
    return api.session("system")


@pytest.fixture
def pilot(api: Api) -> Iterator[PixelPilot]:
    one = PixelPilot(api.session("pilot")).register()
    yield one
    one.session.delete(f"/pilots/{one.pilot_id}")


def start(user: requests.Session, **changes: Any) -> str:
    answer = user.post("/scan", json=scan_body(**changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["scan_id"])


def state(user: requests.Session, scan_id: str) -> str:
    return str(user.get(f"/scan/{scan_id}/status").json()["scan_state"])


def progress(user: requests.Session, scan_id: str, **query: Any) -> dict[str, Any]:
    return dict(user.get(f"/scan/{scan_id}/progress", params=query).json())


def finish(user: requests.Session, pilots: list[PixelPilot], scan_id: str) -> None:
    def over() -> bool:
        for number, pilot in enumerate(pilots):
            pilot.work(number + 1)
        return bool(progress(user, scan_id)["is_final"])

    wait_for(over, "the final map")


def leased(pilot: PixelPilot, num: int = 1) -> list[dict[str, Any]]:
    """The first batches of a scan that was just started."""
    tasks: list[dict[str, Any]] = []

    def claimed() -> bool:
        tasks.extend(pilot.claim(num))
        return bool(tasks)

    wait_for(claimed, "a batch")
    return tasks


def do_batches(pilot: PixelPilot, number: int) -> None:
    def enough() -> bool:
        return pilot.done >= number or (pilot.work(1) > 0 and pilot.done >= number)

    wait_for(enough, f"{number} batches")


def assert_made_up_map(user: requests.Session, scan_id: str, nsides: str) -> None:
    answer = user.get(f"/scan/{scan_id}/result").json()
    assert answer["is_final"] is True
    found = ScanResult.from_json(answer["skyscan_result"])
    wanted = made_up_map(nsides)
    assert found.complete
    assert list(found.pixels) == list(wanted)
    for nside, table in wanted.items():
        assert found.pixels[nside].tobytes() == table.tobytes()


# -- by an outside scanner


def test_an_outside_scanner_takes_a_scan_from_start_to_end(user: requests.Session,
                                                           system: requests.Session) -> None:
    scan_id = start(user, reco_algo="elsewhere", event_i3live_json={"any": "thing"}, nsides={"3": 5})
    assert state(user, scan_id) == "PENDING__PRESTARTUP"
    assert "outside scanner" in progress(user, scan_id)["state_reason"]
    assert system.get(f"/scan/{scan_id}/manifest").json()["event_i3live_json_dict"] == {"any": "thing"}
    workflow = {"workflow_id": "W", "ewms_address": "http://e"}
    assert system.post(f"/scan/{scan_id}/ewms/workflow-id", json=workflow).status_code == 200
    assert system.post(f"/scan/{scan_id}/ewms/workflow-id", json=workflow).status_code == 200
    other = {**workflow, "workflow_id": "V"}
    assert system.post(f"/scan/{scan_id}/ewms/workflow-id", json=other).status_code == 404
    assert state(user, scan_id) == "PENDING__WAITING_ON_SCANNER_SERVER_STARTUP"
    assert scan_id not in [e["scan_id"] for e in user.get("/scans/backlog").json()["entries"]]
    system.patch(f"/scan/{scan_id}/manifest", json={"progress": PROGRESS})
    assert state(user, scan_id) == "IN_PROGRESS__PARTIAL_RESULT_GENERATED"
    for final in (False, True):
        body = {"skyscan_result": OUTSIDE_RESULT, "is_final": final}
        answer = system.put(f"/scan/{scan_id}/result", json=body)
        assert answer.json() == {"scan_id": scan_id, **body}
    assert state(user, scan_id) == "SCAN_HAS_FINAL_RESULT"


def test_a_final_result_is_kept(user: requests.Session, system: requests.Session) -> None:
    scan_id = start(user, reco_algo="elsewhere")
    system.put(f"/scan/{scan_id}/result", json={"skyscan_result": OUTSIDE_RESULT, "is_final": True})
    late = system.put(f"/scan/{scan_id}/result", json={"skyscan_result": {"x": 1}, "is_final": False})
    assert late.status_code == 200
    assert late.json()["skyscan_result"] == OUTSIDE_RESULT
    assert user.get(f"/scan/{scan_id}/result").json() == {
        "scan_id": scan_id, "skyscan_result": OUTSIDE_RESULT, "is_final": True}


def test_a_long_poll_hears_of_news(user: requests.Session, system: requests.Session) -> None:
    scan_id = start(user, reco_algo="elsewhere")
    version = progress(user, scan_id)["version"]
    assert progress(user, scan_id, wait=1, since=version)["version"] == version
    system.patch(f"/scan/{scan_id}/manifest", json={"progress": PROGRESS})
    assert progress(user, scan_id, wait=30, since=version)["version"] > version


# -- by our own pilots


@pytest.mark.parametrize("pilots", [1, 3])
def test_the_map_does_not_depend_on_the_pilots(api: Api, user: requests.Session, pilots: int) -> None:
    scan_id = start(user, nsides={"2": 0, "8": 4, "32": 6})
    team = [PixelPilot(api.session("pilot")).register() for _ in range(pilots)]
    finish(user, team, scan_id)
    assert_made_up_map(user, scan_id, "2:0,8:4,32:6")
    manifest = user.get(f"/scan/{scan_id}/manifest").json()
    assert manifest["progress"]["processing_stats"]["finished"] is True
    assert manifest["event_metadata"]["event_type"] == "neutrino"
    view = progress(user, scan_id)
    assert view["pixels_done"] == view["pixels_total"] == sum(map(len, made_up_map("2:0,8:4,32:6").values()))
    assert view["area_90_deg2"] >= view["area_50_deg2"] > 0
    assert state(user, scan_id) == "SCAN_HAS_FINAL_RESULT"


def test_with_a_low_threshold_the_next_level_starts_early(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user, predictive_scanning_threshold=0.0)
    wait_for(lambda: len(progress(user, scan_id)["levels"]) == 2, "the launch")
    seen: set[tuple[int, int]] = set()

    def over() -> bool:
        pilot.work(1)
        levels = progress(user, scan_id)["levels"]
        seen.add((levels[0]["done"], len([x for x in levels if x["done"]])))
        return bool(progress(user, scan_id)["is_final"])

    wait_for(over, "the final map")
    name = "predictive_scanning_threshold"
    assert user.get(f"/scan-request/{scan_id}").json()[name] == 0.0
    assert user.get(f"/scan/{scan_id}/manifest").json()["scan_metadata"][name] == 0.1
    assert {done for done, _ in seen} >= {48}


def test_the_partial_map_can_be_read(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    wait_for(lambda: pilot.work(1) == 1, "the first batch")
    wait_for(lambda: state(user, scan_id) == "IN_PROGRESS__PARTIAL_RESULT_GENERATED", "the first result")
    answer = user.get(f"/scan/{scan_id}/result").json()
    assert answer["is_final"] is False
    partial = ScanResult.from_json(answer["skyscan_result"])
    assert len(partial.pixels[2]) == 7
    assert not partial.complete
    assert user.get(f"/scan/{scan_id}/skymap.png").content.startswith(b"\x89PNG")
    finish(user, [pilot], scan_id)


def test_the_map_comes_in_several_forms(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    assert user.get(f"/scan/{scan_id}/skymap.png").status_code == 404
    finish(user, [pilot], scan_id)
    whole = ScanResult.from_json(user.get(f"/scan/{scan_id}/skymap.json").json())
    npz = user.get(f"/scan/{scan_id}/skymap.npz")
    assert npz.headers["Content-Disposition"].endswith('"run00000007.evt000000000011.neutrino_2_8.npz"')
    again = ScanResult.from_npz(io.BytesIO(npz.content))
    assert all(again.pixels[nside].tobytes() == whole.pixels[nside].tobytes() for nside in whole.nsides)
    for view in ("sky", "zoom"):
        picture = user.get(f"/scan/{scan_id}/skymap.png", params={"view": view})
        assert picture.content.startswith(b"\x89PNG")
    assert user.get(f"/scan/{scan_id}/skymap.png", params={"view": "x"}).status_code == 400


# -- leases


def test_the_same_result_twice_changes_nothing(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    task = leased(pilot)[0]
    assert pilot.put(task).status_code == 200
    done = progress(user, scan_id)["pixels_done"]
    assert pilot.put(task).status_code == 200
    assert progress(user, scan_id)["pixels_done"] == done
    finish(user, [pilot], scan_id)
    assert_made_up_map(user, scan_id, "2:0,8:4")


def test_a_stale_result_is_refused(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    tasks = leased(pilot)
    evicted = pilot.session.post(f"/tasks/{tasks[0]['task_id']}/task_actions/evict",
                                 json={"instance_id": tasks[0]["instance_id"], "reason": "test"})
    assert evicted.status_code == 200
    assert pilot.put(tasks[0]).status_code == 404
    assert progress(user, scan_id)["pixels_done"] == 0
    finish(user, [pilot], scan_id)
    assert_made_up_map(user, scan_id, "2:0,8:4")


def test_rows_of_other_pixels_are_refused(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    tasks = leased(pilot)
    result = pilot.result(tasks[0])
    for bad in ({**result, "rows": result["rows"][1:]}, {**result, "rows": "x"}, {**result, "seconds": -1},
                {**result, "odd": 1}, {"rows": result["rows"]}):
        answer = pilot.session.put(f"/pixel_batches/{tasks[0]['task_id']}", json=bad)
        assert answer.status_code == 400, answer.text
    assert pilot.session.put("/pixel_batches/nope", json=result).status_code == 404
    assert pilot.put(tasks[0]).status_code == 200
    finish(user, [pilot], scan_id)


def test_a_batch_cannot_be_complete_without_its_result(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    task = leased(pilot)[0]
    body = {"instance_id": task["instance_id"]}
    assert pilot.session.post(f"/tasks/{task['task_id']}/task_actions/complete", json=body).status_code == 200
    finish(user, [pilot], scan_id)
    assert_made_up_map(user, scan_id, "2:0,8:4")


# -- ends


def test_deletion_stops_the_workers(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    tasks = leased(pilot)
    assert user.delete(f"/scan/{scan_id}").status_code == 200
    status = user.get(f"/scan/{scan_id}/status").json()
    assert status["ewms_deactivated"] == "ABORTED"
    assert status["scan_state"].startswith("ABORTED__")
    lease = {"task_id": tasks[0]["task_id"], "instance_id": tasks[0]["instance_id"]}
    beat = pilot.session.post(f"/pilots/{pilot.pilot_id}/heartbeat", json={"tasks": [lease]}).json()
    assert beat["stop"] == [tasks[0]["task_id"]]
    assert pilot.put(tasks[0]).status_code == 404
    assert not pilot.claim()
    assert user.delete(f"/scan/{scan_id}").status_code == 200


def test_batches_that_fail_for_good_end_the_scan_with_a_reason(user: requests.Session,
                                                                 pilot: PixelPilot) -> None:
    scan_id = start(user)
    tasks = leased(pilot, 2)
    assert pilot.put(tasks[0]).status_code == 200
    failing = tasks[1:]

    def over() -> bool:
        for task in failing:
            body = {"instance_id": task["instance_id"], "reason": "no such table"}
            pilot.session.post(f"/tasks/{task['task_id']}/task_actions/failed", json=body)
        failing[:] = pilot.claim()
        return state(user, scan_id).startswith("ABORTED")

    wait_for(over, "the end")
    view = progress(user, scan_id)
    assert view["state"] == "ABORTED__PARTIAL_RESULT_GENERATED"
    assert "no such table" in view["state_reason"]
    assert "no such table" in str(user.get(f"/scan/{scan_id}/ewms/workforce").json()["top_errors"])
    assert user.get(f"/scan/{scan_id}/result").json()["is_final"] is False
    assert not pilot.claim()


def test_a_scan_that_fits_nothing_has_no_map(user: requests.Session, pilot: PixelPilot,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    scan_id = start(user, nsides={"1": 0})
    result = pilot.result

    def nothing(task: dict[str, Any]) -> dict[str, Any]:
        made = result(task)
        return {**made, "rows": [[row[0], *[None] * 7] for row in made["rows"]]}

    monkeypatch.setattr(pilot, "result", nothing)
    wait_for(lambda: pilot.work(9) < 0 or "ABORTED" in state(user, scan_id), "the end")
    assert "no pixel could be fitted" in progress(user, scan_id)["state_reason"]


# -- requests


def test_a_broken_event_is_refused_with_the_place(user: requests.Session) -> None:
    event = simulated_event()
    text = json.dumps(event)
    frames = event["value"]["data"]["frames"]
    broken = json.loads(text)
    broken["value"]["data"]["frames"][-1][1] = frames[-1][1][:-40]
    answer = user.post("/scan", json=scan_body(event_i3live_json=broken))
    assert answer.status_code == 400
    assert "'event_i3live_json'" in answer.json()["error"]
    assert "frame" in answer.json()["error"]
    assert user.post("/scan", json=scan_body(event_i3live_json={"run_id": 1})).status_code == 400


@pytest.mark.parametrize("nsides", [
    {}, {"3": 0}, {"8": 1}, {"8": 0, "64": 0}, {"8": "x"}, {"x": 0}, {"8": -1}])
def test_impossible_levels_are_refused(user: requests.Session, nsides: dict[str, Any]) -> None:
    answer = user.post("/scan", json=scan_body(nsides=nsides))
    assert answer.status_code == 400
    assert "'nsides'" in answer.json()["error"]


def test_a_dry_run_checks_and_stores_nothing(user: requests.Session) -> None:
    query = {"dry_run": "true"}
    answer = user.post("/scan", params=query, json=scan_body())
    assert answer.status_code == 200
    assert user.get(f"/scan/{answer.json()['scan_id']}").status_code == 404
    assert user.post("/scan", params=query, json=scan_body(nsides={"3": 0})).status_code == 400


def test_a_real_event_needs_a_real_run_number(user: requests.Session) -> None:
    answer = user.post("/scan", json=scan_body(real_or_simulated_event="real"))
    assert answer.status_code == 400
    assert "'real_or_simulated_event'" in answer.json()["error"]


def test_low_priority_waits_while_there_is_other_work(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user, priority=-1)
    finish(user, [pilot], start(user))
    assert state(user, scan_id) == "PENDING__PRESTARTUP"
    assert "negative" in progress(user, scan_id)["state_reason"]
    user.delete(f"/scan/{scan_id}")


def test_a_rescan_replaces_the_scan(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    body = {"abort_first": True, "replace_scan": True}
    new = user.post(f"/scan/{scan_id}/actions/rescan", json=body).json()
    assert new["classifiers"] == {"rescan": True, "origin_scan_id": scan_id}
    assert new["event_i3live_json_dict__hash"]
    followed = user.get(f"/scan/{scan_id}/manifest", params={"projection": "scan_id"})
    assert followed.json() == {"scan_id": new["scan_id"]}
    assert followed.history[0].status_code == 302
    kept = user.delete(f"/scan/{scan_id}", allow_redirects=False)
    assert kept.status_code == 307
    finish(user, [pilot], new["scan_id"])
    assert user.get(f"/scan-request/{new['scan_id']}").json()["rescan_ids"] == [new["scan_id"]]


# -- crashes and company


@pytest.mark.slow
def test_killing_the_server_changes_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path, SETTINGS) as first:
        server, user = first, first.session("user")
        scan_id = start(user)
        for done in (0, 1, 3):
            do_batches(PixelPilot(server.session("pilot")).register(), done)
            server.kill()
            server = start_server(first.data, first.database_url, first.database_name, SETTINGS)
        user = server.session("user")
        pilot = PixelPilot(server.session("pilot")).register()
        try:
            finish(user, [pilot], scan_id)
            assert_made_up_map(user, scan_id, "2:0,8:4")
        finally:
            server.close()
            server.stop()


@pytest.mark.slow
def test_two_servers_make_one_map(tmp_path: Path) -> None:
    with running_server(tmp_path, SETTINGS) as first:
        second = start_server(first.data, first.database_url, first.database_name, SETTINGS)
        try:
            user = first.session("user")
            scan_id = start(user, nsides={"2": 0, "8": 4, "32": 6})
            team = [PixelPilot(server.session("pilot")).register() for server in (first, second)]
            for pilot in team:
                do_batches(pilot, 1)
            finish(second.session("user"), team, scan_id)
            assert_made_up_map(user, scan_id, "2:0,8:4,32:6")
            assert all(pilot.done for pilot in team)
        finally:
            second.close()
            second.stop()
