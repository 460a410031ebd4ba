"""Taxonomies, classifications and votes of a running server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.api import Api, Session, running_server
from tests.support.desk import Night, night, ok, refused

pytestmark = pytest.mark.slow

TREE = {"class": "Counterpart", "subclasses": [
    {"class": "Blazar"}, {"class": "Supernova", "subclasses": [{"class": "SN Ia"}]}]}
UNKNOWN = 987654321


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("desk")) as server:
        yield server


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("admin", username="ada", groups=())


@pytest.fixture
def one(api: Api, admin: Session) -> Night:
    return night(api, admin)


@pytest.fixture
def other(api: Api, admin: Session) -> Night:
    return night(api, admin)


@pytest.fixture
def tree(one: Night, admin: Session) -> int:
    body = {"name": "t", "version": "1", "hierarchy": TREE, "group_ids": [one.group]}
    return int(ok(admin.post("/api/taxonomy", json=body))["taxonomy_id"])


def judge(one: Night, tree: int, obj: str, name: str = "Blazar", **more: Any) -> int:
    body = {"obj_id": obj, "classification": name, "taxonomy_id": tree, "group_ids": [one.group], **more}
    return int(ok(one.session.post("/api/classification", json=body))["classification_id"])


@pytest.mark.parametrize("hierarchy", [
    {}, {"class": ""}, {"class": 5}, {"class": "a", "subclasses": {}}, {"class": "a", "subclasses": ["b"]}])
def test_bad_taxonomies(admin: Session, hierarchy: dict[str, Any]) -> None:
    refused(admin.post("/api/taxonomy", json={"name": "x", "version": "1", "hierarchy": hierarchy}))


def test_taxonomy(one: Night, other: Night, tree: int) -> None:
    row = ok(one.session.get(f"/api/taxonomy/{tree}"))
    assert row["allowed_classes"] == ["Blazar", "Counterpart", "SN Ia", "Supernova"]
    refused(other.session.get(f"/api/taxonomy/{tree}"))
    assert tree not in [found["id"] for found in ok(other.session.get("/api/taxonomy"))]
    refused(one.session.post("/api/taxonomy", json={"name": "x", "version": "1", "hierarchy": TREE}), 401)


def test_life_of_a_judgement(one: Night, tree: int) -> None:
    one.post("Judged")
    number = judge(one, tree, "Judged", "SN Ia", probability=0.8)
    row = ok(one.session.get(f"/api/classification/{number}"))
    assert (row["classification"], row["probability"], row["group_ids"]) == ("SN Ia", 0.8, [one.group])
    shown = ok(one.session.get(f"/api/classification/{number}", params={"includeTaxonomy": "1"}))
    assert shown["taxonomy"]["id"] == tree
    ok(one.session.put(f"/api/classification/{number}", json={
        "classification": "Blazar", "probability": None, "author_id": 5, "obj_id": "x", "votes": []}))
    row = ok(one.session.get(f"/api/classification/{number}"))
    assert (row["classification"], row["probability"], row["obj_id"]) == ("Blazar", None, "Judged")
    for bad in ({"classification": "Comet"}, {"probability": 1.5}, {"taxonomy_id": UNKNOWN},
                {"group_ids": [UNKNOWN]}, {"what": 1}):
        refused(one.session.put(f"/api/classification/{number}", json=bad))
    ok(one.session.delete(f"/api/classification/{number}", json={"label": False}))
    refused(one.session.delete(f"/api/classification/{number}"))


@pytest.mark.parametrize("change", [
    {"taxonomy_id": UNKNOWN}, {"classification": "Comet"}, {"probability": 1.5}, {"probability": -0.1},
    {"probability": "high"}, {"group_ids": [UNKNOWN]}, {"obj_id": "nobody"}, {"what": 1}, {"vote": 5}])
def test_bad_judgements(one: Night, tree: int, change: dict[str, Any]) -> None:
    one.post("BadJudged")
    body = {"obj_id": "BadJudged", "classification": "Blazar", "taxonomy_id": tree, "group_ids": [one.group]}
    refused(one.session.post("/api/classification", json={**body, **change}))
    refused(one.session.post("/api/classification", json={"classifications": [body, {**body, **change}]}))
    assert ok(one.session.get("/api/sources/BadJudged/classifications")) == []


def test_several_at_once_and_default_groups(one: Night, other: Night, tree: int) -> None:
    one.post("Several")
    ok(one.session.post("/api/sources", json={"id": "Several", "group_ids": [one.group]}))
    body = {"obj_id": "Several", "classification": "Blazar", "taxonomy_id": tree}
    found = ok(one.session.post("/api/classification", json={"classifications": [body, body]}))
    assert len(set(found["classification_ids"])) == 2
    rows = ok(one.session.get("/api/sources/Several/classifications"))
    assert [row["group_ids"] for row in rows] == [[one.group]] * 2
    assert ok(other.session.get("/api/sources/Several/classifications")) == []
    assert ok(one.session.get("/api/candidates/Several"))["classifications"]


def test_only_authors_and_admins_change(api: Api, admin: Session, one: Night, tree: int) -> None:
    one.post("Owned")
    number = judge(one, tree, "Owned")
    guest = api.session("user", username=f"guest {one.group}", groups=())
    user = ok(guest.get("/api/internal/profile"))["id"]
    ok(admin.post(f"/api/groups/{one.group}/users", json={"userID": user}))
    ok(guest.get(f"/api/classification/{number}"))
    refused(guest.put(f"/api/classification/{number}", json={"probability": 0.1}))
    refused(guest.delete(f"/api/classification/{number}"))
    ok(guest.delete("/api/sources/Owned/classifications"))
    assert len(ok(guest.get("/api/sources/Owned/classifications"))) == 1
    ok(one.session.delete("/api/sources/Owned/classifications"))
    ok(one.session.delete("/api/sources/Owned/classifications"))
    assert ok(guest.get("/api/sources/Owned/classifications")) == []
    viewer = api.session("nobody", username="nobody", groups=())
    refused(viewer.post("/api/classification", json={}), 401)


def test_votes(one: Night, other: Night, tree: int) -> None:
    one.post("Voted")
    number = judge(one, tree, "Voted", vote=False)

    def votes() -> list[int]:
        rows = ok(one.session.get("/api/sources/Voted/classifications"))
        return [vote["vote"] for vote in rows[0]["votes"]]

    path = f"/api/classification/votes/{number}"
    assert votes() == []
    refused(one.session.delete(path))
    ok(one.session.post(path, json={"vote": 1}))
    ok(one.session.post(path, json={"vote": -1}))
    assert votes() == [-1]
    for bad in ({}, {"vote": "up"}, {"vote": None}, {"vote": True}, {"vote": 1 << 64}):
        refused(one.session.post(path, json=bad))
    refused(other.session.post(path, json={"vote": 1}))
    ok(one.session.delete(path))
    refused(one.session.delete(path))
    judge(one, tree, "Voted")
    assert [len(row["votes"]) for row in ok(one.session.get("/api/sources/Voted/classifications"))] == [0, 1]


def test_one_of_many_votes_at_once(api: Api, one: Night, tree: int) -> None:
    one.post("VoteRace")
    number = judge(one, tree, "VoteRace", vote=False, label=False)
    headers = dict(one.session.headers)

    def vote(value: int) -> int:
        url = f"{api.url}/api/classification/votes/{number}"
        return requests.post(url, json={"vote": value}, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(vote, range(8))) == {200}
    assert len(ok(one.session.get("/api/sources/VoteRace/classifications"))[0]["votes"]) == 1


def test_lists(api: Api, admin: Session, tree: int, one: Night) -> None:
    watcher = night(api, admin)
    one.post("Listed")
    numbers = [judge(one, tree, "Listed", probability=n / 10) for n in range(5)]
    pages = [ok(one.session.get("/api/classification", params={
        "numPerPage": 2, "pageNumber": n, "includeTaxonomy": "true"})) for n in (1, 2, 3)]
    assert [row["id"] for page in pages for row in page["classifications"]] == numbers
    assert {page["totalMatches"] for page in pages} == {5}
    assert pages[0]["classifications"][0]["taxonomy"]["id"] == tree
    assert ok(watcher.session.get("/api/classification"))["totalMatches"] == 0
    assert ok(one.session.get("/api/classification", params={"startDate": "2099-01-01"}))["totalMatches"] == 0
    for bad in ({"startDate": "x"}, {"pageNumber": "x"}, {"numPerPage": 0}):
        refused(one.session.get("/api/classification", params=bad))
    assert ok(one.session.get("/api/classification/sources")) == ["Listed"]
    assert ok(one.session.get("/api/classification/sources", params={"endDate": "2001-01-01"})) == []
    assert ok(watcher.session.get("/api/classification/sources")) == []
    refused(one.session.get("/api/classification/sources", params={"endDate": "x"}))
    assert one.names(classifications="Comet, Blazar") == ["Listed"]
    assert watcher.names(classifications="Blazar") == one.names(classifications="Comet") == []
