"""NaN and infinities as Python's own encoder writes them: null where a number may be missing, else a 400."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.api import Api, running_server
from tests.support.scans import scan_body, simulated_event

NAN, INFINITY = math.nan, math.inf


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("gaps"), {"SCANS__BACKGROUND_SECONDS": 3600}) as server:
        yield server


@pytest.fixture(scope="module")
def user(api: Api) -> requests.Session:
    return api.session("user")


@pytest.fixture(scope="module")
def system(api: Api) -> requests.Session:
    return api.session("system")


def sent(session: requests.Session, method: str, path: str, document: Any) -> requests.Response:
    return session.request(method, path, data=json.dumps(document))


@pytest.fixture(scope="module")
def scan_id(user: requests.Session) -> str:
    event = simulated_event() | {"extra": {"bdt": NAN, "list": [1, INFINITY]}}
    answer = sent(user, "POST", "/scan", scan_body(event_i3live_json=event))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["scan_id"])


@pytest.mark.parametrize("as_text", [True, False])
def test_an_event_is_stored_with_null(user: requests.Session, scan_id: str, as_text: bool) -> None:
    found = user.get(f"/scan/{scan_id}/i3-event").json()["i3_event"]
    assert found["extra"] == {"bdt": None, "list": [1, None]}
    event: Any = simulated_event() | {"extra": {"bdt": NAN, "list": [1, INFINITY]}}
    body = scan_body(event_i3live_json=json.dumps(event) if as_text else event)
    again = sent(user, "POST", "/scan", body).json()
    assert again["i3_event_id"] == user.get(f"/scan/{scan_id}/manifest").json()["i3_event_id"]


def test_elsewhere_in_a_new_scan(user: requests.Session) -> None:
    answer = sent(user, "POST", "/scan", scan_body(priority=NAN))
    assert (answer.status_code, answer.json()["error"]) == (400, "'priority': NaN is not a JSON number")


def test_what_a_scanner_reports(user: requests.Session, system: requests.Session) -> None:
    scan_id = user.post("/scan", json=scan_body(reco_algo="elsewhere")).json()["scan_id"]
    known = {"run_id": 1, "event_id": 2, "event_type": "x", "mjd": NAN, "is_real_event": True}
    answer = sent(system, "PATCH", f"/scan/{scan_id}/manifest", {"event_metadata": known})
    assert (answer.status_code, answer.json()["error"]) == (
        400, "'event_metadata.mjd': NaN is not a JSON number")
    answer = sent(system, "PATCH", f"/scan/{scan_id}/manifest", {"scan_metadata": {"a": [NAN]}})
    assert answer.json()["scan_metadata"] == {"a": [None]}


def test_a_result(system: requests.Session, user: requests.Session, scan_id: str) -> None:
    columns = ["index", "llh", "E_in", "E_tot", "X", "Y", "Z", "T"]
    metadata = {"nside": 1, "complete": False, "run_id": 1, "event_id": 2, "event_type": "x", "mjd": 6e4,
                "is_real_event": False, "version": 1}
    rows = [[0, 1.5, NAN, INFINITY, 0.0, 0.0, 0.0, 0.0]]
    result = {"nside-1": {"columns": columns, "metadata": metadata, "data": rows}}
    answer = sent(system, "PUT", f"/scan/{scan_id}/result", {"skyscan_result": result, "is_final": False})
    assert answer.status_code == 200, answer.text
    kept = user.get(f"/scan/{scan_id}/result").json()["skyscan_result"]["nside-1"]["data"]
    assert kept == [[0, 1.5, None, None, 0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize(("path", "document", "text"), [
    ("/api/classification", {"obj_id": "A", "classification": "x", "taxonomy_id": NAN},
     "taxonomy_id: NaN is not a JSON number"),
    ("/api/gcn_event", {"dateobs": "2024-01-01T00:00:00", "skymap": {"ra": NAN, "dec": 1, "error": 1}},
     "skymap.ra: NaN is not a JSON number")])
def test_uploads_to_the_desk(api: Api, path: str, document: dict[str, Any], text: str) -> None:
    answer = sent(api.session("admin"), "POST", path, document)
    assert answer.status_code == 400, answer.text
    assert text in answer.json()["message"]


def test_a_query_and_a_configuration(user: requests.Session) -> None:
    answer = sent(user, "POST", "/scans/find", {"filter": {"priority": NAN}})
    assert (answer.status_code, "filter.priority: NaN is not" in answer.json()["error"]) == (400, True)


def test_the_page_of_a_scan_draws_the_event(api: Api, scan_id: str) -> None:
    browser = api.anonymous()
    browser.post("/web/login", data={"token": api.token("user"), "next": "/web/"})
    assert f'src="/web/scans/{scan_id}/event"' in browser.get(f"/web/scans/{scan_id}").text
    picture = browser.get(f"/web/scans/{scan_id}/event")
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


def test_the_form_says_what_rest_says(api: Api, user: requests.Session) -> None:
    event = simulated_event()
    event["value"]["data"]["frames"][-1][1] = event["value"]["data"]["frames"][-1][1][:-40]
    rest = user.post("/scan", json=scan_body(event_i3live_json=event)).json()["error"]
    browser = api.anonymous()
    browser.post("/web/login", data={"token": api.token("user"), "next": "/web/"})
    page = browser.post("/web/scans/start", files={"event": json.dumps(event)}, data={
        "reco_algo": "track_mpe", "nsides": "8:0", "kind": "simulated", "cluster": "local"})
    assert "frame P: " in rest
    assert rest.partition("frame P: ")[2] in page.text
