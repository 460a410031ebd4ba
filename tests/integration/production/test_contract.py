"""What IceProd's clients rely on in small things: names, defaults, the words and the order of errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.support.api import Api, Session, running_server

DATASET: dict[str, Any] = {"description": "test", "group": "users", "jobs_submitted": 2,
                           "tasks_submitted": 2, "tasks_per_job": 1}
GRID: dict[str, Any] = {"host": "h", "queues": {"q": "condor"}, "version": "1"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("contract")) as server:
        yield server


@pytest.fixture(scope="module")
def everything(api: Api) -> Session:
    return api.session()


def made(answer: requests.Response) -> str:
    assert answer.status_code == 201, answer.text
    return str(answer.json()["result"])


def refused(answer: requests.Response) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])


def new_task(session: Session, **fields: Any) -> dict[str, Any]:
    dataset_id = made(session.post("/datasets", json=DATASET))
    job_id = made(session.post("/jobs", json={"dataset_id": dataset_id, "job_index": 0}))
    task_id = made(session.post("/tasks", json={
        "dataset_id": dataset_id, "job_id": job_id, "task_index": 0, "job_index": 0, "name": "gen",
        "depends": [], "requirements": {}, "status": "waiting", **fields}))
    return dict(session.get(f"/tasks/{task_id}").json())


# -- names in paths


@pytest.mark.parametrize("name", ["per%cent%41", "%2F", "/sim/prod", "a b+c", "é☃", "what?#"])
def test_names_hold_any_character(everything: Session, name: str) -> None:
    path = quote(name, safe="")
    for kind in ("roles", "groups"):
        assert everything.put(f"/{kind}/{path}", json={"name": name}).status_code == 200
        assert everything.get(f"/{kind}/{path}").json()["name"] == name
        assert everything.delete(f"/{kind}/{path}").json() == {}
        assert everything.get(f"/{kind}/{path}").status_code == 404
    group = everything.post("/groups", json={"name": name})
    assert everything.get(made(group)).json()["name"] == name
    user = everything.post("/users", json={"username": name})
    assert everything.get(f"/users/{path}").json()["user_id"] in made(user)
    assert everything.get(f"/users/{path}/credentials").json() == {}


def test_names_of_tasks_hold_percents(everything: Session) -> None:
    task = new_task(everything, name="50%41 done")
    path = f"/datasets/{task['dataset_id']}/task_actions/bulk_requirements/{quote(task['name'])}"
    assert everything.patch(path, json={"memory": 3.0}).status_code == 200
    assert everything.get(f"/tasks/{task['task_id']}").json()["requirements"] == {"memory": 3.0}


@pytest.mark.parametrize("name", ["a\0b", "x" * 201])
def test_users_have_names_that_can_be_told(everything: Session, name: str) -> None:
    assert "user name" in refused(everything.put(f"/users/{quote(name)}"))
    assert "user name" in refused(everything.post("/users", json={"username": name}))


# -- datasets


def test_a_user_owns_what_they_make(api: Api) -> None:
    alice, admin = api.session("user", username="alice"), api.session("admin", groups=("admin", "users"))
    for session, owner in ((alice, "alice"), (admin, "bob")):
        dataset_id = made(session.post("/datasets", json={**DATASET, "username": "bob"}))
        assert admin.get(f"/datasets/{dataset_id}").json()["username"] == owner
        assert admin.get(f"/auths/{dataset_id}").json()["write_users"] == [owner]


def test_users_come_with_groups_and_roles(everything: Session) -> None:
    fields: dict[str, Any] = {"username": "dora", "groups": ["users", "users", "simprod"], "roles": ["user"],
                              "priority": 1}
    user = everything.get(made(everything.post("/users", json=fields))).json()
    assert (user["groups"], user["roles"], user["priority"]) == (["users", "simprod"], ["user"], 1)
    for wrong in ({"groups": ["none"]}, {"groups": "users"}, {"roles": ["none"]}, {"priority": 2}):
        refused(everything.post("/users", json={"username": "eve", **wrong}))
    assert everything.get("/users/eve").status_code == 404


def test_a_token_may_end_at_once(everything: Session) -> None:
    assert everything.post("/create_token", json={"exp": 0}).status_code == 200
    assert refused(everything.post("/create_token", json={"exp": -1})) == "invalid expiration"


def test_truncated_is_a_status_to_look_for(everything: Session) -> None:
    cut, suspended, other = (made(everything.post("/datasets", json={**DATASET, "status": status}))
                             for status in ("truncated", "suspended", "processing"))
    for wanted, found in (("truncated", {cut}), ("truncated|suspended", {cut, suspended}),
                          ("processing", {cut, other})):
        listed = everything.get("/datasets", params={"status": wanted, "keys": "status"}).json()
        assert {cut, suspended, other} & set(listed) == found


def test_what_is_missing_is_told_first(everything: Session) -> None:
    assert refused(everything.post("/datasets", json={"description": 5})) == "missing key: group"


OLD: dict[str, Any] = {
    "version": 3.0, "mine": {"a": 1}, "tasks": [{"name": "a", "trays": [{"modules": [{"classes": []}]}]}]}


def test_old_configurations_are_taken_as_they_are(everything: Session) -> None:
    path = f"/config/{made(everything.post('/datasets', json=DATASET))}"
    assert everything.put(path, json=OLD).json() == {}
    assert everything.get(path).json() == OLD
    assert "neither src" in refused(everything.put(path, params={"lenient": "false"}, json=OLD))
    refused(everything.put(path, json={**OLD, "tasks": {}}))
    refused(everything.put(path, json={**OLD, "version": 3.2, "description": ""}))


# -- tasks


def test_what_a_task_depends_on_are_ids(everything: Session) -> None:
    task = new_task(everything)
    assert "depends" in refused(everything.patch(f"/tasks/{task['task_id']}", json={"depends": [5]}))


@pytest.mark.parametrize("path", ["queue", "process", "queue_many"])
def test_a_filter_is_one_value(everything: Session, path: str) -> None:
    wrong: list[Any] = [{"$ne": ""}, ["a"]]
    for value in wrong:
        error = refused(everything.post(f"/task_actions/{path}", json={
            "requirements": {}, "query_params": {"dataset_id": value}}))
        assert error == "param dataset_id must be a scalar value"
    hostile: dict[str, Any] = {"requirements": {"$where": "1"}, "query_params": {}}
    assert "$where" in refused(everything.post(f"/task_actions/{path}", json=hostile))


def test_what_is_queued_is_taken_without_saying_more(everything: Session) -> None:
    task = new_task(everything, status="queued", priority=1e9)
    taken = everything.post("/task_actions/process").json()
    assert (taken["task_id"], taken["status"]) == (task["task_id"], "processing")


@pytest.mark.parametrize(("said", "hours", "runs"), [
    ({}, 0.0, 0), ({"time_used": 1800}, 0.5, 1), ({"resources": {"time": 0.25}}, 0.25, 1),
    ({"time_used": 1800, "resources": {"time": 0.25}}, 0.5, 1), ({"resources": {"time": "x"}}, 0.0, 0)])
def test_lost_time_is_what_somebody_says(everything: Session, said: dict[str, Any], hours: float,
                                         runs: int) -> None:
    path = f"/tasks/{new_task(everything, status='processing')['task_id']}"
    assert everything.post(f"{path}/task_actions/reset", json=said).status_code == 200
    task = everything.get(path).json()
    assert (task["walltime_err"], task["walltime_err_n"]) == (hours, runs)


def test_an_unknown_status_of_tasks_is_told(everything: Session) -> None:
    path = f"/datasets/{new_task(everything)['dataset_id']}/tasks"
    assert refused(everything.get(path, params={"status": "idle|odd"})) == "Unknown task status"


def test_the_newest_logs_of_each_name_in_order(everything: Session) -> None:
    task = new_task(everything)
    path = f"/datasets/{task['dataset_id']}/tasks/{task['task_id']}/logs"
    for name in ("stdout", "stderr", "stdout"):
        about = {"data": "x", "name": name, "dataset_id": task["dataset_id"], "task_id": task["task_id"]}
        made(everything.post("/logs", json=about))
    for order, names in (("desc", ["stdout", "stderr"]), ("asc", ["stderr", "stdout"])):
        for number in (1, 2):
            found = everything.get(path, params={"group": "T", "order": order, "num": number}).json()["logs"]
            assert [log["name"] for log in found] == names[:number]


# -- grids and groups


def test_grids_are_of_who_registers_them(api: Api) -> None:
    site = api.session("client", username="site")
    path = f"/grids/{made(site.post('/grids', json={**GRID, 'username': 'other'}))}"
    assert site.get(path).json()["username"] == "site"
    assert site.patch(path, data="{ }").status_code == 200
    for wrong in ({"debug": "x"}, {"username": 5}):
        assert next(iter(wrong)) in refused(site.post("/grids", json={**GRID, **wrong}))


@pytest.mark.parametrize("priority", ["x", True, None])
def test_the_priority_of_a_group_is_a_number(everything: Session, priority: Any) -> None:
    assert "priority" in refused(everything.put("/groups/users", json={"priority": priority}))


# -- methods


def test_a_wrong_method_hears_of_the_right_ones(everything: Session) -> None:
    for method, path, allowed in (("DELETE", "/datasets", "GET, POST"), ("GET", "/ldap", "POST"),
                                  ("OPTIONS", "/grids/x", "GET, PATCH"),
                                  ("POST", "/web/datasets", "GET")):
        answer = everything.request(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
