"""Logging in by name and password, against a real directory service."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from config.settings import Login
from tests.support.api import Api, Session, running_server
from tests.support.standins.directory import SLAPD, Directory, running_slapd

with warnings.catch_warnings():  # of what ldap3 imports
    warnings.simplefilter("ignore", DeprecationWarning)
    from server.production.people.login import ldap_backend

    ldap_backend(Login())

pytestmark = [
    pytest.mark.skipif(not SLAPD, reason="slapd is not installed (Debian: apt-get install slapd)"),
    pytest.mark.filterwarnings("ignore:ssl.match_hostname:DeprecationWarning"),  # ldap3 on Python 3.11
]
PEOPLE = {"ada": "lovelace", "odd, name+\"": "correct horse", "victim": "secret", "guessed": "not this"}
REFUSED = {"code": 403, "error": "Login failed", "reason": "Login failed", "message": "Login failed"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    with running_slapd(tmp_path_factory.mktemp("slapd"), PEOPLE) as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, directory: Directory) -> Iterator[Api]:
    settings = {"LOGIN__LDAP_URL": directory.url, "LOGIN__LDAP_USER_DN": f"'{directory.user_dn}'"}
    with running_server(tmp_path_factory.mktemp("api"), settings) as server:
        yield server


def test_a_login_opens_the_api(api: Api) -> None:
    answer = api.anonymous().post("/ldap", json={"username": "ada", "password": "lovelace"})
    assert answer.status_code == 200
    assert answer.json() | {"token": ""} == {
        "token": "", "username": "ada", "roles": ["user"], "current_role": "user", "groups": ["users"]}
    session = Session(api.url, answer.json()["token"])
    assert session.get("/datasets").status_code == 200
    assert session.get("/users").status_code == 403
    known = api.session().get("/users", params={"username": "ada"}).json()["results"]
    assert (known[0]["groups"], known[0]["roles"]) == (["users"], ["user"])


def test_a_name_is_a_name_whatever_it_holds(api: Api) -> None:
    body = {"username": "odd, name+\"", "password": "correct horse"}
    assert api.anonymous().post("/ldap", json=body).json()["username"] == body["username"]


def _without_trace(answer: requests.Response) -> dict[str, object]:
    """What it says, but for the request's own id."""
    return {name: value for name, value in answer.json().items() if name != "trace"}


@pytest.mark.parametrize("body", [
    {}, [], "ada", {"username": "ada"}, {"username": "ada", "password": ""},
    {"username": "ada", "password": "wrong"}, {"username": "nobody", "password": "lovelace"},
    {"username": "ada,ou=people,dc=icecube,dc=test", "password": "lovelace"},
    {"username": "*", "password": "lovelace"}, {"username": "ada)(uid=*", "password": "lovelace"},
    {"username": ["ada"], "password": "lovelace"}, {"username": "", "password": "lovelace"}],
    ids=lambda body: str(body)[:40])
def test_everything_else_fails_alike(api: Api, body: object) -> None:
    answer = api.anonymous().post("/ldap", json=body)
    assert (answer.status_code, _without_trace(answer)) == (403, REFUSED)


def test_no_body_fails_alike(api: Api) -> None:
    assert _without_trace(api.anonymous().post("/ldap", data=b"{")) == REFUSED


def test_guessing_has_to_wait(api: Api) -> None:
    session = api.anonymous()
    codes = [session.post("/ldap", json={"username": "guessed", "password": f"guess {n}"}).status_code
             for n in range(Login().tries + 1)]
    assert codes == [403] * Login().tries + [429]
    refused = session.post("/ldap", json={"username": "guessed", "password": "not this"})
    assert 1 <= int(refused.headers["Retry-After"]) <= Login().tries_seconds
    assert refused.json()["code"] == 429
    assert session.post("/ldap", json={"username": "ada", "password": "lovelace"}).status_code == 200


def test_a_revoked_login_is_over(api: Api) -> None:
    body = {"username": "victim", "password": "secret"}
    stolen = Session(api.url, api.anonymous().post("/ldap", json=body).json()["token"])
    made = Session(api.url, stolen.post("/create_token", json={"type": "temp"}).json()["result"])
    stranger = api.session("user", username="stranger")
    assert stranger.post("/revoke_token", json={"username": "victim"}).status_code == 403
    assert stolen.get("/datasets").status_code == made.get("/datasets").status_code == 200
    assert api.session("admin").post("/revoke_token", json={"username": "victim"}).status_code == 200
    assert stolen.get("/datasets").status_code == made.get("/datasets").status_code == 403
    again = Session(api.url, api.anonymous().post("/ldap", json=body).json()["token"])
    assert again.get("/datasets").status_code == 200
    token = again.headers["Authorization"].split()[1]  # type: ignore[union-attr]
    assert again.post("/revoke_token", json={"token": token}).status_code == 200
    assert again.get("/datasets").status_code == 403


# -- encryption


@pytest.mark.parametrize("start_tls", [True, False])
def test_encrypted(directory: Directory, start_tls: bool) -> None:
    check = ldap_backend(Login(
        ldap_url=directory.url if start_tls else directory.tls_url, ldap_user_dn=directory.user_dn,
        ldap_start_tls=start_tls, ldap_ca_file=str(directory.ca_file)))
    assert check("ada", "lovelace")
    assert not check("ada", "wrong")


@pytest.mark.parametrize("start_tls", [True, False])
def test_a_service_that_nobody_vouches_for_sees_no_password(directory: Directory, start_tls: bool) -> None:
    check = ldap_backend(Login(
        ldap_url=directory.url if start_tls else directory.tls_url, ldap_user_dn=directory.user_dn,
        ldap_start_tls=start_tls))
    assert not check("ada", "lovelace")


def test_a_directory_that_is_away_lets_nobody_in(tmp_path: Path) -> None:
    assert not ldap_backend(Login(ldap_url="ldap://127.0.0.1:1"))("ada", "lovelace")
