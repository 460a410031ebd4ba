"""Analyses of a running server: a service on the loopback interface in all its moods, uploads, products."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from tests.support.api import Api, Session, running_server
from tests.support.desk import Night, night, ok, refused
from tests.support.installation import wait_until

pytestmark = pytest.mark.slow

GOOD = {"status": "success", "message": "done", "analysis": {
    "results": {"format": "json", "data": {"chi2": 1.5}},
    "inference_data": {"format": "json", "data": {"a": [1, 2, 3, 4], "b": [2, 3, 4, 6]}},
    "plots": [{"format": "series", "data": {"lines": [{"x": [1, 2], "y": [3, 4]}]}}]}}


class Service(ThreadingHTTPServer):
    """Answers as its mood says; remembers what it was told."""

    daemon_threads = True

    def __init__(self) -> None:
        self.mood, self.told = "good", []  # type: tuple[str, list[dict[str, Any]]]
        self.headers: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/fit"


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.told.append(body)
            service.headers.append(dict(self.headers))
            if service.mood == "before":
                call_back(body["callback_url"])
            status = {"broken": 500, "refuses": 422}.get(service.mood, 200)
            self.send_response(status)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"so what")
            if service.mood == "good":
                threading.Thread(target=call_back, args=(body["callback_url"],), daemon=True).start()

    return Handler


def call_back(url: str, body: Any = None) -> requests.Response:
    return requests.post(url, json=GOOD if body is None else body, timeout=30)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = {"CATALOGS__ALLOWED_HOSTS": "[127.0.0.1]", "CATALOGS__TRIES": 1}
    with running_server(tmp_path_factory.mktemp("analyses"), settings) as server:
        yield server


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("admin", username="ada", groups=())


@pytest.fixture(scope="module")
def one(api: Api, admin: Session) -> Night:
    found = night(api, admin)
    found.post("Alpha", redshift=0.25)
    return found


@pytest.fixture(scope="module")
def other(api: Api, admin: Session) -> Night:
    return night(api, admin)


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()
    yield found
    found.shutdown()
    found.server_close()


def register(admin: Session, one: Night, url: str, **more: Any) -> int:
    body = {"name": f"fit {time.monotonic_ns()}", "url": url, "input_data_types": ["redshift", "photometry"],
            "optional_analysis_parameters": {"mode": [], "token": []}, "group_ids": [one.group], **more}
    return int(ok(admin.post("/api/analysis_service", json=body))["id"])


def start(one: Night, number: int, **body: Any) -> int:
    answer = one.session.post(f"/api/obj/Alpha/analysis/{number}", json={"group_ids": [one.group], **body})
    return int(ok(answer)["id"])


def read(one: Night, number: int, **params: Any) -> dict[str, Any]:
    row: dict[str, Any] = ok(one.session.get(f"/api/obj/analysis/{number}", params=params))
    return row


def ended(one: Night, number: int) -> dict[str, Any]:
    found: dict[str, Any] = wait_until(
        lambda: (row := read(one, number))["status"] not in ("queued", "pending") and row)
    return found


def test_a_service_gets_inputs_and_calls_back(admin: Session, one: Night, service: Service) -> None:
    secret = json.dumps({"header_token": {"Authorization": "Bearer very-secret"}})
    number = register(admin, one, service.url, authentication_type="header_token", _authinfo=secret)
    analysis = start(one, number, analysis_parameters={"mode": "deep", "token": "hush"})
    row = ended(one, analysis)
    assert (row["status"], row["status_message"], row["num_plots"]) == ("completed", "done", 1)
    assert row["analysis_parameters"] == {"mode": "deep"}
    assert row["groups"] == [{"id": one.group}]
    [told] = service.told
    assert told["inputs"]["redshift"] == "redshift,redshift_error\n0.25,\n"
    assert told["inputs"]["photometry"].startswith("mjd,filter,flux")
    assert told["analysis_parameters"] == told["inputs"]["analysis_parameters"] == {
        "mode": "deep", "token": "hush"}
    assert service.headers[0]["Authorization"] == "Bearer very-secret"
    assert service.headers[0]["Idempotency-Key"] == f"analysis-{analysis}"
    full = read(one, analysis, includeAnalysisData="true")
    assert full["data"]["results"]["data"] == {"chi2": 1.5}
    assert "very-secret" not in admin.get(f"/api/analysis_service/{number}").text
    for product in ("plots/0", "corner/0"):
        answer = one.session.get(f"/api/obj/analysis/{analysis}/{product}")
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.content.startswith(b"\x89PNG")
    results = f"/api/obj/analysis/{analysis}/results/0"
    assert "attachment" in one.session.get(results, json={"download": True}).headers["Content-Disposition"]
    assert ok(one.session.get(results, params={"download": "no"}, json={"download": True})) == {"chi2": 1.5}
    corner = f"/api/obj/analysis/{analysis}/corner/0"
    plain = one.session.get(corner).content
    sent = {"plot_kwargs": {"bins": 3, "color": "red"}}
    coarse = one.session.get(corner, json=sent).content
    assert coarse == one.session.get(corner, params={"plot_kwargs": '{"bins": 3}'}).content != plain
    assert coarse.startswith(b"\x89PNG")
    for bad in ("x", "[1]", '{"bins": 0}', '{"bins": 1e9}'):
        refused(one.session.get(corner, params={"plot_kwargs": bad}), 400)
    samples = one.session.get(f"/api/obj/analysis/{analysis}/samples/0")
    assert samples.json() == {"a": [1, 2, 3, 4], "b": [2, 3, 4, 6]}
    assert "attachment" in samples.headers["Content-Disposition"]


@pytest.mark.parametrize(("mood", "text"), [("broken", "HTTP 500"), ("refuses", "HTTP 422: so what")])
def test_a_service_that_refuses(admin: Session, one: Night, service: Service, mood: str, text: str) -> None:
    service.mood = mood
    row = ended(one, start(one, register(admin, one, service.url)))
    assert row["status"] == "failure"
    assert text in row["status_message"]


def test_a_call_back_before_the_reply_counts(admin: Session, one: Night, service: Service) -> None:
    service.mood = "before"
    analysis = start(one, register(admin, one, service.url))
    assert ended(one, analysis)["status"] == "completed"
    time.sleep(1)
    assert read(one, analysis)["status"] == "completed"


def test_of_many_call_backs_one_counts(admin: Session, one: Night, service: Service) -> None:
    service.mood = "silent"
    analysis = start(one, register(admin, one, service.url))
    wait_until(lambda: service.told and read(one, analysis)["status"] == "pending")
    url = service.told[0]["callback_url"]
    refused(call_back(url[:-1] + "x"), 403)
    refused(call_back(url, {"status": "perhaps"}), 400, "status")
    pickled = {"status": "success", "analysis": {"results": {"format": "joblib"}}}
    refused(call_back(url, pickled), 400, "pickles")
    with ThreadPoolExecutor(8) as pool:
        codes = sorted(answer.status_code for answer in pool.map(call_back, [url] * 8))
    assert codes == [200] + [403] * 7
    assert read(one, analysis)["status"] == "completed"


def test_a_service_that_never_answers_is_overdue(admin: Session, one: Night, service: Service) -> None:
    service.mood = "silent"
    analysis = start(one, register(admin, one, service.url, timeout=2))
    row = ended(one, analysis)
    assert (row["status"], row["status_message"]) == ("timed_out", "no result within 2 s")
    refused(call_back(service.told[0]["callback_url"]), 400, "the time to call back ended")


def test_cancel_and_run_again(admin: Session, one: Night, other: Night, service: Service) -> None:
    service.mood = "silent"
    analysis = start(one, register(admin, one, service.url))
    refused(other.session.post(f"/api/obj/analysis/{analysis}/cancel"), 403)
    ok(one.session.post(f"/api/obj/analysis/{analysis}/cancel"))
    refused(one.session.post(f"/api/obj/analysis/{analysis}/cancel"), 400, "has ended already")
    assert read(one, analysis)["status"] == "cancelled"
    again = ok(one.session.post(f"/api/obj/analysis/{analysis}/again"))["id"]
    assert again != analysis
    assert read(one, again)["status"] in ("queued", "pending")
    ok(one.session.delete(f"/api/obj/analysis/{again}"))


def test_only_known_hosts_are_called(admin: Session, one: Night) -> None:
    body = {"name": "far", "url": "http://169.254.169.254/latest", "group_ids": [one.group]}
    refused(admin.post("/api/analysis_service", json=body), 400, "does not call")
    refused(one.session.post("/api/analysis_service", json=body), 401)


@pytest.mark.parametrize("change", [
    {"url": "grid:nothing"}, {"analysis_type": "x"}, {"input_data_types": ["gold"]}, {"timeout": 0},
    {"authentication_type": "handshake"}, {"_authinfo": "[]"}, {"optional_analysis_parameters": "[1]"},
    {"group_ids": [987654321]}, {"colour": "red"}])
def test_bad_services(admin: Session, one: Night, change: dict[str, Any]) -> None:
    body = {"name": "bad", "url": "http://127.0.0.1/x", "group_ids": [one.group], **change}
    refused(admin.post("/api/analysis_service", json=body), 400)


def test_others_see_nothing(admin: Session, one: Night, other: Night, service: Service) -> None:
    number = register(admin, one, service.url)
    analysis = start(one, number)
    ended(one, analysis)
    for path in (f"/api/analysis_service/{number}", f"/api/obj/analysis/{analysis}",
                 f"/api/obj/analysis/{analysis}/results/0"):
        refused(other.session.get(path), 403)
    refused(other.session.post(f"/api/obj/Alpha/analysis/{number}", json={}), 403)
    assert analysis not in [row["id"] for row in ok(other.session.get("/api/obj/Alpha/analysis"))]
    assert analysis in [row["id"] for row in ok(one.session.get("/api/obj/Alpha/analysis"))]


def test_what_ships_cannot_be_changed(admin: Session, one: Night) -> None:
    rows = wait_until(lambda: [row for row in ok(one.session.get("/api/analysis_service"))
                               if row.get("shipped")])
    assert {row["name"] for row in rows} == {"lightcurve-fit", "neutrino-association", "region-counts"}
    refused(admin.patch(f"/api/analysis_service/{rows[0]['id']}", json={"timeout": 5}), 400, "shipped")


def test_files_of_tasks_are_for_them_alone(one: Night, api: Api) -> None:
    for token in ("", "Bearer x"):
        answer = requests.get(f"{api.url}/api/analysis_files/1/program.py", headers={"Authorization": token},
                              timeout=30)
        refused(answer, 403)


def test_an_upload_with_a_huge_plot_is_refused(admin: Session, one: Night) -> None:
    number = register(admin, one, "", upload_only=True)
    plot = {"format": "png", "data": base64.b64encode(b"x" * (1 << 20)).decode()}
    body = {"analysis": {"plots": [plot]}}
    answer = one.session.post(f"/api/obj/Alpha/analysis_upload/{number}", json=body)
    refused(answer, 400, "no png picture")


def test_the_object_page_shows_and_runs_analyses(admin: Session, one: Night, service: Service,
                                                 api: Api) -> None:
    number = register(admin, one, service.url, description="Fits everything.")
    page = api.anonymous()
    page.cookies.set("iceprod_session", one.session.headers["Authorization"].partition(" ")[2])
    text = page.get("/web/desk/objects/Alpha").text
    assert "Fits everything." in text
    form = {"action": "run", "service": number, "parameters": "mode = deep\ntoken = 5"}
    origin = {"Origin": api.url, "Sec-Fetch-Site": "same-origin"}
    answer = page.post("/web/desk/objects/Alpha/analyses", data=form, headers=origin)
    assert answer.status_code == 200, answer.text
    wait_until(lambda: service.told)
    assert service.told[0]["analysis_parameters"] == {"mode": "deep", "token": 5}
    analysis = ok(one.session.get("/api/obj/Alpha/analysis"))[0]["id"]
    ended(one, analysis)
    text = page.get("/web/desk/objects/Alpha").text
    assert f"/web/desk/analyses/{analysis}/plots/0" in text
    assert "chi2" in text
    assert page.get(f"/web/desk/analyses/{analysis}/plots/0").content.startswith(b"\x89PNG")
    assert page.get(f"/web/desk/analyses/{analysis}/results/0").json() == {"chi2": 1.5}
    assert page.get("/web/desk/analyses/999999/plots/0").status_code == 403
    bad = page.post("/web/desk/objects/Alpha/analyses", data={**form, "parameters": "deep"}, headers=origin)
    assert bad.status_code == 400
