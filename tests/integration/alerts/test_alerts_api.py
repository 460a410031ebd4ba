"""The alerts' API on a real server: who may do what, and what hostile requests get."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from iceprod.tokens import ROLES
from server.app import ROUTES
from tests.support.alerts import event_bytes
from tests.support.api import Api, Session, running_server
from tests.support.desk import ok

NOTICE = {"$schema": "x", "mission": "X", "trigger_time": "2026-01-02T03:04:05Z", "event_name": "X-260102A",
          "ra": 10.0, "dec": 5.0, "ra_dec_error": 1.0}

READERS, MANAGERS, ADMIN = {"admin", "system", "user"}, {"admin", "system"}, {"admin"}
# A user may do what managers may when the desk gives the right to manage events.
PERMISSIONS = {
    "get /alerts": READERS, "post /alerts": MANAGERS, "get /alerts/{alert_id}": READERS,
    "get /alerts/{alert_id}/message": READERS, "get /alerts/{alert_id}/draft": READERS,
    "post /alerts/{alert_id}/actions/release": MANAGERS, "post /alerts/{alert_id}/actions/dismiss": MANAGERS,
    "post /alerts/{alert_id}/actions/retract": MANAGERS,
    "post /alerts/{alert_id}/actions/fetch_map": MANAGERS,
    "get /alert_replays": READERS,
    "get /alert_replays/{name}": READERS, "get /alert_rules": READERS, "get /alert_rules/{name}": READERS,
    "get /alert_rules/{name}/firings": READERS,
    "put /alert_rules/{name}": ADMIN, "delete /alert_rules/{name}": ADMIN, "post /alert_rule_trials": READERS,
    "get /alert_notices": READERS, "get /alert_notices/{notice_id}": READERS,
    "get /alert_notices/{notice_id}/skymap": READERS, "get /alert_deliveries": READERS,
    "post /alert_deliveries/{key}/actions/retry": MANAGERS, "get /alert_sources": READERS,
    "get /alert_targets": READERS,
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("alerts")
    settings = {"ALERTS__TARGETS": json.dumps({"out": {
        "kind": "http", "address": "http://127.0.0.1:9/x", "headers": {"Authorization": "hush-hush"}}})}
    settings |= {"ALERTS__FETCH_MAPS": "true", "ALERTS__MAP_HOSTS": '["127.0.0.1:1"]'}
    with running_server(folder, settings) as server:
        yield server


def test_the_table_has_every_route() -> None:
    served = {f"{name} {route.openapi_path}" for route in ROUTES for name in route.methods()
              if route.handler.__module__.startswith("server.alerts")}
    assert served == set(PERMISSIONS)


@pytest.mark.parametrize("what", PERMISSIONS)
def test_who_may_call(api: Api, what: str) -> None:
    method, _, path = what.partition(" ")
    path = path.replace("{alert_id}", "0" * 24).replace("{", "").replace("}", "")
    assert api.anonymous().request(method, path, json={}).status_code == 403
    for role in ROLES:
        answer = api.session(role, groups=(), username=f"one {role}").request(method, path, json={})
        assert answer.status_code < 500, answer.text
        assert (answer.status_code != 403) == (role in PERMISSIONS[what]), (role, answer.text)


def test_a_shifter_with_the_desks_right_may_hand_in_and_decide(api: Api) -> None:
    refused = api.session("user", username="guest").post("/alerts", data=json.dumps(NOTICE))
    assert refused.status_code == 403
    assert "Manage GCNs" in refused.json()["reason"]
    ok(api.session("admin").post("/api/user", json={"username": "shifter", "roles": ["Group admin"]}))
    shifter = api.session("user", username="shifter")
    assert shifter.post("/alerts", data=json.dumps(NOTICE)).status_code == 200


@pytest.fixture(scope="module")
def manager(api: Api) -> Session:
    return api.session("system", username="manager")


def test_an_event_is_stored_once_and_scanned(manager: Session) -> None:
    first = manager.post("/alerts?stream=neutrino", data=event_bytes()).json()
    again = manager.post("/alerts?stream=neutrino", data=event_bytes()).json()
    assert first["alert_id"] == again["alert_id"]
    assert len(again["origins"]) == 2
    whole = manager.get(f"/alerts/{first['alert_id']}").json()
    assert (whole["state"], whole["rule"]) == ("working", "usual")
    assert [one["step"]["reco"] for one in whole["revisions"]] == ["track_mpe", "millipede"]
    assert manager.get(f"/alerts/{first['alert_id']}/message").content == event_bytes()
    found = manager.get("/alerts", params={"text": "run 7", "state": "working"}).json()["alerts"]
    assert [one["alert_id"] for one in found] == [first["alert_id"]]
    draft = manager.get(f"/alerts/{first['alert_id']}/draft")
    assert draft.status_code == 409
    assert "no map yet" in draft.json()["reason"]


@pytest.mark.parametrize(("body", "query", "says"), [
    (b"", "", "no body"), (b"\xff\xfe", "", "neither"), (b"{}", "", "neither an event"),
    (b'{"value": {"data": [["P", "x"]]}}', "", "message"), (b"[" * 200, "", "neither"),
    (b'{"$schema": ' + b"[" * 200 + b"]" * 200 + b"}", "", "message"),
    (b"{}", "?stream=" + "a" * 500, "stream"), (json.dumps({**NOTICE, "ra": 400}).encode(), "", "ra"),
    (json.dumps({**NOTICE, "trigger_time": "soon"}).encode(), "", "dateobs"),
    (json.dumps({**NOTICE, "healpix_file": "AAAA"}).encode(), "", "skymap"),
    (b'{"a": "' + b"x" * 300_000 + b'"}', "", "neither an event"),
])  # fmt: skip
def test_hostile_messages(manager: Session, body: bytes, query: str, says: str) -> None:
    answer = manager.post(f"/alerts{query}", data=body)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["reason"]


@pytest.mark.parametrize("query", ["state=no", "limit=0", "limit=5000", "skip=-1", "since=x", "until=nan",
                                   "text=" + "a" * 300])
def test_hostile_searches(manager: Session, query: str) -> None:
    assert manager.get(f"/alerts?{query}").status_code == 400


def test_secrets_are_not_shown(api: Api, manager: Session) -> None:
    shown = manager.get("/alert_targets").text
    assert "out" in shown
    assert "hush-hush" not in shown


def test_a_notice_that_links_to_a_map(api: Api, manager: Session) -> None:
    notice = {**NOTICE, "event_name": "X-linked", "healpix_url": "https://127.0.0.1:1/map.fits"}
    alert = manager.post("/alerts", json=notice).json()["alert_id"]
    browser = api.anonymous()
    browser.cookies.set("iceprod_session", api.token("admin", username="page admin"))
    assert "Fetch the map now" in browser.get(f"/web/alerts/{alert}?part=now").text
    answer = browser.post(f"/web/alerts/{alert}", data={"do": "fetch_map"}, allow_redirects=False)
    assert answer.status_code == 303
    told = manager.post(f"/alerts/{alert}/actions/fetch_map").json()["linked"]
    assert (told["state"], told["url"]) == ("waiting", notice["healpix_url"])
    inside = {**notice, "event_name": "X-inside", "healpix_url": "http://169.254.169.254/latest"}
    refused = manager.post("/alerts", json=inside).json()
    assert (refused["state"], refused["linked"]["state"]) == ("told", "failed")
    answer = manager.post(f"/alerts/{refused['alert_id']}/actions/fetch_map")
    assert answer.status_code == 400
    assert "alerts.map_hosts" in answer.json()["reason"]


def test_rules(api: Api) -> None:
    admin = api.session("admin")
    rule = {"streams": ["hese*"], "steps": [{"reco": "cascade"}]}
    assert admin.put("/alert_rules/hese", json=rule).status_code == 200
    rules = admin.get("/alert_rules").json()["rules"]
    assert list(rules) == ["hese", "usual"]
    assert admin.post("/alert_rule_trials", json={"rules": {"a": rule}}).status_code == 200
    wrong = admin.put("/alert_rules/hese", json={"steps": [{"reco": "nix"}]})
    assert wrong.status_code == 400
    assert "steps[0].reco" in wrong.json()["reason"]
    assert admin.delete("/alert_rules/hese").status_code == 200
    admin.post("/alerts", data=event_bytes(9))
    taken = admin.get("/alert_rules/usual/firings?limit=1").json()["firings"]
    assert taken[0]["result"]["steps"] == ["track_mpe", "millipede"]


def test_pages(api: Api, manager: Session) -> None:
    alert = manager.post("/alerts", data=event_bytes(5)).json()["alert_id"]
    manager.post("/alerts?replay=night", data=event_bytes(6))
    for role, buttons in (("admin", True), ("user", False)):
        browser = api.anonymous()
        browser.cookies.set("iceprod_session", api.token(role, username=f"page {role}"))
        for path in ("/web/alerts", "/web/alerts?part=now", "/web/alert_notices", "/web/alert_replays",
                     "/web/alert_replays/night", f"/web/alerts/{alert}?part=now"):
            answer = browser.get(path)
            assert answer.status_code == 200, (path, answer.text)
        page = browser.get(f"/web/alerts/{alert}").text
        assert ("Dismiss" in page) == buttons
        answer = browser.post(f"/web/alerts/{alert}", data={"do": "dismiss", "reason": "why"},
                              allow_redirects=False)
        assert answer.status_code == (303 if buttons else 403)
