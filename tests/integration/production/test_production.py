"""The production API of a running server: permissions, description, a whole life, malformed requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iceprod.tokens import ROLES
from server.app import ROUTES
from server.rest.routing import Route
from tests.support.api import Api, Session, running_server
from tests.support.permissions import PERMISSIONS, Permission

NOTHING = "0" * 32


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    # leases and repair passes are left to themselves; the tests wait for no timer
    with running_server(tmp_path_factory.mktemp("api"), {"LEASES__MAX_WAIT_SECONDS": 1}) as server:
        yield server


@pytest.fixture(scope="module")
def everything(api: Api) -> Session:
    return api.session()


def path_of(route: Route) -> str:
    return re.sub(r"\{\w+(:any)?\}", NOTHING, route.path)


PRODUCTION = [route for route in ROUTES if route.handler.__module__.startswith("server.production")]
TABLE = [pytest.param(row, id=f"{row.method.upper()} {row.path}") for row in PERMISSIONS]


# -- permissions


def test_the_table_has_every_route() -> None:
    served = {(name, route.openapi_path) for route in PRODUCTION for name in route.methods()}
    assert {(row.method, row.path) for row in PERMISSIONS} == served
    assert len(PERMISSIONS) == len(served)


def filled(path: str, dataset_id: str = NOTHING) -> str:
    path = path.replace("/auths/{dataset_id}/actions/{action}", "/auths/{dataset_id}/actions/read")
    return re.sub(r"\{\w+\}", NOTHING, path.replace("{dataset_id}", dataset_id))


@pytest.mark.parametrize("row", TABLE)
def test_who_may_call(api: Api, row: Permission) -> None:
    """Each role gets in where the table says so, and nowhere else; no token and a bad one never do."""
    if "everybody" in row.roles:
        return
    path = filled(row.path)
    for session in (api.anonymous(), bad_token(api)):
        refused = session.request(row.method, path, json={})
        assert refused.status_code == 403
        assert refused.json()["error"] == "authentication failed"
    for role in ROLES:
        answer = api.session(role, groups=()).request(row.method, path, json={}, stream=True)
        if not {role, "any"} & row.roles:
            assert (answer.status_code, answer.json()["error"]) == (403, "authorization failed")
        elif role != "user":  # a user needs the dataset's permission too
            assert (answer.status_code, answer.text) != (403, "authorization failed")
        assert answer.status_code < 500


def bad_token(api: Api) -> Session:
    session = api.anonymous()
    session.headers["Authorization"] = "Bearer a.b.c"
    return session


@pytest.fixture(scope="module")
def datasets(api: Api, everything: Session) -> dict[str, str]:
    """Datasets that the plain user alice owns, may read, and may not even read."""
    alice = api.session("user", username="alice")
    rules = {"own": {}, "readable": {"read_groups": ["users"], "write_groups": []},
             "foreign": {"read_groups": ["simprod"], "write_groups": ["admin"]}}
    found = {"own": new_dataset(alice)}
    for kind in ("readable", "foreign"):
        found[kind] = new_dataset(everything)
        assert everything.put(f"/auths/{found[kind]}", json=rules[kind]).status_code == 200
    return found


@pytest.mark.parametrize("row", [param for param in TABLE if param.values[0].right != "-"])  # type: ignore[attr-defined]
def test_what_a_user_may_do_with_whose_dataset(api: Api, datasets: dict[str, str], row: Permission) -> None:
    allowed = {"own"} if row.right == "W" else {"own", "readable"}
    for kind, dataset_id in (*datasets.items(), ("nobody's", NOTHING)):
        alice = api.session("user", username="alice")
        answer = alice.request(row.method, filled(row.path, dataset_id), json={})
        assert (answer.status_code == 403) is (kind not in allowed), (kind, answer.text)
        assert answer.status_code < 500


# -- description


def test_every_route_is_described(everything: Session) -> None:
    document = everything.get("/openapi.json").json()
    for route in ROUTES:
        if route.path.startswith("/web/"):  # pages for people
            continue
        for name, method in route.methods().items():
            operation = document["paths"][route.openapi_path][name]
            assert operation["summary"]
            in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)", route.openapi_path))
            public = "everybody" in method.roles  # type: ignore[attr-defined]
            assert bool(operation["security"]) is not public


# -- a whole life


def new_dataset(session: Session, jobs: int = 2, per_job: int = 2, **fields: Any) -> str:
    body = {
        "description": "test",
        "group": "users",
        "jobs_submitted": jobs,
        "tasks_submitted": jobs * per_job,
        "tasks_per_job": per_job,
        **fields,
    }
    answer = session.post("/datasets", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["result"])


CONFIG = {"version": 3.2, "description": "c", "tasks": [
    {"name": "gen", "trays": [{"modules": [{"src": "a.py", "args": "$(job)"}]}]},
    {"name": "hits", "depends": ["gen"], "trays": [{"modules": [{"src": "b.py"}]}]}]}


def test_from_submission_to_completion(api: Api, everything: Session) -> None:
    submitted = api.session("user", username="alice").post("/actions/submit", json={
        "config": msgspec.json.encode(CONFIG).decode(), "description": "alice's", "jobs_submitted": 2})
    assert submitted.status_code == 201, submitted.text
    request = submitted.json()["result"]
    pilot = api.session("pilot")
    pilot_id = pilot.post("/pilots", json={
        "queue_host": "h", "queue_version": "1", "resources": {"cpu": 1}, "site": "S"}).json()["result"]
    offer = {"requirements": {"cpu": 1, "gpu": 0, "memory": 4, "disk": 20, "time": 8, "site": "S"}, "num": 2,
             "wait": 1, "start": True, "pilot_id": pilot_id}
    done: list[str] = []
    while len(done) < 4:
        answer = pilot.post("/task_actions/queue_many", json=offer)
        for task in answer.json() if answer.status_code == 200 else []:
            assert task["payload"]["task"]["name"] == task["name"]
            lease = {"task_id": task["task_id"], "instance_id": task["instance_id"]}
            beat = pilot.post(f"/pilots/{pilot_id}/heartbeat", json={"tasks": [lease]}).json()
            assert beat["stop"] == []
            end = pilot.post(f"/tasks/{task['task_id']}/task_actions/complete",
                             json={"instance_id": task["instance_id"], "time_used": 60, "site": "S"})
            assert end.status_code == 200
            done.append(task["name"])
    dataset = everything.get(f"/actions/submit/{request}").json()["payload"]["dataset_id"]
    assert everything.get(f"/datasets/{dataset}").json()["status"] == "complete"
    assert everything.get(f"/datasets/{dataset}/job_counts/status").json() == {"complete": 2}
    assert everything.get(f"/datasets/{dataset}/task_counts/name_status").json() == {
        "gen": {"complete": 2}, "hits": {"complete": 2}}
    assert pilot.delete(f"/pilots/{pilot_id}").status_code == 200


def test_selections_answer_how_many_they_changed(everything: Session) -> None:
    dataset = new_dataset(everything, jobs=3, per_job=1)
    jobs = [everything.post("/jobs", json={"dataset_id": dataset, "job_index": n}).json()["result"]
            for n in range(3)]
    for n, job in enumerate(jobs):
        everything.post("/tasks", json={"dataset_id": dataset, "job_id": job, "task_index": 0, "job_index": n,
                                        "name": "a", "depends": [], "requirements": {}, "status": "waiting"})

    def changed(action: str, body: dict[str, Any]) -> str:
        answer = everything.post(f"/datasets/{dataset}/{action}", json=body)
        assert (answer.status_code, answer.json()) == (200, {})
        return answer.headers["X-Changed"]

    assert changed("task_actions/bulk_suspend", {"jobs": jobs[:1]}) == "1"
    assert changed("task_actions/bulk_suspend", {}) == "2"
    assert changed("task_actions/bulk_suspend", {}) == "0"
    assert changed("task_actions/bulk_reset", {"jobs": jobs[:2]}) == "2"
    assert changed("job_actions/bulk_suspend", {"jobs": jobs[2:]}) == "0"  # it went with its task
    assert changed("job_actions/bulk_hard_reset", {"jobs": jobs[2:]}) == "1"


# -- malformed requests

BODIES = [pytest.param(route, name, id=f"{name.upper()} {route.openapi_path}")
          for route in PRODUCTION for name in route.methods() if name != "get"]
RAW = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"{}",
    b'{"a":' * 5000,
    b"\xff\xfe",
    b'{"a":1e999}',
    b'{"a":"\\ud800"}',
    b'{"$where":1,"a.b":2}',
    b'{"\\u0000":1}',
]


@pytest.mark.parametrize(("route", "method"), BODIES)
def test_malformed_bodies_are_refused_in_json(everything: Session, route: Route, method: str) -> None:
    for raw in RAW:
        answer = everything.request(method, path_of(route), data=raw)
        assert answer.status_code < 500, (raw[:40], answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()) >= {"code", "error", "reason", "message"}


NAMES = [
    "dataset_id",
    "job_id",
    "task_id",
    "job_index",
    "task_index",
    "name",
    "depends",
    "requirements",
    "status",
    "priority",
    "num",
    "num_tasks",
    "query_params",
    "dataset_deprio",
    "instance_id",
    "time_used",
    "resources",
    "tasks",
    "jobs",
    "data",
    "filename",
    "movement",
    "groups",
    "roles",
    "username",
    "description",
    "group",
    "jobs_submitted",
    "tasks_submitted",
    "tasks_per_job",
    "config",
    "action",
    "type",
    "exp",
    "role",
    "queues",
    "host",
    "version",
    "queue_host",
    "queue_version",
    "read_groups",
    "write_groups",
    "site",
    "wait",
    "keys",
    "memory",
    "cpu",
    "gpu",
    "os",
    "initial_status",
    "set_status",
    "task_ids",
    "job_ids",
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["waiting", "complete", "suspend", "input", "$(job)", NOTHING])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@pytest.mark.parametrize(("route", "method"), BODIES)
@settings(max_examples=12, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_body_reaches_a_server_error(
    everything: Session, route: Route, method: str, data: st.DataObject
) -> None:
    described = getattr(route.methods()[method], "body", None)
    names = list(described.schema["properties"]) if described else NAMES
    body = data.draw(st.dictionaries(st.sampled_from(names or NAMES), values, max_size=6))
    answer = everything.request(method, path_of(route), data=msgspec.json.encode(body))
    assert answer.status_code < 500, (body, answer.text)


QUERIES = [
    "status",
    "keys",
    "job_index",
    "num",
    "order",
    "limit",
    "sort",
    "from",
    "last",
    "group",
    "gpu",
    "site",
    "grid_id",
    "after",
    "buffer_size",
    "username",
    "groups",
    "users",
    "name",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "route", [r for r in PRODUCTION if "get" in r.methods()], ids=lambda r: r.openapi_path
)
@settings(max_examples=8, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(query=st.dictionaries(st.sampled_from(QUERIES), st.text(max_size=8) | st.sampled_from(
    ["-1", "99999999999999999999", "$where", "a.b", "_id", "true", "|", "priority=-1"]), max_size=4))
def test_no_query_reaches_a_server_error(everything: Session, route: Route, query: dict[str, str]) -> None:
    answer = everything.get(path_of(route), params=query)
    assert answer.status_code < 500, (query, answer.text)


def test_whole_numbers_of_sixty_four_bits_come_back(everything: Session) -> None:
    """The database has a type of its own for them, which lists and maps must be able to write."""
    dataset, large = new_dataset(everything, jobs=1, per_job=1), 1 << 40
    job = everything.post("/jobs", json={"dataset_id": dataset, "job_index": large}).json()["result"]
    made = everything.post("/tasks", json={
        "dataset_id": dataset, "job_id": job, "task_index": 0, "job_index": large, "name": "large",
        "depends": [], "requirements": {}, "status": "idle"})
    task = made.json()["result"]
    report = {"dataset_id": dataset, "large": large}
    assert everything.post(f"/tasks/{task}/task_stats", json=report).status_code < 300
    listed = {row["task_id"]: row for row in everything.get("/tasks").json()["tasks"]}
    assert listed[task]["job_index"] == large
    assert everything.get(f"/datasets/{dataset}/tasks").json()[task]["job_index"] == large
    assert everything.get(f"/datasets/{dataset}/jobs").json()[job]["job_index"] == large
    [line] = everything.get(f"/datasets/{dataset}/bulk/task_stats").text.splitlines()
    assert str(large) in line


def test_a_dataset_goes_to_a_group_of_ones_own(api: Api) -> None:
    fields = {"description": "x", "jobs_submitted": 1, "tasks_submitted": 1, "tasks_per_job": 1}
    submission = {"description": "x", "jobs_submitted": 1, "config": {"tasks": [{"name": "a"}]}}
    user, admin = api.session("user", username="ann", groups=("users", "mine")), api.session("admin")
    for group, of_user, of_admin in (("simprod", 400, 201), ("no such", 400, 400), ("mine", 201, 400)):
        assert user.post("/datasets", json={**fields, "group": group}).status_code == of_user
        assert admin.post("/datasets", json={**fields, "group": group}).status_code == of_admin
    refused = user.post("/actions/submit", json={**submission, "group": "simprod"})
    assert (refused.status_code, "group" in refused.text) == (400, True)
