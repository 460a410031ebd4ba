"""Tokens of one site: what its pilots reach, and what they do not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import Api, Session, running_server

PILOT = {"queue_host": "q", "queue_version": "1", "resources": {"cpu": 1}}
CLAIM = {"num": 1, "requirements": {"cpu": 1}, "start": True}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("api"), {"LEASES__MAX_WAIT_SECONDS": 1}) as server:
        yield server


def pilot_of(api: Api, site: str) -> Session:
    """A session with a token as a grid gets it for its pilots."""
    grid = api.session("system", groups=())
    answer = grid.post("/create_token", json={"type": "system", "role": "pilot", "exp": 3600, "site": site})
    assert answer.status_code == 200, answer.text
    session = Session(api.url, answer.json()["result"])
    api.sessions.append(session)
    return session


@pytest.fixture
def task_id(api: Api) -> str:
    admin = api.session()
    fields = {"description": "x", "group": "users", "jobs_submitted": 1, "tasks_submitted": 1,
              "tasks_per_job": 1}
    dataset_id = admin.post("/datasets", json=fields).json()["result"]
    job = {"dataset_id": dataset_id, "job_index": 0}
    job_id = admin.post("/jobs", json=job).json()["result"]
    task = {**job, "job_id": job_id, "task_index": 0, "name": "a", "depends": [], "requirements": {"cpu": 1},
            "status": "waiting"}
    return str(admin.post("/tasks", json=task).json()["result"])


def lease(pilot: Session, **changes: Any) -> dict[str, Any]:
    answer = pilot.post("/task_actions/queue_many", json={**CLAIM, **changes})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()[0])


def test_a_pilot_works_for_its_site(api: Api, task_id: str) -> None:
    pilot = pilot_of(api, "north")
    pilot_id = pilot.post("/pilots", json=PILOT).json()["result"]
    assert pilot.get(f"/pilots/{pilot_id}").json()["site"] == "north"
    task = lease(pilot, pilot_id=pilot_id)
    assert (task["task_id"], task["site"]) == (task_id, "north")
    report = {"instance_id": task["instance_id"], "time_used": 1}
    assert pilot.post(f"/pilots/{pilot_id}/heartbeat", json={"tasks": []}).status_code == 200
    assert pilot.post("/logs", json={"task_id": task_id, "data": "x"}).status_code == 201
    assert pilot.post(f"/tasks/{task_id}/task_actions/complete", json=report).status_code == 200
    assert pilot.delete(f"/pilots/{pilot_id}").status_code == 200


def test_it_speaks_for_no_other_site(api: Api) -> None:
    pilot = pilot_of(api, "north")
    assert pilot.post("/pilots", json={**PILOT, "site": "south"}).status_code == 403
    claim = {**CLAIM, "requirements": {"cpu": 1, "site": "south"}}
    answer = pilot.post("/task_actions/queue_many", json=claim)
    assert (answer.status_code, answer.json()["reason"]) == (403, "this token is for the site north")


def test_it_reaches_no_pilot_of_another_site(api: Api) -> None:
    north, south = pilot_of(api, "north"), pilot_of(api, "south")
    pilot_id = south.post("/pilots", json=PILOT).json()["result"]
    mine = north.post("/pilots", json=PILOT).json()["result"]
    refused = [north.get(f"/pilots/{pilot_id}"), north.patch(f"/pilots/{pilot_id}", json={"tasks": []}),
               north.post(f"/pilots/{pilot_id}/heartbeat", json={"tasks": []}),
               north.delete(f"/pilots/{pilot_id}"),
               north.patch(f"/pilots/{mine}", json={"site": "south"}),
               north.post("/task_actions/queue_many", json={**CLAIM, "pilot_id": pilot_id})]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    assert south.get(f"/pilots/{pilot_id}").status_code == 200


def test_it_reaches_no_task_of_another_site(api: Api, task_id: str) -> None:
    north, south = pilot_of(api, "north"), pilot_of(api, "south")
    task = lease(south)
    assert task["task_id"] == task_id
    report = {"instance_id": task["instance_id"]}
    paths = [f"/tasks/{task_id}/task_actions/{name}"
             for name in ("processing", "complete", "reset", "failed", "evict")]
    refused = [north.post(path, json=report) for path in paths]
    refused += [north.post(f"/tasks/{task_id}/task_stats", json={"dataset_id": task["dataset_id"]}),
                north.get(f"/tasks/{task_id}"), north.post("/logs", json={"task_id": task_id, "data": "x"}),
                north.put(f"/pixel_batches/{task_id}", json={**report, "rows": [], "seconds": 1})]
    assert [answer.status_code for answer in refused] == [404] * len(refused)
    assert south.get(f"/tasks/{task_id}").json()["status"] == "processing"
    assert south.post(paths[1], json=report).status_code == 200


def test_a_bound_token_makes_bound_tokens_only(api: Api) -> None:
    grid = Session(api.url, api.token("system", site="north"))
    api.sessions.append(grid)
    body = {"type": "system", "role": "pilot", "exp": 60}
    assert grid.post("/create_token", json={**body, "site": "south"}).status_code == 403
    pilot = Session(api.url, grid.post("/create_token", json=body).json()["result"])
    api.sessions.append(pilot)
    assert pilot.post("/pilots", json={**PILOT, "site": "south"}).status_code == 403
    assert grid.post("/create_token", json={**body, "site": 5}).status_code == 400


def registered(api: Api, site: str = "north") -> tuple[str, Session]:
    """A pilot of a site, and a session with the token that is its own."""
    answer = pilot_of(api, site).post("/pilots", json=PILOT).json()
    session = Session(api.url, answer["token"])
    api.sessions.append(session)
    return answer["result"], session


def test_a_pilots_own_token_reaches_what_it_holds_and_nothing_else(api: Api, task_id: str) -> None:
    holder_id, holder = registered(api)
    other_id, other = registered(api)
    task = holder.post("/task_actions/queue_many", json=CLAIM).json()[0]
    lease = {"instance_id": task["instance_id"], "pilot_id": holder_id}
    assert task["task_id"] == task_id
    assert api.session("admin").get(f"/tasks/{task_id}").json()["pilot_id"] == holder_id

    dataset_id, job_id = task["dataset_id"], task["job_id"]
    log_id = holder.post("/logs", json={"task_id": task_id, "data": "mine"}).json()["result"]
    mine = [("GET", f"/tasks/{task_id}"), ("GET", f"/jobs/{job_id}"), ("GET", f"/datasets/{dataset_id}"),
            ("GET", f"/logs/{log_id}"), ("GET", f"/pilots/{holder_id}"),
            ("GET", f"/datasets/{dataset_id}/files/{task_id}"),
            ("PATCH", f"/pilots/{holder_id}"), ("POST", f"/pilots/{holder_id}/heartbeat"),
            ("POST", f"/tasks/{task_id}/task_stats"), ("POST", "/logs"),
            ("POST", f"/datasets/{dataset_id}/logs"),
            ("POST", f"/tasks/{task_id}/task_actions/complete"), ("DELETE", f"/pilots/{holder_id}")]
    body = {**lease, "tasks": [], "dataset_id": dataset_id, "data": "x", "task_id": task_id}
    for method, path in mine:
        fields = {"host": "h"} if method == "PATCH" else body
        assert other.request(method, path, json=fields).status_code in (403, 404), path
    batch = {"reports": [{"task_id": task_id, "outcome": "failed", **lease}]}
    assert other.post("/task_actions/report_many", json={**batch, "pilot_id": other_id}).json()["results"][0][
        "status"] == 404
    assert other.post("/task_actions/report_many", json={**batch, "pilot_id": holder_id}).status_code == 403
    assert other.post("/task_actions/queue_many", json={**CLAIM, "pilot_id": holder_id}).status_code == 403
    assert other.post("/pilots", json=PILOT).status_code == 403

    for method, path in mine[:-1]:
        fields = {"host": "h"} if method == "PATCH" else body
        assert holder.request(method, path, json=fields).status_code in (200, 201), path
    again = holder.post(f"/tasks/{task_id}/task_actions/complete", json=body)
    assert (again.status_code, again.json()["status"]) == (200, "complete")
    assert holder.get(f"/datasets/{dataset_id}").status_code == 403
    assert holder.delete(f"/pilots/{holder_id}").status_code == 200


def test_a_pilot_names_its_lease(api: Api, task_id: str) -> None:
    pilot = pilot_of(api, "north")
    task = pilot.post("/task_actions/queue_many", json=CLAIM).json()[0]
    for name in ("processing", "complete", "reset", "failed", "evict"):
        for body in ({}, {"instance_id": ""}, {"instance_id": "guessed"}):
            answer = pilot.post(f"/tasks/{task_id}/task_actions/{name}", json=body)
            assert answer.status_code in (400, 404), (name, answer.text)
    report = {"task_id": task_id, "outcome": "failed"}
    assert pilot.post("/task_actions/report_many", json={"reports": [report]}).status_code == 400
    assert "instance_id" not in pilot.get(f"/tasks/{task_id}").json()
    done = pilot.post(f"/tasks/{task_id}/task_actions/complete", json={"instance_id": task["instance_id"]})
    assert done.status_code == 200


def test_a_pilot_outlives_the_token_that_it_came_with(api: Api) -> None:
    """It waited long in a queue: what it registers with ends soon, its own is renewed for its lifetime."""
    grid = api.session("system", groups=())
    asked = {"type": "system", "role": "pilot", "exp": 4, "site": "north"}
    first = Session(api.url, grid.post("/create_token", json=asked).json()["result"])
    api.sessions.append(first)
    answer = first.post("/pilots", json={**PILOT, "resources": {"cpu": 1, "time": 3.0}}).json()
    own, beat = Session(api.url, answer["token"]), f"/pilots/{answer['result']}/heartbeat"
    api.sessions.append(own)
    assert 0 < answer["expires_in"] <= 4
    assert "token" not in own.post(beat, json={}).json(), "only when it asks"
    fresh = own.post(beat, json={"renew": True}).json()
    assert 4.9 * 3600 < fresh["expires_in"] <= 5 * 3600
    renewed = Session(api.url, fresh["token"])
    api.sessions.append(renewed)
    assert "token" not in renewed.post(beat, json={"renew": True}).json(), "not beyond what it announced"
    time.sleep(4.5)
    assert own.post(beat, json={}).status_code == 403
    assert renewed.post(beat, json={}).status_code == 200
    assert "token" not in first.post(beat, json={"renew": True}).json()
    admin = api.session()
    assert admin.post("/revoke_token", json={"token": fresh["token"]}).status_code == 200
    assert renewed.post(beat, json={}).status_code == 403


# -- the one request that a pilot needs


def test_one_request_reports_claims_and_keeps_leases(api: Api, task_id: str) -> None:
    pilot_id, pilot = registered(api)
    path = f"/pilots/{pilot_id}/exchange"
    claim = {**CLAIM, "wait": 30}
    first = pilot.post(path, json={"tasks": [], "claim": claim}).json()
    [task] = first["tasks"]
    assert (task["task_id"], task["status"], task["kind"]) == (task_id, "processing", "script")
    assert {"lease_seconds", "grace_seconds", "heartbeat_seconds"} <= first.keys()
    held = {"task_id": task_id, "instance_id": task["instance_id"]}
    beat = pilot.post(path, json={"tasks": [held, {"task_id": "x", "instance_id": "y"}]}).json()
    assert (beat["stop"], beat["drain"]) == (["x"], False)
    assert api.session("admin").get(f"/pilots/{pilot_id}").json()["tasks"] == [task_id, "x"]
    report = {**held, "outcome": "complete", "time_used": 1}
    last = pilot.post(path, json={"tasks": [held], "reports": [report], "claim": claim}).json()
    assert last["tasks"] == []
    assert last["results"] == [{"task_id": task_id, "status": 200, "reason": ""}]
    assert api.session("admin").get(f"/tasks/{task_id}").json()["status"] == "complete"


def test_an_exchange_ends_a_wait_when_a_pilot_is_to_leave(api: Api) -> None:
    pilot_id, pilot = registered(api)
    path = f"/pilots/{pilot_id}/exchange"
    api.session("admin").patch(f"/pilots/{pilot_id}", json={"drain": True})
    answer = pilot.post(path, json={"claim": {**CLAIM, "wait": 1}}).json()
    assert (answer["tasks"], answer["drain"]) == ([], True)


@pytest.mark.parametrize(("body", "reason"), [
    ({"tasks": 1}, "key tasks should be a list"), ({"claim": []}, "key claim should be of type dict"),
    ({"claim": {"num": 0}}, "key num should be an int >= 1"),
    ({"reports": 1}, "key reports should be a list"),
    ({"claim": {"wait": -1}}, "key wait should be a number >= 0"),
    ({"resources_available": 1}, "key resources_available should be of type dict")])
def test_an_exchange_says_what_is_wrong(api: Api, body: dict[str, Any], reason: str) -> None:
    pilot_id, pilot = registered(api)
    answer = pilot.post(f"/pilots/{pilot_id}/exchange", json=body)
    assert answer.status_code == 400
    assert reason in answer.json()["reason"]


def test_an_exchange_is_for_the_own_pilot_that_is_registered(api: Api, task_id: str) -> None:
    pilot_id, pilot = registered(api)
    _, other = registered(api, "south")
    assert other.post(f"/pilots/{pilot_id}/exchange", json={"claim": CLAIM}).status_code == 403
    assert pilot.delete(f"/pilots/{pilot_id}").status_code == 200
    answer = pilot.post(f"/pilots/{pilot_id}/exchange", json={"claim": CLAIM})
    assert (answer.status_code, answer.json()["reason"]) == (404, "Pilot not found")
    assert api.session("admin").get(f"/tasks/{task_id}").json()["status"] == "waiting"
    api.session("admin").patch(f"/tasks/{task_id}", json={"status": "suspended"})
