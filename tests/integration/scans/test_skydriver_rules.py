"""SkyDriver's rules one by one: texts of errors, reading, a scanner's calls, deleting, redirects."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.api import Api, running_server
from tests.support.skydriver import EVENT, GONE, MANIFEST, MAP, PROGRESS, UNKNOWN, WORKFLOW, new, refused


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("rules"), {"SCANS__BACKGROUND_SECONDS": 3600}) as server:
        yield server


@pytest.fixture(scope="module")
def user(api: Api) -> requests.Session:
    return api.session("user")


@pytest.fixture(scope="module")
def system(api: Api) -> requests.Session:
    return api.session("system")


@pytest.fixture
def scan(user: requests.Session) -> str:
    return str(new(user)["scan_id"])


@pytest.fixture
def final(user: requests.Session, system: requests.Session, scan: str) -> str:
    assert system.post(f"/scan/{scan}/ewms/workflow-id", json=WORKFLOW).status_code == 200
    assert system.put(f"/scan/{scan}/result",
                      json={"skyscan_result": MAP, "is_final": True}).status_code == 200
    return scan


# -- conventions


@pytest.mark.parametrize("token", ["", "Basic abc", "Bearer", "Bearer x.y.z", "bearer"])
def test_bad_tokens_are_403(api: Api, token: str) -> None:
    headers = {"Authorization": token} if token else {}
    answer = requests.get(f"{api.url}/scans/backlog", headers=headers, timeout=30)
    refused(answer, 403, "authentication failed")
    assert "WWW-Authenticate" not in answer.headers


def test_the_role_counts_before_the_body_and_the_id(user: requests.Session,
                                                    system: requests.Session) -> None:
    refused(system.post("/scan", data="{broken"), 403, "authorization failed")
    refused(system.delete(f"/scan/{UNKNOWN}"), 403)
    refused(user.patch(f"/scan/{UNKNOWN}/manifest", json={"odd": 1}), 403)
    refused(user.put(f"/scan/{UNKNOWN}/result", data="x"), 403)


@pytest.mark.parametrize("path", ["/nope", "/scan/a-b", "/scan/a b/manifest", "/scan//manifest"])
def test_unknown_routes_are_json(user: requests.Session, path: str) -> None:
    refused(user.get(path), 404)


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/scan"), ("PUT", "/scan"), ("GET", "/scans/find"), ("POST", "/scans/backlog"),
    ("POST", f"/scan/{UNKNOWN}"), ("DELETE", f"/scan/{UNKNOWN}/manifest"),
    ("POST", f"/scan/{UNKNOWN}/result"), ("PUT", f"/scan/{UNKNOWN}/ewms/workflow-id")])
def test_wrong_methods_are_json(user: requests.Session, method: str, path: str) -> None:
    answer = user.request(method, path)
    refused(answer, 405)
    assert method not in answer.headers["Allow"].split(", ")
    for known in answer.headers["Allow"].split(", "):
        assert user.request(known, path).status_code != 405


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/scan"), ("POST", "/scans/find"), ("PATCH", "/scan/{}/manifest"), ("PUT", "/scan/{}/result"),
    ("POST", "/scan/{}/ewms/workflow-id"), ("POST", "/scan/{}/actions/add-workers")])
def test_bodies_are_json_objects(api: Api, scan: str, method: str, path: str) -> None:
    everybody, path = api.session(), path.format(scan)
    refused(everybody.request(method, path), 400, "Missing required request body")
    for text in ("{bad", "nul", '{"a": 1,}', b"\xff\xfe"):
        refused(everybody.request(method, path, data=text), 400, "JSON-encoded")
    for text in ("[1]", '"text"', "12", "null", "true"):
        refused(everybody.request(method, path, data=text), 400, "must be type 'object' (dict)")


@pytest.mark.parametrize("path", [
    "", "/manifest", "/i3-event", "/result", "/status", "/logs", "/ewms/workflow-id", "/ewms/workforce",
    "/ewms/taskforces"])
def test_unknown_scans_are_404(user: requests.Session, path: str) -> None:
    refused(user.get(f"/scan/{UNKNOWN}{path}"), 404)


@pytest.mark.parametrize(("path", "sent"), [
    ("/actions/rescan", {}), ("/actions/add-workers", {"n_workers": 1, "cluster_location": "osg"})])
def test_actions_on_unknown_scans_are_404(user: requests.Session, path: str, sent: dict[str, Any]) -> None:
    refused(user.post(f"/scan/{UNKNOWN}{path}", json=sent), 404)
    refused(user.get(f"/scan-request/{UNKNOWN}"), 404, "Scan request not found")
    refused(user.delete(f"/scan/{UNKNOWN}"), 404)


def test_system_calls_for_unknown_scans_are_404(system: requests.Session) -> None:
    refused(system.patch(f"/scan/{UNKNOWN}/manifest", json={}), 404)
    refused(system.put(f"/scan/{UNKNOWN}/result", json={"skyscan_result": MAP, "is_final": False}), 404)
    refused(system.post(f"/scan/{UNKNOWN}/ewms/workflow-id", json=WORKFLOW), 404)


def test_the_root_is_empty_and_the_document_lists_all(user: requests.Session) -> None:
    assert user.get("/").json() == {}
    document = user.get("/openapi.json").json()
    assert document["openapi"].startswith("3")
    for method, path in (("post", "/scan"), ("get", "/scan/{scan_id}/ewms/taskforces"), ("get", "/"),
                         ("get", "/openapi.json"), ("delete", "/scan/{scan_id}")):
        assert method in document["paths"][path]


def test_queries_may_hold_anything(user: requests.Session, scan: str) -> None:
    for path in ("", "/manifest", "/result", "/status"):
        assert user.get(f"/scan/{scan}{path}", params={"odd": "1"}).status_code == 200


# -- reading


def test_projections_of_one_manifest(user: requests.Session, system: requests.Session) -> None:
    event = {"run_id": 3, "mark": uuid.uuid4().hex}
    scan_id = new(user, event_i3live_json=event)["scan_id"]
    path = f"/scan/{scan_id}/manifest"
    whole = set(MANIFEST)
    for projection, keys in (("scan_id|priority", {"scan_id", "priority"}), ("nope", set()), ("", whole),
                             ("*", whole), ("scan_id|*", whole), ("scan_id|nope", {"scan_id"}),
                             ("ewms_task", {"ewms_task"})):
        assert set(user.get(path, params={"projection": projection}).json()) == keys
    assert user.get(path).json()["event_i3live_json_dict"] == "use 'i3_event_id'"
    assert system.get(path).json()["event_i3live_json_dict"] == event
    assert list(system.get(path).json()) == MANIFEST


def test_deleted_scans_are_seen_when_asked_for(user: requests.Session, scan: str) -> None:
    assert user.delete(f"/scan/{scan}").status_code == 200
    for path in ("", "/manifest", "/result"):
        refused(user.get(f"/scan/{scan}{path}"), 404)
        for no in ("false", "False", "0", "no"):
            refused(user.get(f"/scan/{scan}{path}", params={"include_deleted": no}), 404)
        for yes in ("true", "TRUE", "1", "yes"):
            assert user.get(f"/scan/{scan}{path}", params={"include_deleted": yes}).status_code == 200
        refused(user.get(f"/scan/{scan}{path}", params={"include_deleted": "maybe"}), 400, "include_deleted")
    for path in ("/i3-event", "/status", "/logs", "/ewms/workflow-id", "/ewms/workforce", "/ewms/taskforces"):
        assert user.get(f"/scan/{scan}{path}").status_code == 200
    assert user.get(f"/scan-request/{scan}").status_code == 200
    status = user.get(f"/scan/{scan}/status").json()
    assert status["scan_state"] == "ABORTED__PRESTARTUP"
    assert status["is_deleted"] is True
    assert status["ewms_deactivated"] == "ABORTED"
    assert scan not in [entry["scan_id"] for entry in user.get("/scans/backlog").json()["entries"]]


def test_before_anything_happens(user: requests.Session, scan: str) -> None:
    assert user.get(f"/scan/{scan}/result").json() == {}
    assert user.get(f"/scan/{scan}").json()["result"] == {}
    assert user.get(f"/scan/{scan}/ewms/workflow-id").json() == {
        "workflow_id": "not-yet-requested", "requested_ewms_workflow": False, "eligible_for_ewms": True,
        "ewms_address": None}
    workforce = user.get(f"/scan/{scan}/ewms/workforce").json()
    assert workforce == {"workflow_id": "not-yet-requested", "statuses": {}, "n_running": 0, "top_errors": {}}
    assert user.get(f"/scan/{scan}/ewms/taskforces").json() == {"taskforces": []}
    status = user.get(f"/scan/{scan}/status").json()
    assert set(status) >= {"scan_state", "is_deleted", "ewms_deactivated", "scan_complete",
                           "scanner_server_logs", "ewms_workforce"}
    assert status["scan_state"] == "PENDING__PRESTARTUP"
    assert status["ewms_deactivated"] is None
    assert status["scan_complete"] is False
    assert status["ewms_workforce"] == workforce
    url = user.get(f"/scan/{scan}/logs").json()["scanner_server"]["url"]
    assert url.startswith("http")
    assert status["scanner_server_logs"] == {"url": url}
    entry = next(e for e in user.get("/scans/backlog").json()["entries"] if e["scan_id"] == scan)
    assert set(entry) == {"scan_id", "timestamp", "priority", "pending_timestamp", "next_attempt"}
    assert entry["priority"] == -1000
    assert entry["pending_timestamp"] == 0.0
    assert entry["next_attempt"] == 0


def test_the_backlog_goes_by_priority_then_age(user: requests.Session) -> None:
    ids = [new(user, priority=priority)["scan_id"] for priority in (-7, 3, -7, 1000)]
    shown = [e["scan_id"] for e in user.get("/scans/backlog").json()["entries"] if e["scan_id"] in ids]
    assert shown == [ids[3], ids[1], ids[0], ids[2]]


# -- a scanner's calls


def test_progress_is_replaced_and_filled_in(system: requests.Session, scan: str) -> None:
    path = f"/scan/{scan}/manifest"
    before = system.get(path).json()
    assert system.patch(path, json={}).json()["last_updated"] == before["last_updated"]
    time.sleep(0.01)
    made = system.patch(path, json={"progress": PROGRESS}).json()
    assert made["progress"]["processing_stats"] == {
        "start": {}, "runtime": {}, "rate": {}, "end": "", "finished": False, "predictions": {}}
    assert made["progress"]["start"] is made["progress"]["end"] is None
    assert made["last_updated"] > before["last_updated"]
    again = {**PROGRESS, "tallies": {}, "start": 5, "end": 7}
    assert system.patch(path, json={"progress": again}).json()["progress"]["tallies"] == {}
    assert system.patch(path, json={"progress": None}).json()["progress"]["end"] == 7
    assert list(system.get(path, params={"projection": "progress"}).json()) == ["progress"]


@pytest.mark.parametrize("changes", [
    {"summary": GONE}, {"epilogue": GONE}, {"tallies": GONE}, {"processing_stats": GONE},
    {"predictive_scanning_threshold": GONE}, {"last_updated": GONE}, {"summary": 1}, {"tallies": "x"},
    {"processing_stats": {}}, {"processing_stats": {"start": {}}}, {"start": "x"}, {"end": 1.5},
    {"predictive_scanning_threshold": "1"}, {"last_updated": 5}, {"processing_stats": {
        "start": {}, "runtime": {}, "finished": "no"}}], ids=str)
def test_progress_that_is_none(system: requests.Session, scan: str, changes: dict[str, Any]) -> None:
    progress = {name: value for name, value in {**PROGRESS, **changes}.items() if value is not GONE}
    answer = system.patch(f"/scan/{scan}/manifest", json={"progress": progress})
    refused(answer, 400, "'progress': must match one of the accepted types")
    assert system.get(f"/scan/{scan}/manifest").json()["progress"] is None


def test_metadata_are_written_once(system: requests.Session, scan: str) -> None:
    path = f"/scan/{scan}/manifest"
    for name, value in (("event_metadata", {**EVENT, "version": 1}), ("scan_metadata", {"a": {"b": [1]}})):
        assert system.patch(path, json={name: value}).json()[name] == value
        assert system.patch(path, json={name: value}).status_code == 200
        refused(system.patch(path, json={name: {**value, "more": 1}}), 400,
                f"Cannot change an existing {name}")
        assert system.get(path).json()[name] == value
    refused(system.patch(path, json={"odd": 1}), 400, "'odd' was unexpected")
    for name in EVENT:
        part = {key: value for key, value in EVENT.items() if key != name}
        refused(system.patch(path, json={"event_metadata": part}), 400, "event_metadata")
    for wrong in ({"run_id": "1"}, {"mjd": "x"}, {"is_real_event": 1}, {"event_type": 5}, {"event_id": 1.5}):
        refused(system.patch(path, json={"event_metadata": {**EVENT, **wrong}}), 400, "event_metadata")
    refused(system.patch(path, json={"scan_metadata": [1]}), 400, "scan_metadata")


def test_a_report_is_taken_whole_or_not_at_all(system: requests.Session, scan: str) -> None:
    path = f"/scan/{scan}/manifest"
    system.patch(path, json={"scan_metadata": {"a": 1}})
    before = system.get(path).json()
    other = {"event_metadata": EVENT, "scan_metadata": {"a": 2}, "progress": PROGRESS}
    refused(system.patch(path, json=other), 400, "Cannot change an existing scan_metadata")
    assert system.get(path).json() == before
    made = system.patch(path, json={**other, "scan_metadata": {"a": 1}}).json()
    assert (made["event_metadata"], made["progress"]["summary"]) == (EVENT, "s")


def test_reports_at_the_same_time_write_metadata_once(api: Api, scan: str) -> None:
    path, sessions = f"/scan/{scan}/manifest", [api.session("system") for _ in range(6)]

    def report(number: int) -> int:
        event = {**EVENT, "run_id": number}
        sent = {"event_metadata": event, "scan_metadata": {"a": number}}
        return sessions[number].patch(path, json=sent).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(report, range(6))) == [200] + [400] * 5
    manifest = sessions[0].get(path).json()
    assert manifest["event_metadata"]["run_id"] == manifest["scan_metadata"]["a"]


def test_a_deleted_scan_still_takes_progress(user: requests.Session, system: requests.Session,
                                             scan: str) -> None:
    user.delete(f"/scan/{scan}")
    answer = system.patch(f"/scan/{scan}/manifest", json={"progress": PROGRESS})
    assert answer.status_code == 200
    assert answer.json()["is_deleted"] is True


@pytest.mark.parametrize(("sent", "text"), [
    ({}, "'skyscan_result' is a required property"), ({"skyscan_result": MAP}, "'is_final' is a required"),
    ({"is_final": True}, "'skyscan_result' is a required"),
    ({"skyscan_result": [1], "is_final": True}, "'skyscan_result': must be type 'object' (dict)"),
    ({"skyscan_result": None, "is_final": True}, "'skyscan_result'"),
    ({"skyscan_result": MAP, "is_final": "yes"}, "'is_final': must be type 'boolean' (bool)"),
    ({"skyscan_result": MAP, "is_final": 1}, "'is_final'"),
    ({"skyscan_result": MAP, "is_final": True, "odd": 1}, "'odd' was unexpected")])
def test_results_that_are_none(system: requests.Session, scan: str, sent: dict[str, Any], text: str) -> None:
    refused(system.put(f"/scan/{scan}/result", json=sent), 400, text)


def test_results(user: requests.Session, system: requests.Session, scan: str) -> None:
    path = f"/scan/{scan}/result"
    assert system.put(path, json={"skyscan_result": {}, "is_final": True}).json() == {}
    assert user.get(path).json() == {}
    for number, final in ((1, False), (2, False), (3, True), (3, True)):
        sent = {"skyscan_result": {"n": number}, "is_final": final}
        assert system.put(path, json=sent).json() == {"scan_id": scan, **sent}
        assert user.get(path).json() == {"scan_id": scan, **sent}
    late = system.put(path, json={"skyscan_result": {"n": 4}, "is_final": False})
    assert late.json() == {"scan_id": scan, "skyscan_result": {"n": 3}, "is_final": True}
    assert user.get(f"/scan/{scan}").json()["result"]["skyscan_result"] == {"n": 3}
    status = user.get(f"/scan/{scan}/status").json()
    assert status["scan_state"] == "SCAN_HAS_FINAL_RESULT"
    assert status["scan_complete"] is True


def state(user: requests.Session, scan_id: str) -> str:
    return str(user.get(f"/scan/{scan_id}/status").json()["scan_state"])


def test_workflow_ids(user: requests.Session, system: requests.Session, scan: str) -> None:
    path = f"/scan/{scan}/ewms/workflow-id"
    for wrong, text in (({}, "'workflow_id' is a required property"),
                        ({"workflow_id": "W"}, "'ewms_address' is a required property"),
                        ({**WORKFLOW, "workflow_id": ""}, "'workflow_id'"),
                        ({**WORKFLOW, "ewms_address": " "}, "'ewms_address'"),
                        ({**WORKFLOW, "workflow_id": 5}, "'workflow_id': must be type"),
                        ({**WORKFLOW, "odd": 1}, "'odd'")):
        refused(system.post(path, json=wrong), 400, text)
    manifest = system.post(path, json=WORKFLOW).json()
    assert set(manifest) == set(MANIFEST)
    assert manifest["ewms_workflow_id"] == "W"
    assert system.post(path, json=WORKFLOW).status_code == 200
    refused(system.post(path, json={**WORKFLOW, "workflow_id": "V"}), 404)
    assert user.get(path).json() == {"workflow_id": "W", "requested_ewms_workflow": True,
                                     "eligible_for_ewms": True, "ewms_address": "http://e"}
    assert state(user, scan) == "PENDING__WAITING_ON_SCANNER_SERVER_STARTUP"
    system.patch(f"/scan/{scan}/manifest", json={"progress": PROGRESS})
    assert state(user, scan) == "IN_PROGRESS__WAITING_ON_FIRST_PIXEL_RECO"
    user.delete(f"/scan/{scan}")
    assert state(user, scan) == "ABORTED__WAITING_ON_FIRST_PIXEL_RECO"
    refused(system.post(path, json=WORKFLOW), 404)


# -- deleting, rescanning, workers


def test_deleting(user: requests.Session, final: str) -> None:
    text = "Attempted to delete a completed scan (must use `delete_completed_scan=True`)"
    for sent in (None, {}, {"delete_completed_scan": False}, {"delete_completed_scan": "false"}):
        refused(user.delete(f"/scan/{final}", json=sent), 400, text)
    for wrong in ({"delete_completed_scan": "x"}, {"odd": 1}):
        refused(user.delete(f"/scan/{final}", json=wrong), 400, next(iter(wrong)))
    for _ in range(2):
        gone = user.delete(f"/scan/{final}", json={"delete_completed_scan": "True"}).json()
        assert gone["manifest"]["is_deleted"] is True
        assert gone["result"] == {"scan_id": final, "skyscan_result": MAP, "is_final": True}
    assert user.get(f"/scan/{final}/status").json()["scan_state"] == "SCAN_HAS_FINAL_RESULT"
    assert user.delete(f"/scan/{new(user)['scan_id']}").json()["result"] == {}


def test_rescans(user: requests.Session, system: requests.Session) -> None:
    first = new(user, classifiers={"mine": 1}, priority=-77)
    scan_id = first["scan_id"]
    second = user.post(f"/scan/{scan_id}/actions/rescan").json()
    third = system.post(f"/scan/{second['scan_id']}/actions/rescan", json={}).json()
    assert second["classifiers"] == {"mine": 1, "rescan": True, "origin_scan_id": scan_id}
    assert third["classifiers"] == {"mine": 1, "rescan": True, "origin_scan_id": second["scan_id"]}
    for made in (second, third):
        assert made["priority"] == -77
        assert made["scan_id"] not in (scan_id, None)
        assert made["i3_event_id"] == first["i3_event_id"]
        assert made["scanner_server_args"] == first["scanner_server_args"]
        request = user.get(f"/scan-request/{made['scan_id']}").json()
        assert request["scan_id"] == scan_id
        assert request["rescan_ids"] == [second["scan_id"], third["scan_id"]]
    assert user.get(f"/scan/{scan_id}/manifest").json()["replaced_by_scan_id"] is None
    for wrong in ({"abort_first": "x"}, {"replace_scan": 1}, {"odd": 1}, {"manifest_projection": "scan_id"}):
        refused(user.post(f"/scan/{scan_id}/actions/rescan", json=wrong), 400, next(iter(wrong)))
    user.delete(f"/scan/{scan_id}")
    sent = {"abort_first": "true", "replace_scan": "True"}
    fourth = user.post(f"/scan/{scan_id}/actions/rescan", json=sent)
    assert fourth.status_code == 200
    old = user.get(f"/scan/{scan_id}/manifest", params={"no_redirect": 1, "include_deleted": 1}).json()
    assert old["replaced_by_scan_id"] == fourth.json()["scan_id"]
    assert old["is_deleted"] is True


def test_aborting_first(user: requests.Session, scan: str) -> None:
    made = user.post(f"/scan/{scan}/actions/rescan", json={"abort_first": True}).json()
    assert user.get(f"/scan/{scan}/manifest", params={"include_deleted": 1}).json()["is_deleted"] is True
    assert user.get(f"/scan/{made['scan_id']}/manifest").json()["is_deleted"] is False


def test_adding_workers(user: requests.Session, system: requests.Session, scan: str) -> None:
    path, sent = f"/scan/{scan}/actions/add-workers", {"n_workers": 2, "cluster_location": "osg"}
    refused(user.post(path, json=sent), 422, "an EWMS workflow has not been assigned--cannot add workers")
    system.post(f"/scan/{scan}/ewms/workflow-id", json=WORKFLOW)
    for wrong, text in (({"n_workers": 0}, "'n_workers': must be at least 1"),
                        ({"n_workers": "2"}, "'n_workers'"), ({"n_workers": True}, "'n_workers'"),
                        ({"n_workers": 1.5}, "'n_workers'"),
                        ({"cluster_location": " "}, "'cluster_location'"),
                        ({"cluster_location": 1}, "'cluster_location'"),
                        ({"odd": 1}, "'odd'"), ({"cluster_location": "foo"}, "unknown cluster: foo"),
                        ({"no_redirect": "x"}, "'no_redirect'")):
        refused(user.post(path, json={**sent, **wrong}), 400, text)
    refused(user.post(path, json={"n_workers": 1}), 400, "'cluster_location' is a required property")
    made = user.post(path, json={**sent, "no_redirect": True}).json()
    assert set(made) == {"taskforce_uuid", "n_workers"}
    assert made["n_workers"] == 2
    forces = user.get(f"/scan/{scan}/ewms/taskforces").json()["taskforces"]
    assert made["taskforce_uuid"] in [force["taskforce_uuid"] for force in forces]
    for force in forces:
        assert set(force) >= {"taskforce_uuid", "phase", "compound_statuses", "top_task_errors"}
    system.put(f"/scan/{scan}/result", json={"skyscan_result": MAP, "is_final": True})
    refused(user.post(path, json=sent), 422, "this scan has a final result--cannot add workers")
    user.delete(f"/scan/{scan}", json={"delete_completed_scan": True})
    refused(user.post(path, json=sent), 422, "this scan has been deleted--cannot add workers")


# -- redirects


@pytest.fixture(scope="module")
def replaced(user: requests.Session) -> tuple[str, str]:
    old = new(user)["scan_id"]
    made = user.post(f"/scan/{old}/actions/rescan", json={"replace_scan": True}).json()["scan_id"]
    return str(old), str(made)


READ = ["", "/manifest", "/result", "/i3-event", "/status", "/logs", "/ewms/workflow-id", "/ewms/workforce",
        "/ewms/taskforces"]


@pytest.mark.parametrize("path", READ)
def test_reads_are_redirected(user: requests.Session, system: requests.Session, replaced: tuple[str, str],
                              path: str) -> None:
    old, made = replaced
    for query in ("", "?no_redirect=false", "?no_redirect=0&odd=%20x", "?projection=a%7Cb"):
        answer = user.get(f"/scan/{old}{path}{query}", allow_redirects=False)
        assert answer.status_code in (302, 307)
        assert answer.headers["Location"].endswith(f"/scan/{made}{path}{query}")
    for query in ("?no_redirect=true", "?no_redirect=True", "?no_redirect=1", "?no_redirect=yes"):
        assert user.get(f"/scan/{old}{path}{query}", allow_redirects=False).status_code == 200
    refused(user.get(f"/scan/{old}{path}?no_redirect=maybe", allow_redirects=False), 400, "no_redirect")
    if path not in ("/result", "/logs"):
        assert system.get(f"/scan/{old}{path}", allow_redirects=False).status_code == 200
    assert user.get(f"/scan-request/{old}", allow_redirects=False).status_code == 200


@pytest.mark.parametrize(("method", "path", "sent"), [
    ("DELETE", "", {}), ("POST", "/actions/rescan", {}),
    ("POST", "/actions/add-workers", {"n_workers": 1, "cluster_location": "osg"})])
def test_changes_are_redirected(user: requests.Session, method: str, path: str, sent: dict[str, Any]) -> None:
    old = new(user)["scan_id"]
    made = user.post(f"/scan/{old}/actions/rescan", json={"replace_scan": True}).json()["scan_id"]
    for no in ({}, {"no_redirect": False}, {"no_redirect": "False"}):
        answer = user.request(method, f"/scan/{old}{path}", json={**sent, **no}, allow_redirects=False)
        assert answer.status_code in (307, 308)
        assert answer.headers["Location"].endswith(f"/scan/{made}{path}")
    refused(user.request(method, f"/scan/{old}{path}", json={**sent, "no_redirect": "x"}), 400, "no_redirect")
    followed = user.request(method, f"/scan/{old}{path}", json=sent)
    assert followed.status_code in (200, 422)
    assert followed.history[0].status_code in (307, 308)
    for yes in (True, "true", "TRUE"):
        answer = user.request(method, f"/scan/{old}{path}", json={**sent, "no_redirect": yes},
                              allow_redirects=False)
        assert answer.status_code in (200, 422)


def test_chains_are_followed_hop_by_hop(user: requests.Session) -> None:
    first = new(user)["scan_id"]
    second = user.post(f"/scan/{first}/actions/rescan", json={"replace_scan": True}).json()["scan_id"]
    third = user.post(f"/scan/{second}/actions/rescan", json={"replace_scan": True}).json()["scan_id"]
    answer = user.get(f"/scan/{first}/manifest")
    assert answer.json()["scan_id"] == third
    assert len(answer.history) == 2
    answer = user.delete(f"/scan/{first}")
    assert answer.json()["manifest"]["scan_id"] == third
