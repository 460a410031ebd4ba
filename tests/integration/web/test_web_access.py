"""Who may look at which page, and change what with it: every route of the pages, by its own rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from server.web import ROUTES
from tests.support.api import Api, running_server

OF_DATASETS = [route for route in ROUTES if route.path.startswith("/web/datasets/{dataset_id}")]
CASES = [(method, route) for route in ROUTES if route.path.startswith("/web/")
         for method, function in route.methods().items() if "everybody" not in function.roles]


def test_what_is_open_to_everybody_is_so_on_purpose() -> None:
    shown = {route.path for route in ROUTES for function in route.methods().values()
             if "everybody" in function.roles}
    assert {path for path in shown if not path.startswith(("/web/login", "/web/docs", "/web/static"))} == {
        "/web/logout"}


def identify(value: object) -> str:
    return getattr(value, "path", str(value))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("access"), {"SERVICES__REPAIR_SECONDS": 3600}) as server:
        yield server


@pytest.fixture(scope="module")
def dataset_id(api: Api) -> str:
    """A dataset that its owner alone may read."""
    body = {"description": "private", "group": "users", "jobs_submitted": 1, "tasks_submitted": 1,
            "tasks_per_job": 1, "auth_groups_read": []}
    owner = api.session("user", username="owner", groups=("mine",))
    answer = owner.post("/datasets", json={**body, "group": "mine"})
    return str(answer.json()["result"])


def visitor(api: Api, *roles: str, **options: object) -> requests.Session:
    session = api.anonymous()
    session.cookies.set("iceprod_session", api.token(*roles, **options))
    return session


def ask(session: requests.Session, method: str, path: str) -> requests.Response:
    filled = re.sub(r"\{\w+\}", "none", path)
    return session.request(method.upper(), filled, allow_redirects=False)


@pytest.mark.parametrize(("method", "route"), CASES, ids=identify)
def test_without_a_login_one_is_sent_to_it(api: Api, method: str, route: object) -> None:
    answer = ask(api.anonymous(), method, route.openapi_path)
    assert answer.status_code == (302 if method == "get" else 303)
    assert answer.headers["Location"].startswith("/web/login?next=")


@pytest.mark.parametrize(("method", "route"), CASES, ids=identify)
def test_roles_decide_who_gets_in(api: Api, method: str, route: object) -> None:
    roles = route.methods()[method].roles
    assert roles
    for role in ("user", "admin", "system", "pilot", "client"):
        if role not in roles and "any" not in roles:
            assert ask(visitor(api, role), method, route.openapi_path).status_code == 403, role


@pytest.mark.parametrize(("method", "route"), [
    (method, route) for route in OF_DATASETS for method in route.methods()], ids=identify)
def test_the_datasets_of_others_stay_theirs(api: Api, dataset_id: str, method: str, route: object) -> None:
    path = route.openapi_path.replace("{dataset_id}", dataset_id)
    for session in (visitor(api, "user", username="eve"), visitor(api, "user", groups=("users",))):
        assert ask(session, method, path).status_code == 403
    owner = ask(visitor(api, "user", username="owner", groups=("mine",)), method, path)
    assert owner.status_code in (200, 400, 404)


def test_lists_do_not_name_the_datasets_of_others(api: Api, dataset_id: str) -> None:
    for path in ("/web/", "/web/datasets", "/web/datasets?text=private"):
        assert dataset_id not in visitor(api, "user", username="eve").get(path).text
        assert dataset_id in visitor(api, "user", username="owner").get(path).text
        assert dataset_id in visitor(api, "admin").get(path).text


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Origin": "null"}])
def test_no_form_of_another_site_changes_anything(api: Api, headers: dict[str, str]) -> None:
    session = visitor(api)
    for method, route in CASES:
        if method != "get":
            path = re.sub(r"\{\w+\}", "none", route.openapi_path)
            assert session.post(path, headers=headers, allow_redirects=False).status_code == 403, path


@pytest.mark.parametrize(("path", "code"), [
    ("/web/datasets?status=nonsense", 400), ("/web/datasets?before=-1", 400),
    ("/web/datasets/none", 404), ("/web/datasets/{d}/tasks?page=0", 400),
    ("/web/datasets/{d}/tasks?page=99999", 400), ("/web/datasets/{d}/tasks?status=x", 400),
    ("/web/datasets/{d}/tasks?job=x", 400), ("/web/datasets/{d}/jobs?status=x", 400),
    ("/web/datasets/{d}/tasks/none", 404), ("/web/datasets/{d}/jobs/none", 404),
    ("/web/datasets/{d}/logs/none", 404), ("/web/datasets/{d}/config", 404), ("/web/tasks/none", 404),
    ("/web/submit?like=none", 404), ("/web/scans?after=x", 400), ("/web/scans?text=%7B%22%24gt%22+1", 400),
    ("/web/scans/none/pixels", 404), ("/web/scans/none/pixels?levels=x", 400), ("/web/sites/none", 404)])
def test_wrong_addresses_are_told(api: Api, dataset_id: str, path: str, code: int) -> None:
    answer = visitor(api).get(path.replace("{d}", dataset_id))
    assert answer.status_code == code
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(("path", "form", "said"), [
    ("/web/datasets/{d}/confirm", {"action": "burn", "which": "dataset"}, "action: "),
    ("/web/datasets/{d}/confirm", {"action": "reset", "which": "ticked"}, "no task is ticked"),
    ("/web/datasets/{d}/change", {"action": "hard_reset", "which": "dataset"}, "sure: "),
    ("/web/datasets/{d}/change", {"action": "reset", "which": "filter", "status": "failed"}, "no task is in"),
    ("/web/datasets/{d}/priority", {"priority": "2"}, "priority: must be between"),
    ("/web/datasets/{d}/undo", {"request": "none"}, "no such request"),
    ("/web/submit", {"description": "d", "src": "", "jobs": "1"}, "what should each job run"),
    ("/web/submit", {"description": "d", "how": "config", "config": "a: &a [1]\nb: *a"}, "aliases"),
    ("/web/submit", {"description": "d", "how": "config", "config": '{"tasks": 5'}, "line 1, column"),
    ("/web/submit", {"description": "d", "src": "x", "jobs": "1", "memory": "nan"}, "between 0 and a"),
    ("/web/scans/start", {"reco_algo": "track_mpe", "nsides": "x", "kind": "real", "cluster": "local"},
     "levels: "),
    ("/web/sites/quarantine", {"kind": "planet", "name": "x", "reason": "y"}, "kind must be one of"),
    ("/web/sites/none/control", {"state": "asleep"}, "key state should be one of"),
    ("/web/tokens", {"hours": "99999"}, "hours: "),
    ("/web/tokens/revoke", {"token": "x"}, "Nothing was revoked"),
    ("/web/tokens/revoke", {"username": "ada"}, "sure: ")])
def test_wrong_forms_are_told(api: Api, dataset_id: str, path: str, form: dict[str, str], said: str) -> None:
    answer = visitor(api).post(path.replace("{d}", dataset_id), data=form)
    assert 400 <= answer.status_code < 500
    assert said in answer.text
