"""Standing requests of a running server: they fire once, within limits, also when it is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import Api, Session, running_server, start_server
from tests.support.desk import ok, refused
from tests.support.installation import wait_until
from tests.support.standing import EXPOSURE, PLAN, Watch, watch
from tests.support.standins.facility import Facility, running_facility

pytestmark = pytest.mark.slow

SETTINGS = {"CATALOGS__ALLOWED_HOSTS": "[127.0.0.1]"}
UNKNOWN = 987654321


@pytest.fixture(scope="module")
def facility() -> Iterator[Facility]:
    with running_facility() as here:
        yield here


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("desk"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("admin", username="ada", groups=())


@pytest.fixture(scope="module")
def here(api: Api, admin: Session, facility: Facility) -> Watch:
    return watch(api, admin, facility.secret())


def targets(facility: Facility) -> list[str]:
    return [body["target"]["name"] for body in facility.told()]


def fired(here: Watch, key: str, count: int = 1, seconds: float = 60.0) -> list[dict[str, Any]]:
    """The firings of a rule, when there are so many and all have ended."""
    def look() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = here.rule(key)["firings"]
        return found if len(found) >= count and all(one["state"] != "due" for one in found) else None

    return list(wait_until(look, seconds))


def test_a_class_asks_a_facility_once(here: Watch, facility: Facility) -> None:
    number = here.default_followup("TDE")
    here.judge("Blazar")
    obj = here.judge("TDE")
    [request] = wait_until(lambda: here.requests(obj), 60)
    assert request["payload"]["start_date"] < request["payload"]["end_date"]
    assert request["target_group_ids"] == [here.group]
    [firing] = fired(here, f"followup:{number}")
    assert (firing["state"], firing["result"]) == ("done", {"followup_request_id": request["id"]})
    wait_until(lambda: obj in targets(facility), 60)
    here.judge("TDE", obj=obj)  # another judgement is another row
    assert len(fired(here, f"followup:{number}", 2)) == 2
    ok(here.admin.delete(f"/api/default_followup_request/{number}"))
    refused(here.admin.delete(f"/api/default_followup_request/{number}"))


def test_dry_run_tells_what_fires_and_why_not(here: Watch) -> None:
    number = here.default_followup("SN Ia", source_filter={"classification": "SN Ia", "probability": 0.6},
                                   daily_limit=2)
    sure, unsure, other = here.judge("SN Ia", 0.9), here.judge("SN Ia", 0.3), here.judge("Blazar")
    second, third = here.judge("SN Ia"), here.judge("SN Ia", 1.0)
    done = {one["facts"]["obj_id"]: one for one in fired(here, f"followup:{number}", 3)}
    states = {name: one["state"] for name, one in done.items()}
    assert states == {sure: "done", second: "done", third: "limited"}
    told = ok(here.admin.get(f"/api/rules/followup:{number}/dry_run"))
    reasons = {one["facts"]["obj_id"]: one["reason"] for one in told["decisions"]}
    assert (reasons[sure], reasons[second], reasons[third]) == ("", "", "its limit of 2 a day is reached")
    assert reasons[unsure] == "probability is 0.3, less than 0.6"
    assert reasons[other] == "classification is 'Blazar', not 'SN Ia'"
    assert told["fires"] == 2
    assert here.rule(f"followup:{number}")["fired_today"] == 2
    tried = ok(here.admin.post("/api/rules/dry_run", json={
        "event": "classification", "condition": [[{"field": "obj_id", "in": [unsure]}]]}))
    assert [one["facts"]["obj_id"] for one in tried["decisions"] if one["fires"]] == [unsure]


def test_a_new_map_is_planned_and_tried(here: Watch) -> None:
    number = here.default_plan(filters={"gcn_tags": ["watched"], "max_area_90": 50})
    body = {"default_observationplan_request_id": number, "payload": {"modelName": "kilonova"}}
    ok(here.admin.post("/api/default_survey_efficiency", json=body))
    unwatched, found = here.map(), here.map(tags=["watched"])
    [plan] = wait_until(lambda: [one for one in here.plans(found["localization_id"])
                                 if one["status"] == "complete"], 60)
    whole = ok(here.admin.get(f"/api/observation_plan/{plan['id']}"))["observation_plans"][0]
    shares = [one["probability"] for one in whole["fields"]]
    assert sorted(shares, reverse=True) == shares
    assert 0.9 <= sum(shares) < 0.9 + shares[-1]
    seen = {one["field_id"] for one in whole["planned_observations"]}
    assert seen <= {one["field_id"] for one in whole["fields"]}
    assert all(1 <= one["airmass"] <= 2.5 for one in whole["planned_observations"])
    [efficiency] = wait_until(lambda: [one for one in ok(here.admin.get(
        "/api/survey_efficiency/observation_plan", params={"observation_plan_id": plan["id"]}))
        if one["status"] == "complete"], 60)
    told = efficiency["lightcurves"]
    assert 0 <= told["ndetected"] <= told["ncovered"] <= told["ntransients"] == 1000
    assert here.plans(unwatched["localization_id"]) == []
    ok(here.admin.delete(f"/api/observation_plan/{plan['id']}"))
    refused(here.admin.get(f"/api/observation_plan/{plan['id']}"))
    ok(here.admin.delete(f"/api/default_observation_plan/{number}"))


def test_a_plan_by_hand(here: Watch) -> None:
    found = here.map(ra=80.0, dec=40.0, error=1.0)
    body = {"localization_id": found["localization_id"], "allocation_id": here.plan_allocation,
            "payload": {**PLAN, "filters": "ztfg,ztfr", "start_date": "2024-01-01", "end_date": "2024-01-02",
                        "minimum_time_difference": 20}}
    number = ok(here.admin.post("/api/observation_plan", json=body))["id"]
    plan = wait_until(lambda: next((one for one in [ok(here.admin.get(f"/api/observation_plan/{number}"))]
                                    if one["status"] != "pending"), None), 60)
    assert plan["status"] == "complete"
    told = plan["observation_plans"][0]["planned_observations"]
    assert {one["filt"] for one in told} == {"ztfg", "ztfr"}
    assert told[0]["obstime"].startswith("2024-01-01T")
    for payload, word in (({**PLAN, "filters": "sdssu"}, "sdssu"), ({}, "filters"),
                          ({**PLAN, "moon": 1}, "moon"),
                          ({**PLAN, "start_date": "2024-01-02", "end_date": "2024-01-01"}, "end_date")):
        refused(here.admin.post("/api/observation_plan", json={**body, "payload": payload}), text=word)


def test_other_groups_neither_see_nor_fire(api: Api, admin: Session, here: Watch) -> None:
    other = watch(api, admin)
    number = here.default_followup("Blazar")
    for method, path in (("GET", "/api/default_followup_request/{}"),
                         ("DELETE", "/api/default_followup_request/{}"),
                         ("GET", "/api/rules/followup:{}"), ("GET", "/api/rules/followup:{}/dry_run")):
        refused(other.night.session.request(method, path.format(number)))
    assert ok(other.night.session.get("/api/default_followup_request")) == []
    other.judge("Blazar")
    mine = here.judge("Blazar")
    [firing] = fired(here, f"followup:{number}")
    assert firing["facts"]["obj_id"] == mine
    told = ok(here.night.session.get(f"/api/rules/followup:{number}/dry_run"))
    names = {one["facts"]["obj_id"] for one in told["decisions"]}
    assert mine in names
    refused(other.night.session.post("/api/default_followup_request", json={
        "allocation_id": here.allocation, "payload": EXPOSURE}), 403)
    ok(admin.delete(f"/api/default_followup_request/{number}"))


def test_a_rule_that_is_off_does_nothing(here: Watch) -> None:
    number = here.default_followup("TDE")
    ok(here.admin.patch(f"/api/rules/followup:{number}", json={"is_active": False}))
    here.judge("TDE")
    time.sleep(1)
    assert here.rule(f"followup:{number}")["firings"] == []
    ok(here.admin.patch(f"/api/rules/followup:{number}", json={"is_active": True}))
    obj = here.judge("TDE")
    assert [one["facts"]["obj_id"] for one in fired(here, f"followup:{number}")] == [obj]


@pytest.mark.parametrize(("body", "code"), [
    ({"payload": {**EXPOSURE, "start_date": "2030-01-01"}}, 400), ({"payload": {}}, 403),
    ({"payload": 3}, 400),
    ({"payload": {**EXPOSURE, "observation_choices": ["sdssu"]}}, 403), ({"allocation_id": UNKNOWN}, 403),
    ({"source_filter": "SN Ia"}, 400), ({"source_filter": {"name": "SN Ia"}}, 400),
    ({"source_filter": {"classification": 7}}, 400),
    ({"source_filter": {"classification": "a", "probability": 2}}, 400),
    ({"target_group_ids": [UNKNOWN]}, 400), ({"daily_limit": 0}, 400), ({"daily_limit": 101}, 400),
    ({"colour": "red"}, 400)])
def test_bad_default_followups(here: Watch, body: dict[str, Any], code: int) -> None:
    good = {"allocation_id": here.allocation, "payload": EXPOSURE}
    refused(here.admin.post("/api/default_followup_request", json={**good, **body}), code)


@pytest.mark.parametrize(("body", "code"), [
    ({"payload": {**PLAN, "queue_name": "q"}}, 400), ({"payload": {**PLAN, "filters": "sdssu"}}, 403),
    ({"payload": {**PLAN, "filter_strategy": "best"}}, 403), ({"allocation_id": UNKNOWN}, 403),
    ({"filters": {"gcn_tags": "GRB"}}, 400), ({"filters": {"moon": True}}, 400),
    ({"filters": {"max_area_90": -1}}, 400), ({"payload": None}, 400)])
def test_bad_default_plans(here: Watch, body: dict[str, Any], code: int) -> None:
    good = {"allocation_id": here.plan_allocation, "payload": PLAN}
    refused(here.admin.post("/api/default_observation_plan", json={**good, **body}), code)


def test_names_are_unique(here: Watch) -> None:
    here.default_followup("TDE", default_followup_name="only one", source_filter={})
    body = {"allocation_id": here.allocation, "payload": EXPOSURE, "default_followup_name": "only one"}
    refused(here.admin.post("/api/default_followup_request", json=body), text="only one")


def test_killed_at_once_it_is_made_up_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The server is killed right after each judgement; every one is followed up once."""
    with running_facility() as facility, running_server(tmp_path_factory.mktemp("desk"), SETTINGS) as api:
        here = watch(api, api.session("admin", username="ada", groups=()), facility.secret())
        number = here.default_followup("TDE")
        objects = []
        for _ in range(4):
            objects.append(here.judge("TDE"))
            api.kill()
            again = start_server(api.data, api.database_url, api.database_name, SETTINGS)
            api.process, api.others, api.url = again.process, again.others, again.url
            here.admin.url = here.night.session.url = again.url
        fired(here, f"followup:{number}", 4, 240.0)  # what a dead server had begun waits for its lease to end
        wait_until(lambda: all(one["status"] == "submitted" for obj in objects
                               for one in here.requests(obj)), 400)
        assert [len(here.requests(obj)) for obj in objects] == [1] * 4
        keys = {(headers["Idempotency-Key"], body["target"]["name"])
                for method, _, body, headers in facility.heard if method == "POST"}
        assert sorted(name for _, name in keys) == sorted(objects)
