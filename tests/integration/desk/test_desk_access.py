"""What others do on the same objects changes no answer that a shifter gets: rows, counts, filters, errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from server import desk
from tests.support.api import Api, Session, running_server
from tests.support.desk import Night, night, ok

pytestmark = pytest.mark.slow

OBJECTS = ["Alpha", "Beta", "Gamma"]
UNKNOWN = 987654321
NOTE = '{"origin": "gaia", "key": "m", "min": 0}'
LISTS: list[dict[str, Any]] = [
    {}, {"numPerPage": 1}, {"startDate": "2023-01-01"}, {"endDate": "2022-01-01"}, {"minRedshift": 0},
    *({"savedStatus": status} for status in (
        "savedToAnyAccessible", "notSavedToAnyAccessible", "savedToAnySelected", "notSavedToAnySelected",
        "savedToAllSelected", "notSavedToAllSelected")),
    {"annotationExcludeOrigin": "gaia"}, {"annotationFilterList": NOTE}, {"classifications": "Blazar"},
    {"sortByAnnotationOrigin": "gaia", "sortByAnnotationKey": "m"}, {"listName": "favorites"},
    {"listNameReject": "favorites"}, {"includeAlerts": 1, "includeComments": 1, "includePhotometry": 1}]
READS = ["groups", "streams", "filters", "taxonomy", "classification", "classification/sources", "sources",
         "listing", "internal/tokens", "internal/profile", "classification?includeTaxonomy=1",
         "classification?numPerPage=1", *(f"{path}{name}{rest}" for name in OBJECTS for path, rest in (
             ("candidates/", "?includeAlerts=1"), ("sources/", ""), ("sources/", "/annotations"),
             ("sources/", "/classifications")))]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("desk")) as server:
        yield server


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("admin", username="ada", groups=())


METHODS = [(route, name, method) for route in desk.ROUTES for name, method in route.methods().items()]
# What a token without any right may change: its own lists, votes and tokens, what it is a group's admin of;
# imports and annotations from catalogues are for everybody, as in SkyPortal.
FOR_ALL = {
    ("post", "/api/listing"), ("delete", "/api/listing/{listing_id}"), ("post", "/api/internal/tokens"),
    ("delete", "/api/internal/tokens/{token_id}"), ("post", "/api/groups/{group_id}/users"),
    ("delete", "/api/groups/{group_id}/users/{user_id}"), ("post", "/api/groups/{group_id}/streams"),
    ("post", "/api/classification/votes/{classification_id}"),
    ("delete", "/api/classification/votes/{classification_id}"),
    ("delete", "/api/sources/{obj_id}/classifications"), ("post", "/api/catalogs/swift_lsxps"),
    ("post", "/api/catalogs/gaia_alerts"), ("post", "/api/catalog_queries"),
    ("post", "/api/sources/{obj_id}/annotations/gaia"), ("post", "/api/sources/{obj_id}/annotations/irsa"),
    ("post", "/api/sources/{obj_id}/annotations/vizier"),
    ("post", "/api/followup_request/watch/{request_id}"),
    ("delete", "/api/followup_request/watch/{request_id}"),
    ("post", "/api/facility"),  # which right it needs depends on the request that it names
    # Standing requests: what is not theirs looks as if it was not there, before rights are asked for.
    ("post", "/api/default_followup_request"),
    ("delete", "/api/default_followup_request/{default_followup_request_id}"),
    ("post", "/api/default_survey_efficiency"),
    ("delete", "/api/default_survey_efficiency/{default_survey_efficiency_id}"),
    ("post", "/api/analysis_service/{analysis_service_id}/default_analysis"),
    ("delete", "/api/analysis_service/{analysis_service_id}/default_analysis/{default_analysis_id}"),
    ("patch", "/api/rules/{rule_id}"), ("post", "/api/rules/dry_run"),
    ("post", "/api/webhook/obj_analysis/{token}"), ("put", "/api/analysis_files/{analysis_id}/{name}")}

# Call-backs carry a token of their own, in the address or in the header, that is good for one analysis.
PUBLIC = {"/api/sysinfo", "/api/webhook/obj_analysis/{token:any}",
          "/api/analysis_files/{analysis_id:any}/{name:any}"}


def test_every_method_says_who(api: Api) -> None:
    """Without a token 401, except for what is public; without rights 401 for what changes things."""
    anonymous, viewer = api.anonymous(), api.session("nobody", username="vera", groups=())
    public, free = [], set()
    for route, name, method in METHODS:
        path = re.sub(r"\{\w+\}", "1", route.openapi_path)
        if anonymous.request(name, path).status_code != 401:
            public.append(route.path)
        if getattr(method, "acl", None):
            assert viewer.request(name, path, json={}).status_code == 401, (name, path)
        elif name not in ("get", "head"):
            free.add((name, route.openapi_path))
    assert set(public) == PUBLIC
    assert free == FOR_ALL


def taxonomy(admin: Session, one: Night) -> int:
    body = {"name": "t", "version": "1", "group_ids": [one.group],
            "hierarchy": {"class": "Blazar", "subclasses": [{"class": "TDE"}]}}
    return int(ok(admin.post("/api/taxonomy", json=body))["id"])


def fill(admin: Session, one: Night, names: list[str], when: str) -> dict[str, int]:
    """All that a group can say of objects; ids of some rows."""
    tree, ids = taxonomy(admin, one), {}
    for name in names:
        candidates = one.post(name, passed_at=when)
        ok(one.session.post("/api/sources", json={"id": name, "group_ids": [one.group]}))
        note = {"origin": "gaia", "data": {"m": len(when)}, "group_ids": [one.group]}
        ok(one.session.post(f"/api/sources/{name}/annotations", json=note))
        body = {"obj_id": name, "classification": "Blazar", "taxonomy_id": tree, "group_ids": [one.group]}
        judged = ok(one.session.post("/api/classification", json=body))["classification_id"]
        entry = ok(one.session.post("/api/listing", json={"obj_id": name, "list_name": "favorites"}))["id"]
        ids = {"candidate": candidates[0], "classification": judged, "listing": entry, "taxonomy": tree}
    return ids


def answers(one: Night) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in READS:
        found[path] = one.session.get(f"/api/{path}").json()
    for params in LISTS:
        page = one.session.get("/api/candidates", params=params).json()
        page["data"].pop("queryID", None)
        found[str(params)] = page
    return found


def test_nothing_of_others_shows(api: Api, admin: Session) -> None:
    one, other = night(api, admin), night(api, admin)
    fill(admin, one, ["Alpha", "Beta"], "2023-03-01")
    one.post("Gamma")
    before = answers(one)
    fill(admin, other, OBJECTS, "2023-04-01T00:00:00")
    fill(admin, night(api, admin), ["Delta", "Gamma"], "2020-04-01")
    assert answers(one) == before
    assert before["{}"]["data"]["totalMatches"] == 3


def test_a_foreign_row_looks_like_none(api: Api, admin: Session) -> None:
    one, other = night(api, admin), night(api, admin)
    ids = fill(admin, other, ["Epsilon"], "2023-04-01")
    one.post("Zeta")
    ids |= {"group": other.group, "stream": other.stream, "filter": other.filter}
    new = {"id": "Zeta", "ra": 1, "dec": 1, "passed_at": "2023-05-05"}
    judged = {"obj_id": "Zeta", "classification": "Blazar"}
    calls: list[tuple[str, str, str, dict[str, Any]]] = [
        ("group", "get", "/api/groups/{}", {}), ("stream", "get", "/api/streams/{}", {}),
        ("filter", "get", "/api/filters/{}", {}), ("filter", "delete", "/api/filters/{}", {}),
        ("filter", "patch", "/api/filters/{}", {"name": "x"}),
        ("filter", "delete", "/api/candidates/Epsilon/{}", {}),
        ("filter", "get", "/api/candidates?filterIDs={}", {}),
        ("group", "get", "/api/candidates?groupIDs={}", {}),
        ("filter", "post", "/api/candidates", {**new, "filter_ids": ["{}"]}),
        ("group", "post", "/api/filters", {"name": "x", "stream_id": one.stream, "group_id": "{}"}),
        ("stream", "post", "/api/filters", {"name": "x", "stream_id": "{}", "group_id": one.group}),
        ("group", "post", "/api/sources", {"id": "Zeta", "group_ids": ["{}"]}),
        ("group", "post", "/api/groups/{}/users", {"userID": 1}),
        ("stream", "post", f"/api/groups/{one.group}/streams", {"stream_id": "{}"}),
        ("group", "post", "/api/sources/Zeta/annotations", {"origin": "x", "data": {}, "group_ids": ["{}"]}),
        ("taxonomy", "get", "/api/taxonomy/{}", {}),
        ("taxonomy", "post", "/api/classification", {**judged, "taxonomy_id": "{}"}),
        ("classification", "get", "/api/classification/{}", {}),
        ("classification", "put", "/api/classification/{}", {"probability": 1}),
        ("classification", "delete", "/api/classification/{}", {}),
        ("classification", "post", "/api/classification/votes/{}", {"vote": 1}),
        ("classification", "delete", "/api/classification/votes/{}", {}),
        ("listing", "delete", "/api/listing/{}", {})]
    for kind, method, path, body in calls:
        foreign, none = (send(one.session, method, path, body, number) for number in (ids[kind], UNKNOWN))
        assert foreign == none, (method, path)
        assert foreign[0] in (400, 401), (method, path, foreign)


def send(session: Session, method: str, path: str, body: dict[str, Any], number: int) -> tuple[int, str]:
    """The answer to a call that names a number; that number is blotted out of it."""
    filled = {name: [number] if value == ["{}"] else number if value == "{}" else value
              for name, value in body.items()}
    answer = session.request(method, path.format(number), json=filled)
    return answer.status_code, re.sub(rf"\b{number}\b", "N", answer.text)


@pytest.mark.parametrize("name", ["Epsilon2", "nobody"])
def test_a_foreign_candidate_is_none(api: Api, admin: Session, name: str) -> None:
    one, other = night(api, admin), night(api, admin)
    other.post("Epsilon2")
    answer = one.session.get(f"/api/candidates/{name}")
    assert (answer.status_code, answer.json()["message"].replace(name, "X")) == (
        400, "Invalid ID: there is no candidate 'X' that you can read")
    assert one.session.head(f"/api/candidates/{name}").status_code == 404
