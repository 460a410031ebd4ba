"""Follow-up requests of a running server: to a facility that takes, refuses, hangs or talks nonsense."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.api import Api, Session, running_server
from tests.support.desk import Night, night, ok, refused
from tests.support.standins.facility import SECRET, Facility, running_facility

pytestmark = pytest.mark.slow

UNKNOWN = 987654321
NIGHT = {"observationStartDate": "2031-03-15T02:00:00", "observationEndDate": "2031-03-15T14:00:00"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = {"CATALOGS__ALLOWED_HOSTS": "[127.0.0.1]", "CATALOGS__TIMEOUT_SECONDS": "1.5",
                "SERVER__PUBLIC_URL": "https://desk.example"}
    with running_server(tmp_path_factory.mktemp("desk"), settings) as server:
        yield server


@pytest.fixture(scope="module")
def facility() -> Iterator[Facility]:
    with running_facility() as running:
        yield running


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("admin", username="ada", groups=())


@dataclass
class Desk:
    """A group with an instrument and allocations on it: one with a facility, one that people work off."""

    one: Night
    instrument: int
    remote: int
    local: int

    def payload(self, **more: Any) -> dict[str, Any]:
        return {"observation_choices": ["ztfr"], "exposure_time": 300, "exposure_counts": 2,
                "maximum_airmass": 2, "minimum_lunar_distance": 20, "priority": 3,
                "start_date": "2031-03-14", "end_date": "2031-03-18", **more}

    def ask(self, allocation: int, obj: str = "Alpha", **more: Any) -> int:
        body = {"obj_id": obj, "allocation_id": allocation, "payload": self.payload(**more)}
        return int(ok(self.one.session.post("/api/followup_request", json=body))["id"])

    def read(self, request: int) -> dict[str, Any]:
        row: dict[str, Any] = ok(self.one.session.get(f"/api/followup_request/{request}"))
        return row


@pytest.fixture
def desk(api: Api, admin: Session, facility: Facility) -> Desk:
    facility.mode, facility.heard = "accept", []
    one = night(api, admin)
    one.post("Alpha", ra=150.0, dec=30.0)
    one.post("Beta", ra=200.0, dec=20.0)
    place = {"name": "t", "nickname": "t", "lat": 33.36, "lon": -116.86, "elevation": 1706}
    telescope = ok(admin.post("/api/telescope", json=place))["id"]
    body = {"name": "camera", "telescope_id": telescope, "filters": ["ztfg", "ztfr"],
            "api_classname": "GENERICAPI", "listener_classname": "GenericListener"}
    instrument = ok(admin.post("/api/instrument", json=body))["id"]
    base = {"group_id": one.group, "instrument_id": instrument, "hours_allocated": 1.0}
    remote = ok(admin.post("/api/allocation", json={**base, "_altdata": facility.secret()}))["id"]
    return Desk(one, instrument, remote, ok(admin.post("/api/allocation", json=base))["id"])


# -- what a facility answers


def test_a_request_reaches_its_facility(desk: Desk, facility: Facility) -> None:
    number = desk.ask(desk.remote)
    row = desk.read(number)
    assert (row["status"], row["phase"]) == ("submitted", "open")
    (method, path, body, headers), = facility.heard
    assert (method, path) == ("POST", "/telescope")
    assert headers["Authorization"] == f"token {SECRET}"
    assert body["payload"]["exposure_time"] == 300
    assert body["target"]["name"] == "Alpha"
    assert body["callback_url"] == "https://desk.example/api/facility"
    (call,), = [row["transactions"]]
    assert call["response"]["status"] == 200
    assert SECRET not in json.dumps(row)


@pytest.mark.parametrize(("mode", "status", "phase", "calls"), [
    ("reject", "rejected: no time left", "rejected", 1), ("garbage", "failed to submit", "failed", 1),
    ("error", "failed to submit", "failed", 2), ("hang", "failed to submit", "failed", 2),
    ("redirect", "failed to submit", "failed", 1), ("gone", "rejected: HTTP 404", "rejected", 1)])
def test_a_facility_that_does_not_take_it(desk: Desk, facility: Facility, mode: str, status: str, phase: str,
                                          calls: int) -> None:
    facility.mode = mode
    number = desk.ask(desk.remote)
    row = desk.read(number)
    assert (row["status"], row["phase"]) == (status, phase)
    assert ("facility" in row["reason"]) is (phase == "failed")
    keys = {headers["Idempotency-Key"] for _, _, _, headers in facility.heard}
    assert (len(facility.heard), len(keys)) == (calls, 1)  # a second try is recognised as the same
    facility.mode = "accept"
    ok(desk.one.session.put(f"/api/followup_request/{number}", json={"payload": desk.payload()}))
    assert desk.read(number)["status"] == "submitted"
    assert facility.heard[-1][3]["Idempotency-Key"] not in keys


def test_no_secret_comes_back(desk: Desk, facility: Facility, api: Api, admin: Session) -> None:
    facility.mode = "echo"
    row = desk.read(desk.ask(desk.remote))
    assert row["status"] == "rejected: bad token token ***"
    assert SECRET not in json.dumps(row)
    for path in (f"/api/allocation/{desk.remote}", "/api/allocation", "/api/followup_request"):
        assert SECRET not in admin.get(path).text
    changed = admin.put(f"/api/allocation/{desk.remote}", json={"_altdata": facility.secret()[:-1]})
    assert SECRET not in refused(changed)


def test_a_facility_elsewhere_is_not_called(desk: Desk, admin: Session) -> None:
    secret = json.dumps({"endpoint": "http://169.254.169.254/latest"})
    ok(admin.put(f"/api/allocation/{desk.remote}", json={"_altdata": secret}))
    row = desk.read(desk.ask(desk.remote))
    assert row["phase"] == "failed"
    assert "does not call" in row["reason"]


def test_change_and_take_back(desk: Desk, facility: Facility) -> None:
    number, session = desk.ask(desk.remote), desk.one.session
    ok(session.put(f"/api/followup_request/{number}", json={"payload": desk.payload(exposure_time=600)}))
    assert facility.told()[-1]["payload"]["exposure_time"] == 600
    facility.mode = "reject"
    change = {"payload": desk.payload(exposure_time=500)}
    refused(session.put(f"/api/followup_request/{number}", json=change), 400, "stays as it was")
    assert desk.read(number)["payload"]["exposure_time"] == 600
    refused(session.delete(f"/api/followup_request/{number}"), 400, "stays")
    facility.mode = "accept"
    ok(session.delete(f"/api/followup_request/{number}"))
    assert facility.heard[-1][:2] == ("DELETE", "/telescope/F-17")
    assert desk.read(number)["status"] == "deleted"
    ok(session.delete(f"/api/followup_request/{number}"))
    refused(session.put(f"/api/followup_request/{number}", json={"status": "done"}), 400, "deleted")


@pytest.mark.parametrize("change", [
    {"priority": 6}, {"priority": "x"}, {"observation_choices": []}, {"observation_choices": ["u"]},
    {"exposure_time": -1}, {"exposure_time": 1e308}, {"exposure_counts": 0}, {"maximum_airmass": 4},
    {"minimum_lunar_distance": 181}, {"start_date": "soon"}, {"end_date": "2030-01-01"}, {"end_date": None}])
def test_bad_payloads(desk: Desk, change: dict[str, Any]) -> None:
    body = {"obj_id": "Alpha", "allocation_id": desk.local, "payload": desk.payload(**change)}
    assert "payload" in refused(desk.one.session.post("/api/followup_request", json=body))


# -- hours


def test_hours(desk: Desk, admin: Session) -> None:
    number = desk.ask(desk.local, exposure_time=1800, exposure_counts=1)
    page = ok(admin.get(f"/api/allocation/{desk.local}"))
    assert (page["hours_used"], page["hours_reserved"], page["hours_left"]) == (0, 0.5, 0.5)
    body = {"obj_id": "Beta", "allocation_id": desk.local, "payload": desk.payload(exposure_time=1000)}
    refused(desk.one.session.post("/api/followup_request", json=body), 400, "0.5 of its 1 hours left")
    ok(desk.one.session.put(f"/api/followup_request/{number}", json={"status": "observed"}))
    page = ok(admin.get(f"/api/allocation/{desk.local}"))
    assert (page["hours_used"], page["hours_reserved"], page["hours_left"]) == (0.5, 0, 0.5)
    assert page["requests"][0]["rise_time_utc"] is not None
    assert page["ephemeris"]["sunset_utc"] is not None
    ok(admin.put(f"/api/allocation/{desk.local}", json={"hours_allocated": 5}))
    ok(desk.one.session.post("/api/followup_request", json=body))


def test_an_allocation_that_ended(desk: Desk, admin: Session) -> None:
    ok(admin.put(f"/api/allocation/{desk.local}", json={"end_date": "2020-01-01"}))
    body = {"obj_id": "Alpha", "allocation_id": desk.local, "payload": desk.payload()}
    refused(desk.one.session.post("/api/followup_request", json=body), 400, "ended on 2020-01-01")


def test_an_allocation_goes_with_its_requests(desk: Desk, admin: Session, facility: Facility) -> None:
    number = desk.ask(desk.remote)
    ok(admin.delete(f"/api/allocation/{desk.remote}"))
    assert facility.heard[-1][0] == "DELETE"
    refused(desk.one.session.get(f"/api/followup_request/{number}"))


# -- who sees what


def test_others_see_nothing(desk: Desk, api: Api, admin: Session) -> None:
    number, other = desk.ask(desk.local), night(api, admin).session
    for path in (f"/api/followup_request/{number}", f"/api/allocation/{desk.local}"):
        refused(other.get(path))
    assert ok(other.get("/api/followup_request"))["totalMatches"] == 0
    for method, path in (("put", ""), ("delete", "")):
        answer = getattr(other, method)(f"/api/followup_request/{number}{path}", json={"status": "x"})
        refused(answer, 400, "no follow-up request")
    refused(other.post(f"/api/followup_request/watch/{number}"))
    body = {"requestIds": [number], "priorityType": "magnitude"}
    refused(other.put("/api/followup_request/prioritization", json=body))
    refused(other.get(f"/api/followup_request/schedule/{desk.instrument}", params=NIGHT), 400, "at least one")
    refused(other.get(f"/api/allocation/report/{desk.instrument}"))
    assert desk.read(number)["status"] == "submitted"


def test_lists(desk: Desk) -> None:
    numbers = [desk.ask(desk.local), desk.ask(desk.local, "Beta"), desk.ask(desk.local)]
    session = desk.one.session

    def ids(**params: Any) -> list[int]:
        found = ok(session.get("/api/followup_request", params=params))["followup_requests"]
        return [row["id"] for row in found]

    assert ids(allocationID=desk.local) == numbers[::-1]
    assert ids(sourceID="eta", instrumentID=desk.instrument) == [numbers[1]]
    assert ids(numPerPage=2, pageNumber=2, allocationID=desk.local) == [numbers[0]]
    assert ids(status="SUBM", allocationID=desk.local) == numbers[::-1]
    assert ids(startDate="2100-01-01") == []
    ok(session.post(f"/api/followup_request/watch/{numbers[1]}"))
    assert ids(watched=True) == [numbers[1]]
    refused(session.get("/api/followup_request", params={"numPerPage": 1001}))
    refused(session.get("/api/followup_request", params={"pageNumber": 99}))


def test_people_who_are_not_there(desk: Desk, admin: Session) -> None:
    body = {"obj_id": "Alpha", "allocation_id": desk.local, "payload": desk.payload(),
            "watcher_ids": [UNKNOWN]}
    refused(desk.one.session.post("/api/followup_request", json=body), 400, "watcher_ids: no user")
    admins = {"allocation_admin_ids": [UNKNOWN]}
    refused(admin.put(f"/api/allocation/{desk.local}", json=admins), 400, "allocation_admin_ids: no user")
    made = {"group_id": desk.one.group, "instrument_id": desk.instrument, "hours_allocated": 1, **admins}
    refused(admin.post("/api/allocation", json=made), 400, "allocation_admin_ids: no user")
    shared = {"default_share_group_ids": [UNKNOWN]}
    refused(admin.put(f"/api/allocation/{desk.local}", json=shared), 400, "no group")
    made |= {"allocation_admin_ids": [], **shared}
    refused(admin.post("/api/allocation", json=made), 400, "no group")


def test_an_allocation_shows_where_pictures_of_its_targets_are(desk: Desk) -> None:
    desk.ask(desk.local)
    [request] = ok(desk.one.session.get(f"/api/allocation/{desk.local}"))["requests"]
    candidate = ok(desk.one.session.get("/api/candidates/Alpha"))
    assert request["obj"]["thumbnails"] == candidate["thumbnails"] != []


# -- messages of facilities


def test_a_listeners_token(desk: Desk, admin: Session, api: Api) -> None:
    number = desk.ask(desk.local)
    word, wrong = (
        ok(admin.post("/api/internal/tokens", json={"name": name, "acls": [f"Post from {name}Listener"]}))
        for name in ("Generic", "SEDM"))
    message = {"followup_request_id": number, "new_status": "observed successfully"}
    listener = Session(api.url, word["id"])
    refused(Session(api.url, wrong["id"]).post("/api/facility", json=message), 400, "Insufficient")
    refused(listener.post("/api/facility", json={**message, "followup_request_id": UNKNOWN}), 400)
    ok(listener.post("/api/facility", json=message))
    row = desk.read(number)
    assert (row["status"], row["phase"]) == ("observed successfully", "done")
    assert row["transactions"][-1]["request"]["body"] == json.dumps(message)
    refused(desk.one.session.post("/api/facility", json=message), 401)


def test_signed_messages(desk: Desk, admin: Session, facility: Facility) -> None:
    secret = facility.secret(callback_secret="shared")
    ok(admin.put(f"/api/allocation/{desk.remote}", json={"_altdata": secret}))
    number = desk.ask(desk.remote)
    body = json.dumps({"followup_request_id": number, "new_status": "observed"}).encode()
    refused(admin.post("/api/facility", data=body), 401, "X-Signature")
    refused(admin.post("/api/facility", data=body, headers={"X-Signature": "sha256=é".encode()}), 401)
    assert desk.read(number)["status"] == "submitted"
    right = "sha256=" + hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    ok(admin.post("/api/facility", data=body, headers={"X-Signature": right}))
    assert desk.read(number)["status"] == "observed"


# -- ranking and schedules


def test_ranking_tells_the_facility(desk: Desk, facility: Facility, admin: Session) -> None:
    numbers = [desk.ask(desk.remote, name) for name in ("Alpha", "Beta")]
    where = {"ra": 150.0, "dec": 30.0, "error": 1.0}
    ok(admin.post("/api/gcn_event", json={"dateobs": "2023-05-05T05:05:05", "skymap": where}))
    name = "150.00000_30.00000_1.00000"
    place = ok(admin.get(f"/api/localization/2023-05-05T05:05:05/name/{name}"))["id"]
    body = {"requestIds": numbers, "priorityType": "localization", "localizationId": place}
    ok(desk.one.session.put("/api/followup_request/prioritization", json=body))
    assert [desk.read(number)["payload"]["priority"] for number in numbers] == [5, 1]
    assert [told["payload"]["priority"] for told in facility.told()[-2:]] == [5, 1]
    for wrong in ({"priorityType": "luck"}, {"localizationId": UNKNOWN}, {"requestIds": []},
                  {"maximumPriority": 9}, {"minimumPriority": 4, "maximumPriority": 2}):
        refused(desk.one.session.put("/api/followup_request/prioritization", json={**body, **wrong}))
    by_magnitude = {"requestIds": numbers, "priorityType": "magnitude"}
    ok(desk.one.session.put("/api/followup_request/prioritization", json=by_magnitude))
    assert [desk.read(number)["payload"]["priority"] for number in numbers] == [3, 3]


def test_the_schedule_of_a_night(desk: Desk) -> None:
    low, high = desk.ask(desk.local, "Alpha", priority=1), desk.ask(desk.local, "Alpha", priority=5)
    desk.ask(desk.local, "Beta", start_date="2031-04-14", end_date="2031-04-18")
    url = f"/api/followup_request/schedule/{desk.instrument}"
    rows = list(csv.DictReader(io.StringIO(desk.one.session.get(url, params=NIGHT).text)))
    assert {int(row["request_id"]) for row in rows} == {low, high}
    best = min(rows, key=lambda row: float(row["airmass"]))
    assert int(best["request_id"]) == high
    spans = sorted((row["observation_start"], row["observation_end"]) for row in rows)
    assert spans[0][1] <= spans[1][0]
    stars = desk.one.session.get(url, params={**NIGHT, "standardsOnly": True, "magnitudeRange": "(12, 11)"})
    assert "Feige 56" in stars.text
    assert "LTT 4816" not in stars.text
    northern = {**NIGHT, "includeStandards": True, "standardType": "ZTF"}
    rows = list(csv.DictReader(io.StringIO(desk.one.session.get(url, params=northern).text)))
    assert {"Feige 34", "Feige 67", "Alpha"} <= {row["object_id"] for row in rows}
    for wrong in ({"magnitudeRange": "(11, 12)"}, {"standardType": "x"}, {"output_format": "doc"},
                  {"observationEndDate": "2041-01-01"}, {"observationEndDate": "2001-01-01"}):
        refused(desk.one.session.get(url, params={**NIGHT, "includeStandards": True, **wrong}))


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_pictures(desk: Desk, kind: str) -> None:
    desk.ask(desk.local)
    magic = {"png": b"\x89PNG", "pdf": b"%PDF"}[kind]
    for path in ("allocation/report", "followup_request/schedule"):
        params = {**NIGHT, "output_format": kind}
        answer = desk.one.session.get(f"/api/{path}/{desk.instrument}", params=params)
        assert answer.content.startswith(magic), answer.text[:300]


def test_assignments_of_a_run(desk: Desk, api: Api, admin: Session) -> None:
    session = desk.one.session
    run = {"instrument_id": desk.instrument, "group_id": desk.one.group, "calendar_date": "2031-03-15"}
    number = ok(session.post("/api/observing_run", json=run))["id"]
    wanted = {"obj_id": "Alpha", "run_id": number, "priority": "4"}
    one = ok(session.post("/api/assignment", json=wanted))["id"]
    row = ok(session.get(f"/api/assignment/{one}"))
    assert "2031-03-15T20" < row["rise_time_utc"] < row["set_time_utc"] < "2031-03-16T20"
    other = night(api, admin).session
    refused(other.get(f"/api/assignment/{one}"))
    refused(other.get(f"/api/observing_run/{number}"))
    assert ok(other.get("/api/assignment")) == []
    assert ok(session.get(f"/api/observing_run/{number}"))["assignments"][0]["id"] == one
    for wrong in ({"calendar_date": "tomorrow"}, {"instrument_id": UNKNOWN}, {"group_id": UNKNOWN}):
        refused(session.post("/api/observing_run", json={**run, **wrong}))


# -- the pages


def test_from_the_form_to_the_list(desk: Desk, api: Api, facility: Facility) -> None:
    browser = api.anonymous()
    token = str(desk.one.session.headers["Authorization"]).removeprefix("Bearer ")
    browser.cookies.set("iceprod_session", token)
    form = browser.get(f"/web/desk/ask?obj=Alpha&allocation={desk.remote}").text
    assert 'name="exposure_time"' in form
    assert SECRET not in form
    filled = {"obj": "Alpha", "allocation": desk.remote, "priority": 4, "exposure_time": 120,
              "exposure_counts": 1, "maximum_airmass": 2, "minimum_lunar_distance": 20, "filter": ["ztfg"],
              "start_date": "2031-03-14", "end_date": "2031-03-13"}
    answer = browser.post("/web/desk/ask", data=filled)
    assert (answer.status_code, "must not be before start_date" in answer.text) == (400, True)
    assert 'value="120"' in answer.text
    page = browser.post("/web/desk/ask", data={**filled, "end_date": "2031-03-15"})
    assert (page.status_code, "submitted" in page.text) == (200, True)
    assert facility.told()[-1]["payload"]["observation_choices"] == ["ztfg"]
    number = ok(desk.one.session.get("/api/followup_request"))["followup_requests"][0]["id"]
    for action in ("unwatch", "watch", "take back"):
        assert browser.post(f"/web/desk/requests/{number}", data={"action": action}).status_code == 200
    assert desk.read(number)["phase"] == "deleted"
    assert f">{number}<" in browser.get("/web/desk/requests?state=taken+back&watched=yes&obj=Alpha").text
    assert f">{number}<" not in browser.get("/web/desk/requests?state=done").text
    assert f">{number}<" not in browser.get("/web/desk/requests?scan=abc").text
    assert "/web/desk/ask?obj=Alpha" in browser.get("/web/desk/objects/Alpha").text
    assert "/schedule" in browser.get("/web/desk/allocations").text
    picture = browser.get(f"/web/desk/instruments/{desk.instrument}/report")
    assert picture.content.startswith(b"\x89PNG")


@pytest.mark.parametrize(("path", "code"), [
    ("requests?state=x", 400), ("requests?page=0", 400), ("requests?allocation=x", 400),
    ("ask?obj=Nobody", 400), ("instruments/1/x", 400), ("instruments/x/report", 400),
    ("requests?page=99", 400)])
def test_bad_pages(desk: Desk, api: Api, path: str, code: int) -> None:
    browser = api.anonymous()
    browser.cookies.set("iceprod_session", str(desk.one.session.headers["Authorization"])[7:])
    assert browser.get(f"/web/desk/{path}").status_code == code
    for number in ("x", "99999999999999999999999", str(UNKNOWN)):
        assert browser.post(f"/web/desk/requests/{number}", data={"action": "watch"}).status_code == 400
