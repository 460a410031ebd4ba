"""The desk of a running server: envelope, credentials, groups, objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.api import Api, Session, running_server
from tests.support.desk import ok, refused

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("desk")) as server:
        yield server


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("admin", username="ada", groups=("observers",))


@pytest.fixture(scope="module")
def viewer(api: Api) -> Session:
    return api.session("nobody", username="vera", groups=())


# -- envelope and credentials


@pytest.mark.parametrize("header", [None, "", "token", "token ", "Basic eDp5", "abc"])
def test_malformed_credentials(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = requests.get(f"{api.url}/api/enum_types", headers=headers, timeout=60)
    assert 'expected form "Authorization: token abc123"' in refused(answer, 401)


@pytest.mark.parametrize("header", ["token nobody-knows-this", "token a.b.c", "Bearer x"])
def test_unknown_token(api: Api, header: str) -> None:
    refused(requests.get(f"{api.url}/api/enum_types", headers={"Authorization": header}, timeout=60), 401)


@pytest.mark.parametrize("kind", ["token", "Token", "TOKEN", "Bearer"])
def test_any_case_of_the_word(api: Api, kind: str) -> None:
    headers = {"Authorization": f"{kind} {api.token('user')}"}
    ok(requests.get(f"{api.url}/api/enum_types", headers=headers, timeout=60))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/api/no/such", "/api", "/api/"])
def test_unknown_endpoint(api: Api, method: str, path: str) -> None:
    refused(requests.request(method, api.url + path, timeout=60), 400, "Invalid API endpoint")


def test_an_unknown_method_is_405(admin: Session) -> None:
    refused(admin.patch("/api/enum_types"), 405)


@pytest.mark.parametrize("body", ["", "{not json", "[1, 2]", '"text"', "null", "[" * 50_000])
def test_a_body_must_be_an_object(admin: Session, body: str) -> None:
    refused(admin.post("/api/groups", data=body))


def test_sysinfo_needs_no_token(api: Api) -> None:
    assert isinstance(ok(requests.get(f"{api.url}/api/sysinfo", timeout=60))["gitlog"], list)


@pytest.mark.parametrize("path", ["/api/db_stats", "/api/healpix"])
def test_statistics_are_for_admins(api: Api, viewer: Session, admin: Session, path: str) -> None:
    refused(viewer.get(path), 401)
    refused(api.session("user").get(path), 401)
    assert ok(admin.get(path))


def test_a_pilot_may_nothing(api: Api) -> None:
    refused(api.session("pilot", username="p").get("/api/enum_types"), 403)


# -- groups, streams, users, tokens


def test_group_and_members(api: Api, admin: Session, viewer: Session) -> None:
    mine = api.session("user", username="bob", groups=())
    number = ok(mine.post("/api/groups", json={"name": "bob's"}))["id"]
    refused(mine.post("/api/groups", json={"name": "bob's"}), 400, "already")
    vera = ok(viewer.get("/api/internal/profile"))
    assert vera["permissions"] == []
    refused(viewer.get(f"/api/groups/{number}"))
    refused(viewer.post(f"/api/groups/{number}/users", json={"userID": vera["id"]}))
    ok(mine.post(f"/api/groups/{number}/users", json={"userID": vera["id"]}))
    refused(mine.post(f"/api/groups/{number}/users", json={"userID": vera["id"]}), 400, "already")
    assert ok(viewer.get(f"/api/groups/{number}"))["name"] == "bob's"
    refused(viewer.post(f"/api/groups/{number}/users", json={"username": "ada"}), 401)
    ok(mine.delete(f"/api/groups/{number}/users/{vera['id']}"))
    refused(viewer.get(f"/api/groups/{number}"))
    refused(mine.get("/api/groups/x"), 400, "integer")


def test_nobody_takes_a_group_of_the_installation(api: Api) -> None:
    mine = api.session("user", username="mallory", groups=())
    refused(mine.post("/api/groups", json={"name": "simprod"}), 400, "installation")


def test_a_group_of_the_token_is_a_desk_group(api: Api) -> None:
    one = api.session("user", username="carl", groups=("observers", "night"))
    names = {group["name"] for group in ok(one.get("/api/groups"))["user_groups"]}
    assert {"observers", "night"} <= names


def test_tokens_carry_some_of_the_rights(api: Api, admin: Session) -> None:
    word = ok(admin.post("/api/internal/tokens", json={"name": "reader", "acls": []}))["id"]
    reader = {"Authorization": f"token {word}"}
    seen = ok(requests.get(f"{api.url}/api/internal/profile", headers=reader, timeout=60))
    assert (seen["username"], seen["permissions"]) == ("ada", [])
    refused(requests.post(f"{api.url}/api/groups", headers=reader, json={"name": "x"}, timeout=60), 401)
    more = {"name": "more", "acls": ["Upload data"]}
    refused(requests.post(f"{api.url}/api/internal/tokens", headers=reader, json=more, timeout=60), 401)
    refused(admin.post("/api/internal/tokens", json={"name": "x", "acls": ["Fly"]}), 400, "Fly")
    number = next(row["id"] for row in ok(admin.get("/api/internal/tokens")) if row["name"] == "reader")
    assert word not in admin.get("/api/internal/tokens").text
    ok(admin.delete(f"/api/internal/tokens/{number}"))
    refused(requests.get(f"{api.url}/api/internal/profile", headers=reader, timeout=60), 401)


def test_an_expired_account(api: Api, admin: Session) -> None:
    ok(admin.post("/api/user", json={"username": "old", "expirationDate": "2020-01-01"}))
    refused(api.session("user", username="old").get("/api/enum_types"), 403, "expired")


# -- objects and sources


def test_source_and_annotation(admin: Session, viewer: Session) -> None:
    group = ok(admin.post("/api/groups", json={"name": "keepers"}))["id"]
    body = {"id": "ZTF1", "ra": 359.9999, "dec": 90, "group_ids": [group], "redshift": 0.1}
    assert ok(admin.post("/api/sources", json=body)) == {"id": "ZTF1"}
    ok(admin.post("/api/sources", json={"id": "ZTF1", "group_ids": [group]}))
    note = {"origin": "gaia", "data": {"a": 1.5}, "group_ids": [group]}
    ok(admin.post("/api/sources/ZTF1/annotations", json=note))
    refused(admin.post("/api/sources/ZTF1/annotations", json=note), 400, "already posted")
    row = ok(admin.get("/api/sources/ZTF1"))
    assert [found["data"] for found in row["annotations"]] == [{"a": 1.5}]
    assert [found["id"] for found in row["groups"]] == [group]
    hidden = ok(viewer.get("/api/sources/ZTF1"))
    assert (hidden["ra"], hidden["groups"], hidden["annotations"]) == (359.9999, [], [])
    listed = ok(admin.get("/api/sources", params={"group_ids": str(group)}))
    assert ([source["id"] for source in listed["sources"]], listed["totalMatches"]) == (["ZTF1"], 1)
    assert ok(viewer.get("/api/sources"))["totalMatches"] == 0
    ok(admin.patch("/api/sources/ZTF1", json={"redshift": 0.2}))
    changed = ok(admin.get("/api/sources/ZTF1"))
    assert [step["value"] for step in changed["redshift_history"]] == [0.1, 0.2]


def test_an_object_without_a_place(admin: Session) -> None:
    before = ok(admin.get("/api/healpix"))
    ok(admin.post("/api/sources", json={"id": "Nowhere"}))
    after = ok(admin.get("/api/healpix"))
    assert after["totalWithoutHealpix"] == before["totalWithoutHealpix"] + 1
    assert after["totalWithHealpix"] == before["totalWithHealpix"]
    assert ok(admin.get("/api/sources/Nowhere"))["healpix"] is None
    ok(admin.patch("/api/sources/Nowhere", json={"ra": 10, "dec": 5}))
    assert ok(admin.get("/api/healpix")) == {**after, "totalWithHealpix": after["totalWithHealpix"] + 1,
                                             "totalWithoutHealpix": before["totalWithoutHealpix"]}
    assert ok(admin.post("/api/healpix")) == {"filled": 0, "left": 0}


def test_counts_and_vocabulary(admin: Session) -> None:
    before = ok(admin.get("/api/db_stats"))
    ok(admin.post("/api/sources", json={"id": "Counted", "ra": 1, "dec": 1}))
    after = ok(admin.get("/api/db_stats"))
    assert after["Number of objs"] == before["Number of objs"] + 1
    assert isinstance(after["Latest cron job run times & statuses"], list)
    words = ok(admin.get("/api/enum_types"))
    assert len(words) == 9
    assert all(words.values())


def test_too_many_requests(tmp_path: Path) -> None:
    settings = {"DESK__EXEMPT_ADDRESSES": "[]", "DESK__REQUESTS_PER_SECOND": 0.001, "DESK__BURST": 3}
    with running_server(tmp_path, settings) as strict:
        one, two = (strict.session("user", username=name) for name in ("one", "two"))
        assert [one.get("/api/enum_types").status_code for _ in range(4)] == [200, 200, 200, 429]
        last = one.get("/api/sysinfo")
        assert (last.headers["Retry-After"], last.json()["status"]) == ("1", "error")
        ok(two.get("/api/enum_types"))


def test_groups_that_keep_an_object(admin: Session, api: Api) -> None:
    one, two = (ok(admin.post("/api/groups", json={"name": f"keeper {n}"}))["id"] for n in (1, 2))
    ok(admin.post("/api/sources", json={"id": "Moved", "ra": 1, "dec": 1, "group_ids": [one]}))
    change = {"objId": "Moved", "inviteGroupIds": [two], "unsaveGroupIds": [one]}
    refused(api.session("user", username="stranger").post("/api/source_groups", json=change), 400, "group")
    refused(admin.post("/api/source_groups", json={**change, "objId": "nobody"}), 400, "nobody")
    ok(admin.post("/api/source_groups", json=change))
    assert [group["id"] for group in ok(admin.get("/api/sources/Moved"))["groups"]] == [two]
    ok(admin.post("/api/source_groups", json={"objId": "Moved", "inviteGroupIds": [one]}))
    assert [group["id"] for group in ok(admin.get("/api/sources/Moved"))["groups"]] == [one, two]


@pytest.mark.parametrize("change", [
    {"ra": 360}, {"ra": -1}, {"dec": 91}, {"dec": None}, {"ra": "east"}, {"id": ""}, {"id": "a/b"},
    {"what": 1}, {"comments": ["x"]}, {"group_ids": [987654321]}, {"group_ids": "1"}, {"redshift": "z"},
    {"host_id": 1 << 70}, {"altdata": {"$set": 1}}, {"id": 5}])
def test_bad_sources(admin: Session, change: dict[str, Any]) -> None:
    refused(admin.post("/api/sources", json={"id": "new", "ra": 1.0, "dec": 1.0, **change}))
    refused(admin.get("/api/sources/new"))


def test_telescope_and_instrument(admin: Session) -> None:
    scope = {"name": "Swift", "nickname": "Swift", "lat": 0, "lon": 0, "elevation": 0, "diameter": 0.3}
    number = ok(admin.post("/api/telescope", json=scope))["id"]
    device = {"name": "XRT", "telescope_id": number, "filters": ["swiftxrt"], "api_classname": "GENERICAPI"}
    made = ok(admin.post("/api/instrument", json=device))["id"]
    assert ok(admin.get(f"/api/instrument/{made}"))["telescope_id"] == number
    refused(admin.post("/api/instrument", json={**device, "telescope_id": 987654321}), 400, "telescope")
    refused(admin.post("/api/telescope", json={**scope, "lat": 91}), 400, "lat")
