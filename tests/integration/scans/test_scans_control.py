"""What scans do with what is known, what fails, what comes late and what is too much."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pymongo import MongoClient

from iceprod.cli.main import main
from scanner.maps.result import ScanResult
from tests.support.api import Api, running_server
from tests.support.scans import PixelPilot, made_up_map, scan_body, wait_for

SETTINGS = {"SCANS__FIRST_BATCH_PIXELS": 4, "SCANS__MAX_BATCH_PIXELS": 4, "SCANS__RUNNING_PER_USER": 2,
            "SCANS__BACKLOG_PER_USER": 3, "SCANS__RUNNING_PER_CLUSTER": 3,
            "SERVICES__REPAIR_SECONDS": 1, "LEASES__SWEEP_SECONDS": 1}
OUTSIDE = {"nside-1": {"columns": ["index", "llh"], "metadata": {"nside": 1}, "data": [[0, 1.5]]}}
PIXELS = sum(map(len, made_up_map("2:0,8:4").values()))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("control"), SETTINGS) as server:
        yield server


@pytest.fixture
def user(api: Api, request: pytest.FixtureRequest) -> requests.Session:
    """A user per test: quotas are per user."""
    return api.session("user", username=request.node.name)


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


def progress(user: requests.Session, scan_id: str) -> dict[str, Any]:
    return dict(user.get(f"/scan/{scan_id}/progress", params={"no_redirect": "true"}).json())


def finish(user: requests.Session, pilot: PixelPilot, scan_id: str) -> None:
    def over() -> bool:
        pilot.work(2)
        return bool(progress(user, scan_id)["is_final"])

    wait_for(over, "the final map")


def batch(pilot: PixelPilot) -> dict[str, Any]:
    tasks: list[dict[str, Any]] = []

    def claimed() -> bool:
        tasks.extend(pilot.claim(1))
        return bool(tasks)

    wait_for(claimed, "a batch")
    return tasks[0]


def fail(pilot: PixelPilot, task: dict[str, Any], reason: str) -> None:
    body = {"instance_id": task["instance_id"], "reason": reason}
    answer = pilot.session.post(f"/tasks/{task['task_id']}/task_actions/failed", json=body)
    assert answer.status_code == 200, answer.text


def assert_map(user: requests.Session, scan_id: str) -> None:
    found = ScanResult.from_json(user.get(f"/scan/{scan_id}/result").json()["skyscan_result"])
    for nside, table in made_up_map("2:0,8:4").items():
        assert found.pixels[nside].tobytes() == table.tobytes()


# -- what is known


def rescan(user: requests.Session, scan_id: str, **body: Any) -> str:
    answer = user.post(f"/scan/{scan_id}/actions/rescan", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["scan_id"])


def test_a_rescan_of_a_finished_scan_computes_failed_fits_only(user: requests.Session,
                                                               pilot: PixelPilot) -> None:
    scan_id = start(user)
    finish(user, pilot, scan_id)
    before = pilot.done
    new = rescan(user, scan_id)
    finish(user, pilot, new)
    assert_map(user, new)
    failed = sum(int((table["index"] % 17 == 3).sum()) for table in made_up_map("2:0,8:4").values())
    view = progress(user, new)
    assert view["pixels_reused"] == PIXELS - failed
    assert 0 < pilot.done - before <= failed


def test_a_rescan_goes_on_where_an_aborted_scan_stopped(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    for _ in range(3):
        assert pilot.put(batch(pilot)).status_code == 200
    done = progress(user, scan_id)["pixels_done"]
    new = rescan(user, scan_id, abort_first=True, replace_scan=True)
    finish(user, pilot, new)
    assert_map(user, new)
    assert done - 2 <= progress(user, new)["pixels_reused"] <= done
    third = rescan(user, new)
    finish(user, pilot, third)
    assert_map(user, third)
    assert user.get(f"/scan/{third}/status").json()["scan_state"] == "SCAN_HAS_FINAL_RESULT"


def test_another_scan_of_the_event_takes_nothing_over(user: requests.Session, pilot: PixelPilot) -> None:
    finish(user, pilot, start(user))
    scan_id = start(user)
    finish(user, pilot, scan_id)
    assert progress(user, scan_id)["pixels_reused"] == 0


# -- what fails


def test_a_pixel_that_fails_is_found_and_left_out(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    first = batch(pilot)
    bad = first["payload"]["pixels"][2]
    assert first["payload"]["limit_s"] == 300 + 4 * 60
    sizes: list[int] = []

    def over() -> bool:
        for task in [first] if not sizes else pilot.claim(2):
            pixels = task["payload"]["pixels"]
            if task["task_id"] == first["task_id"]:
                sizes.append(len(pixels))
            if task["payload"]["nside"] == 2 and bad in pixels:
                fail(pilot, task, "no such ice")
            else:
                assert pilot.put(task).status_code == 200
        return bool(progress(user, scan_id)["is_final"])

    wait_for(over, "the final map")
    assert sizes == [4, 1, 3, 1, 2, 1, 1]
    view = progress(user, scan_id)
    assert view["failed"] == [{"nside": 2, "pixels": 1, "reason": "no such ice"}]
    assert "1 pixels that failed" in view["state_reason"]
    found = ScanResult.from_json(user.get(f"/scan/{scan_id}/result").json()["skyscan_result"])
    table, wanted = found.pixels[2], made_up_map("2:0,8:4")[2].copy()
    wanted["llh"][wanted["index"] == bad] = float("nan")
    others = wanted["index"] != bad
    assert table[others].tobytes() == wanted[others].tobytes()
    assert table["llh"][~others].tolist() != table["llh"][~others].tolist()  # NaN
    new = rescan(user, scan_id)
    finish(user, pilot, new)
    assert progress(user, new)["failed"] == []


def test_too_many_failures_end_a_scan(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)

    def over() -> bool:
        for task in pilot.claim(1):
            fail(pilot, task, "no such ice")
        return progress(user, scan_id)["state"].startswith("ABORTED__")

    wait_for(over, "the end")
    view = progress(user, scan_id)
    assert view["state_reason"].startswith("5 of 48 pixels failed, more than 10 %")
    assert "no such ice" in view["state_reason"]
    assert not pilot.claim()


# -- what is slow


def slow_result(pilot: PixelPilot, task: dict[str, Any], bad: int, part: int = 1) -> dict[str, Any]:
    """What a pilot tells whose worker hangs at a pixel, in a part of so many pixels unless it is alone."""
    pixels, whole = task["payload"]["pixels"], pilot.result(task)
    if bad not in pixels:
        return whole
    start = pixels.index(bad)
    part = 1 if task["payload"]["alone"] > start else part
    return {**whole, "rows": whole["rows"][:start], "slow": pixels[start:start + part]}


@pytest.mark.parametrize("part", [1, 2])
def test_a_slow_pixel_is_tried_elsewhere_then_left_out(api: Api, user: requests.Session, pilot: PixelPilot,
                                                       part: int) -> None:
    scan_id = start(user, max_pixel_reco_time=7)
    other = PixelPilot(api.session("pilot")).register("there")
    first = batch(pilot)
    bad = first["payload"]["pixels"][1]
    assert (first["payload"]["pixel_limit_s"], first["payload"]["alone"]) == (7, 0)
    tried: list[str] = []
    stored = 0

    def over() -> bool:
        nonlocal stored
        claimed = [(pilot, first)] if not tried else [(p, t) for p in (pilot, other) for t in p.claim(1)]
        for one, task in claimed:
            pixels = task["payload"]["pixels"]
            result = slow_result(one, task, bad, part) if task["payload"]["nside"] == 2 else one.result(task)
            if task["task_id"] == first["task_id"]:
                tried.append(f"{one.host}: {pixels.index(bad) if 'slow' in result else '-'}")
            answers = [one.session.put(f"/pixel_batches/{task['task_id']}", json=result) for _ in range(2)]
            assert answers[0].status_code == 200, answers[0].text
            assert answers[1].status_code in (200, 404)  # the same again: 404 when another has it already
            stored += 1
        return bool(progress(user, scan_id)["is_final"])

    wait_for(over, "the final map")
    other.session.delete(f"/pilots/{other.pilot_id}")
    slow = [one for one in tried if not one.endswith("-")]
    assert slow[0] == "here: 1"
    assert len(slow) == 1 + part
    assert slow[-1].startswith("there") or slow[-2].startswith("there")  # the last two: on two hosts
    view = progress(user, scan_id)
    assert view["cpu_s"] == pytest.approx(0.01 * stored)  # of all pieces, and of each once
    [failure] = view["failed"]
    assert (failure["nside"], failure["pixels"]) == (2, 1)
    assert f"pixel {bad} twice took longer than max_pixel_reco_time, 7 s" in failure["reason"]
    found = ScanResult.from_json(user.get(f"/scan/{scan_id}/result").json()["skyscan_result"]).pixels[2]
    wanted = made_up_map("2:0,8:4")[2]
    others = wanted["index"] != bad
    assert found[others].tobytes() == wanted[others].tobytes()


def test_slow_pixels_must_be_of_the_batch(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    task = batch(pilot)
    result, pixels = pilot.result(task), task["payload"]["pixels"]
    for wrong in ({"slow": [-1]}, {"slow": [pixels[0]] * 2}, {"slow": ["x"]},
                  {"slow": [pixels[0]], "rows": result["rows"]}):
        answer = pilot.session.put(f"/pixel_batches/{task['task_id']}", json={**result, **wrong})
        assert answer.status_code == 400, answer.text
    assert pilot.put(task).status_code == 200
    finish(user, pilot, scan_id)


# -- what comes late


def test_results_of_deleted_and_replaced_scans_are_refused(user: requests.Session,
                                                           system: requests.Session) -> None:
    body = {"skyscan_result": OUTSIDE, "is_final": True}
    deleted, replaced = start(user, reco_algo="elsewhere"), start(user, reco_algo="elsewhere")
    user.delete(f"/scan/{deleted}")
    new = rescan(user, replaced, replace_scan=True)
    for scan_id, word in ((deleted, "deleted"), (replaced, "replaced")):
        answer = system.put(f"/scan/{scan_id}/result", json=body)
        assert answer.status_code == 409
        assert word in answer.json()["reason"]
    assert system.put(f"/scan/{new}/result", json=body).status_code == 200
    user.delete(f"/scan/{replaced}", json={"no_redirect": True})


def test_a_scan_with_a_final_result_from_elsewhere_is_worked_for_no_more(
        user: requests.Session, system: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    assert pilot.put(batch(pilot)).status_code == 200
    late = batch(pilot)
    answer = system.put(f"/scan/{scan_id}/result", json={"skyscan_result": OUTSIDE, "is_final": True})
    assert answer.status_code == 200
    assert pilot.claim(1) == []
    pilot.put(late)
    status = user.get(f"/scan/{scan_id}/status").json()
    assert status["scan_state"] == "SCAN_HAS_FINAL_RESULT"
    assert status["ewms_workforce"]["n_running"] == 0
    assert user.get(f"/scan/{scan_id}/result").json()["skyscan_result"] == OUTSIDE


def test_a_replaced_scan_is_worked_for_no_more(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    task = batch(pilot)
    assert task["payload"]["scan_id"] == scan_id
    new = rescan(user, scan_id, replace_scan=True)
    assert pilot.put(task).status_code == 404
    view = progress(user, scan_id)
    assert view["state"].startswith("ABORTED__")
    assert view["state_reason"] == f"the scan was replaced by {new}"
    assert not view["is_deleted"]
    finish(user, pilot, new)
    waiting = start(user, priority=-1)
    newer = rescan(user, waiting, replace_scan=True)
    wait_for(lambda: waiting not in [e["scan_id"] for e in user.get("/scans/backlog").json()["entries"]],
             "the entry of a replaced scan being dropped")
    user.delete(f"/scan/{newer}")


def test_every_final_result_is_kept(user: requests.Session, system: requests.Session) -> None:
    scan_id = start(user, reco_algo="elsewhere")
    assert user.get(f"/scan/{scan_id}/result/versions").json() == {"scan_id": scan_id, "versions": []}
    made = [{"n": 1}, {"n": 1}, {"n": 2}]
    for result in made:
        body = {"skyscan_result": result, "is_final": True}
        assert system.put(f"/scan/{scan_id}/result", json=body).status_code == 200
    listed = user.get(f"/scan/{scan_id}/result/versions").json()["versions"]
    assert [(one["version"], one["is_current"]) for one in listed] == [(1, False), (2, True)]
    for number in (1, 2):
        found = user.get(f"/scan/{scan_id}/result/versions/{number}").json()
        assert found == {"scan_id": scan_id, "skyscan_result": {"n": number}, "is_final": True}
    assert user.get(f"/scan/{scan_id}/result").json()["skyscan_result"] == {"n": 2}
    for wrong in ("3", "0", "x"):
        assert user.get(f"/scan/{scan_id}/result/versions/{wrong}").status_code == 404


# -- what is too much


def test_users_have_quotas(api: Api, user: requests.Session, pilot: PixelPilot) -> None:
    running = [start(user), start(user)]
    wait_for(lambda: all(progress(user, scan_id)["levels"] for scan_id in running), "the launch of two")
    waiting = [start(user) for _ in range(3)]
    answer = user.post("/scan", json=scan_body())
    assert answer.status_code == 429
    assert "3 scans" in answer.json()["reason"]
    assert user.post(f"/scan/{running[0]}/actions/rescan", json={}).status_code == 429
    assert start(api.session("user", username="somebody else"))
    assert "2 scans of" in progress(user, waiting[0])["state_reason"]
    health = requests.get(api.url + "/healthz", timeout=30).json()["scans"]
    assert health["waiting"] >= 3
    assert health["running"] >= 2
    assert health["longest_without_progress_s"] >= health["seconds_since_progress"] >= 0
    for scan_id in running:
        user.delete(f"/scan/{scan_id}")
    for scan_id in waiting[:2]:
        finish(user, pilot, scan_id)
    finish(user, pilot, waiting[2])


def test_clusters_have_quotas(api: Api, pilot: PixelPilot) -> None:
    users = [api.session("user", username=f"clustered {number}") for number in range(4)]
    running = [start(one, request_clusters={"osg": 1, "sub-2": 1}) for one in users[:3]]
    wait_for(lambda: all(progress(users[0], scan_id)["levels"] for scan_id in running), "the launch of three")
    waiting = start(users[3], request_clusters={"osg": 1})
    said = progress(users[3], waiting)["state_reason"]
    assert said.endswith("3 scans run that ask for workers of osg, as many as may at once")
    urgent = start(users[3], request_clusters={"osg": 1}, priority=100)
    elsewhere = start(users[3], request_clusters={"local": 1})
    for scan_id in (urgent, elsewhere):
        wait_for(lambda one=scan_id: bool(progress(users[3], one)["levels"]), "the launch of another")
    assert progress(users[3], waiting)["state"] == "PENDING__PRESTARTUP"
    for scan_id in (*running, urgent, elsewhere):
        users[0].delete(f"/scan/{scan_id}")
    finish(users[3], pilot, waiting)


def test_the_site_of_a_grid_is_a_cluster(api: Api, user: requests.Session) -> None:
    asked = {"request_clusters": {"far-away": 3}}
    answer = user.post("/scan", json=scan_body(**asked))
    assert answer.status_code == 400
    assert "unknown cluster: far-away (available: local, osg, sub-2)" in answer.json()["reason"]
    body = {"host": "ap", "site": "far-away", "queues": {"ap": "htcondor"}, "version": "1"}
    assert api.session("system").post("/grids", json=body).status_code == 201
    scan_id = start(user, **asked)
    wait_for(lambda: bool(progress(user, scan_id)["levels"]), "the launch")
    more = {"n_workers": 2, "cluster_location": "far-away"}
    assert user.post(f"/scan/{scan_id}/actions/add-workers", json=more).status_code == 200
    user.delete(f"/scan/{scan_id}")


# -- what was expected


def test_predictions_are_compared_with_the_end(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user, nsides={"4": 0})
    wait_for(lambda: bool(progress(user, scan_id)["levels"]), "the launch")
    for _ in range(3):
        wait_for(lambda: pilot.work(1) == 1, "a batch")
    assert progress(user, scan_id)["eta_errors"] == []
    finish(user, pilot, scan_id)
    told = progress(user, scan_id)["eta_errors"]
    assert told
    for one in told:
        assert one["actual_s"] == pytest.approx(progress(user, scan_id)["wall_s"], rel=0.01)
        assert one["error_percent"] == pytest.approx(100 * (one["predicted_s"] / one["actual_s"] - 1))
    manifest = user.get(f"/scan/{scan_id}/manifest").json()
    predictions = manifest["progress"]["processing_stats"]["predictions"]
    assert len(predictions) == len(told)


def test_a_dead_letter_can_be_revived(api: Api, user: requests.Session, pilot: PixelPilot,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    scan_id = start(user, priority=-1)
    assert user.post(f"/scan/{scan_id}/actions/revive").status_code == 404
    with MongoClient(api.database_url) as client:
        backlog = client[api.database_name].scan_backlog
        backlog.update_one({"scan_id": scan_id}, {"$set": {"reason": "bad luck", "priority": 1}})
    assert "given up: bad luck" in progress(user, scan_id)["state_reason"]
    assert [e for e in user.get("/scans/dead-letters").json()["entries"] if e["scan_id"] == scan_id]
    where = ["--server", api.url, "--token", api.token("user")]
    capsys.readouterr()
    assert main(["backlog", *where]) == 0
    assert f"{scan_id}  20" in (shown := capsys.readouterr().out)
    assert "bad luck" in shown
    assert main(["backlog", "--revive", scan_id, "--json", *where]) == 0
    told = json.loads(capsys.readouterr().out)
    assert scan_id not in [entry["scan_id"] for entry in told["given_up"]]
    finish(user, pilot, scan_id)


def test_the_command_line_adds_workers_and_scans_again(api: Api, user: requests.Session, pilot: PixelPilot,
                                                       capsys: pytest.CaptureFixture[str],
                                                       tmp_path: Path) -> None:
    where = ["--server", api.url, "--token", api.token("user", username="at the terminal")]
    scan_id = start(user)
    wait_for(lambda: bool(progress(user, scan_id)["levels"]), "the launch")
    assert main(["workers", scan_id, "osg", "3", *where]) == 0
    assert capsys.readouterr().out == f"asked osg for 3 more workers for scan {scan_id}\n"
    assert main(["workers", scan_id, "nowhere", "3", *where]) == 2
    finish(user, pilot, scan_id)
    over = threading.Event()
    working = threading.Thread(target=lambda: [pilot.work(2) for _ in iter(lambda: over.wait(0.02), True)])
    working.start()
    try:
        assert main(["rescan", scan_id, "--replace", "--json", "--out", str(tmp_path), *where]) == 0
    finally:
        over.set()
        working.join(60)
    told = json.loads(capsys.readouterr().out)
    assert told["scan_id"] != scan_id
    assert progress(user, told["scan_id"])["pixels_reused"] > 0
    manifest = user.get(f"/scan/{scan_id}/manifest", params={"no_redirect": True}).json()
    assert manifest["replaced_by_scan_id"] == told["scan_id"]


# -- a SkyDriver user's session


def test_rest_client_runs_a_skydriver_users_session(api: Api, pilot: PixelPilot) -> None:
    rest = pytest.importorskip("rest_tools.client")

    async def session() -> dict[str, Any]:
        client = rest.RestClient(api.url, token=api.token("user", username="physicist"))
        try:
            body = scan_body(priority=100)
            manifest = await client.request("POST", "/scan", body)
            scan_id = manifest["scan_id"]
            while True:
                status = await client.request("GET", f"/scan/{scan_id}/status")
                if status["scan_complete"]:
                    break
                await asyncio.to_thread(pilot.work, 4)
            found = await client.request("POST", "/scans/find", {"filter": {"scan_id": scan_id}})
            assert [one["scan_id"] for one in found["manifests"]] == [scan_id]
            event = await client.request("GET", f"/scan/{scan_id}/i3-event")
            assert event["i3_event"] == body["event_i3live_json"]
            whole = await client.request("GET", f"/scan/{scan_id}", {"include_deleted": True})
            result = await client.request("GET", f"/scan/{scan_id}/result")
            assert whole["result"] == result
            with pytest.raises(requests.HTTPError):
                await client.request("DELETE", f"/scan/{scan_id}")
            again = await client.request("POST", f"/scan/{scan_id}/actions/rescan", {"replace_scan": True})
            followed = await client.request("GET", f"/scan/{scan_id}/manifest")
            assert followed["scan_id"] == again["scan_id"]
            await client.request("DELETE", f"/scan/{again['scan_id']}", {"delete_completed_scan": True})
            return dict(result)
        finally:
            client.close()

    result = asyncio.run(session())
    assert result["is_final"] is True
    assert ScanResult.from_json(result["skyscan_result"]).complete
