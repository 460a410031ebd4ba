"""Filters and candidates of a running server: every parameter alone, some together, stable pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.api import Api, Session, running_server
from tests.support.desk import Night, night, ok, refused

pytestmark = pytest.mark.slow

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


# -- filters


def test_filter_life(one: Night) -> None:
    row = ok(one.session.get(f"/api/filters/{one.filter}"))
    assert (row["group_id"], row["stream_id"], row["stream"]["id"]) == (one.group, one.stream, one.stream)
    one.post("Life")
    ok(one.session.patch(f"/api/filters/{one.filter}", json={"name": "renamed", "group": None}))
    assert [found["name"] for found in ok(one.session.get("/api/filters"))] == ["renamed"]
    refused(one.session.patch(f"/api/filters/{one.filter}", json={"group_id": UNKNOWN}), 400, "group_id")
    refused(one.session.patch(f"/api/filters/{one.filter}", json={"name": 5}), 400, "name")
    ok(one.session.delete(f"/api/filters/{one.filter}"))
    refused(one.session.get(f"/api/filters/{one.filter}"))
    refused(one.session.delete(f"/api/filters/{one.filter}"))
    assert one.session.head("/api/candidates/Life").status_code == 404


def test_the_rule_of_a_filter_of_scans(one: Night, admin: Session) -> None:
    known = {row["name"]: row["id"] for row in ok(admin.get("/api/streams"))}
    stream = known.get("scans") or ok(admin.post("/api/streams", json={"name": "scans"}))["id"]
    body = {"name": "x", "group_id": one.group, "stream_id": stream}
    refused(admin.post("/api/filters", json={**body, "altdata": {"cumprob": 2}}), 400, "rule")
    refused(admin.post("/api/filters", json={**body, "altdata": {"catalogue": "x"}}), 400, "rule")
    made = ok(admin.post("/api/filters", json={**body, "altdata": {"cumprob": 0.5}}))["id"]
    refused(admin.patch(f"/api/filters/{made}", json={"altdata": "all"}), 400, "rule")
    assert ok(admin.get(f"/api/filters/{made}"))["altdata"] == {"cumprob": 0.5}


@pytest.mark.parametrize("missing", ["name", "stream_id", "group_id"])
def test_filter_needs(one: Night, missing: str) -> None:
    body = {"name": "x", "stream_id": one.stream, "group_id": one.group}
    del body[missing]
    refused(one.session.post("/api/filters", json=body), 400, "Invalid/missing parameters")


def test_a_foreign_filter_is_none(one: Night, other: Night, admin: Session) -> None:
    body = {"name": "x", "stream_id": other.stream, "group_id": one.group}
    foreign = refused(one.session.post("/api/filters", json=body), 401)
    unknown = refused(one.session.post("/api/filters", json={**body, "stream_id": UNKNOWN}), 401)
    assert foreign.replace(str(other.stream), "N") == unknown.replace(str(UNKNOWN), "N")
    refused(admin.post("/api/filters", json={**body, "stream_id": UNKNOWN}), 400)
    for method in ("get", "patch", "delete"):
        seen = refused(one.session.request(method, f"/api/filters/{other.filter}", json={"name": "x"}))
        none = refused(one.session.request(method, f"/api/filters/{UNKNOWN}", json={"name": "x"}))
        assert seen.replace(str(other.filter), "N") == none.replace(str(UNKNOWN), "N")


def test_a_reader_of_the_group_without_the_stream(one: Night, other: Night, admin: Session) -> None:
    """Membership of the group is not enough: its filter's stream has to be readable, too."""
    body = {"name": "x", "stream_id": other.stream, "group_id": one.group}
    number = ok(admin.post("/api/filters", json=body))["id"]
    refused(one.session.get(f"/api/filters/{number}"))
    ok(admin.post(f"/api/groups/{one.group}/streams", json={"stream_id": other.stream}))
    ok(one.session.get(f"/api/filters/{number}"))


# -- one candidate


def test_passages(one: Night) -> None:
    first = one.post("Passages", passing_alert_id=7)
    again = {"id": "Passages", "filter_ids": [one.filter], "passed_at": "2023-03-20"}
    refused(one.session.post("/api/candidates", json=again), 400, "already")
    again["passed_at"] = "2023-03-21T01:00:00+01:00"
    second = ok(one.session.post("/api/candidates/", json=again))
    assert len({*first, *second["ids"]}) == 2
    row = ok(one.session.get("/api/candidates/Passages", params={"includeAlerts": "T"}))
    assert row["filter_ids"] == [one.filter]
    assert [(found["passing_alert_id"], found["passed_at"]) for found in row["passing_alerts"]] == [
        (None, "2023-03-21T00:00:00"), (7, "2023-03-20T00:00:00")]
    assert one.names() == ["Passages"]


def test_one_of_many_uploads_at_once(api: Api, one: Night) -> None:
    body = {"id": "Race", "ra": 1.0, "dec": 1.0, "filter_ids": [one.filter], "passed_at": "2023-01-01"}
    headers = dict(one.session.headers)

    def upload(_: int) -> int:
        return requests.post(f"{api.url}/api/candidates", json=body, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(upload, range(8)))
    assert sorted(codes) == [200] + [400] * 7
    row = ok(one.session.get("/api/candidates/Race", params={"includeAlerts": "true"}))
    assert len(row["passing_alerts"]) == 1


@pytest.mark.parametrize("change", [
    {"id": None}, {"passed_at": None}, {"passed_at": "soon"}, {"filter_ids": None}, {"filter_ids": []},
    {"filter_ids": [UNKNOWN]}, {"filter_ids": "1"}, {"ra": None}, {"dec": None}, {"ra": 360}, {"dec": -90.5},
    {"what": 1}, {"comments": ["x"]}, {"photometry": {"a": 1}}, {"passing_alert_id": "x"}])
def test_bad_candidates(one: Night, change: dict[str, Any]) -> None:
    body = {"id": "Bad", "ra": 1.0, "dec": 1.0, "filter_ids": [one.filter], "passed_at": "2023-01-01"}
    refused(one.session.post("/api/candidates", json={**body, **change}))
    missing = {name: value for name, value in body.items() if name not in change}
    if len(missing) < len(body):
        refused(one.session.post("/api/candidates", json=missing))
    refused(one.session.get("/api/sources/Bad"))


def test_empty_relations_are_ignored(one: Night) -> None:
    one.post("Relations", comments=[], host=None, users=[])
    one.post("NorthPole", ra=359.9999, dec=90)
    assert set(one.names()) == {"Relations", "NorthPole"}


def test_delete(one: Night) -> None:
    one.post("Gone")
    one.post("Gone", passed_at="2024-01-01")
    refused(one.session.delete("/api/candidates/Gone"), 400, "filter_id is required")
    assert one.session.head("/api/candidates/Gone").status_code == 200
    ok(one.session.delete(f"/api/candidates/Gone/{one.filter}"))
    assert one.session.head("/api/candidates/Gone").status_code == 404
    refused(one.session.delete(f"/api/candidates/Gone/{one.filter}"))


def test_distances_by_measurement(one: Night) -> None:
    one.post("Near", altdata={"dm": 25.0})
    row = ok(one.session.get("/api/candidates/Near"))
    assert (row["luminosity_distance"], row["dm"]) == (pytest.approx(1.0), pytest.approx(25.0))
    one.post("Slow", redshift=0.001)
    assert ok(one.session.get("/api/candidates/Slow"))["luminosity_distance"] is None


# -- the list


def test_default_order_and_shape(one: Night) -> None:
    one.post("B", passed_at="2023-01-02")
    one.post("A", passed_at="2023-01-02")
    one.post("C", passed_at="2023-01-01")
    one.post("D", passed_at="2023-01-03")
    page = one.page()
    assert [row["id"] for row in page["candidates"]] == ["D", "A", "B", "C"]
    assert (page["totalMatches"], page["pageNumber"], page["numPerPage"]) == (4, 1, 500)
    assert one.page(numPerPage=100_000)["numPerPage"] == 500
    assert one.page(numPerPage="null")["numPerPage"] == 25


def test_pages_are_a_partition_while_more_comes(one: Night) -> None:
    for number in range(7):
        one.post(f"Page{number}", passed_at=f"2023-01-0{number + 1}")
    first = one.page(numPerPage=3)
    one.post("Later", passed_at="2024-01-01")
    rest = [one.page(numPerPage=3, pageNumber=n, totalMatches=7, queryID=first["queryID"]) for n in (2, 3)]
    bare = [one.page(numPerPage=3, pageNumber=n) for n in (2, 3)]  # a client that knows no queryID
    found = [[row["id"] for row in page["candidates"]] for page in (first, *rest)]
    assert sorted(name for names in found for name in names) == [f"Page{number}" for number in range(7)]
    assert found[1:] == [[row["id"] for row in page["candidates"]] for page in bare]
    assert one.names()[0] == "Later"
    assert one.page(queryID="nobody-knows", totalMatches="None")["totalMatches"] == 8


def test_a_kept_list_shows_nothing_that_is_gone(one: Night) -> None:
    for number in range(4):
        one.post(f"Kept{number}")
    first = one.page(numPerPage=2)
    ok(one.session.delete(f"/api/candidates/Kept3/{one.filter}"))
    page = one.page(numPerPage=2, pageNumber=2, queryID=first["queryID"])
    assert [row["id"] for row in page["candidates"]] == ["Kept2"]


def test_a_kept_list_is_its_owners(one: Night, other: Night) -> None:
    one.post("Mine")
    taken = one.page()["queryID"]
    page = other.page(queryID=taken)
    assert (page["candidates"], page["totalMatches"]) == ([], 0)


@pytest.mark.parametrize("params", [
    {"pageNumber": 0}, {"pageNumber": -1}, {"pageNumber": "two"}, {"numPerPage": 0}, {"numPerPage": "x"},
    {"pageNumber": 2}, {"savedStatus": "maybe"}, {"groupIDs": "a"}, {"groupIDs": "1,,2"},
    {"filterIDs": "1.5"},
    {"filterIDs": str(UNKNOWN)}, {"groupIDs": str(UNKNOWN)}, {"startDate": "soon"}, {"endDate": "2023-13-01"},
    {"startDate": "2023-02-01", "endDate": "2023-01-01"}, {"minRedshift": "far"}, {"maxRedshift": "nan"},
    {"annotationFilterList": "{"}, {"annotationFilterList": '{"origin": "x"}'},
    {"annotationFilterList": '{"origin": "x", "key": "y"}'}, {"annotationFilterList": "1"},
    {"annotationFilterList": '{"origin": "x", "key": "y", "min": "a"}'},
    {"photometryAnnotationsFilter": "drb: high: lt"}, {"photometryAnnotationsFilter": "drb: 1: like"},
    {"photometryAnnotationsFilter": "drb: 1"}, {"photometryAnnotationsFilterMinCount": "x"},
    {"photometryAnnotationsFilterAfter": "x"}, {"sortByAnnotationOrigin": "x", "sortByAnnotationOrder": "up"},
    {"localizationDateobs": "2001-01-01T00:00:00"}, {"localizationDateobs": "never"},
    {"localizationName": "x"}, {"localizationDateobs": "2001-01-01", "localizationCumprob": 1.5},
    {"localizationCumprob": "most"}, {"totalMatches": "x"}, {"numberDetections": "x"},
    {"firstDetectionAfter": "2023-02-01", "lastDetectionBefore": "2023-01-01"},
    {"annotationExcludeOrigin": "x", "annotationExcludeOutdatedDate": "x"},
    {"autosave": "true", "autosaveGroupIds": str(UNKNOWN)}, {"autosave": "true", "autosaveGroupIds": "x"}],
    ids=str)
def test_bad_queries(one: Night, params: dict[str, Any]) -> None:
    refused(one.session.get("/api/candidates", params=params))


@pytest.mark.parametrize("word", ["", "null", "undefined", "None"])
def test_words_for_nothing(one: Night, word: str) -> None:
    one.post("Word")
    names = ("startDate", "endDate", "groupIDs", "savedStatus", "minRedshift", "localizationDateobs")
    assert one.names(**dict.fromkeys(names, word)) == ["Word"]


def test_groups_filters_and_dates(one: Night, other: Night, admin: Session) -> None:
    one.post("Old", passed_at="2022-01-01")
    one.post("New", passed_at="2023-01-01T12:00:00")
    other.post("Foreign")
    assert one.names(groupIDs=one.group) == one.names(filterIDs=one.filter) == ["New", "Old"]
    assert one.names(startDate="2022-06-01") == ["New"]
    assert one.names(startDate="2022-01-01", endDate="2022-01-01") == ["Old"]
    assert one.names(endDate="2021-01-01") == []
    both = ok(admin.get("/api/candidates", params={"filterIDs": f"{one.filter},{other.filter}"}))
    assert {row["id"] for row in both["candidates"]} == {"Old", "New", "Foreign"}
    refused(one.session.get("/api/candidates", params={"filterIDs": f"{one.filter},{other.filter}"}))


def test_redshift(one: Night) -> None:
    for name, redshift in (("Z1", 0.1), ("Z5", 0.5), ("Z", None)):
        one.post(name, redshift=redshift)
    assert one.names(minRedshift=0.05, maxRedshift=0.2) == ["Z1"]
    assert one.names(minRedshift=0.1) == ["Z1", "Z5"]
    assert one.names(maxRedshift=0.05) == []


def test_saved_status(one: Night, other: Night, admin: Session) -> None:
    for name in ("Both", "First", "None"):
        one.post(name)
    user = ok(one.session.get("/api/internal/profile"))["id"]
    ok(admin.post(f"/api/groups/{other.group}/users", json={"userID": user}))
    ok(one.session.post("/api/sources", json={"id": "Both", "group_ids": [one.group, other.group]}))
    ok(one.session.post("/api/sources", json={"id": "First", "group_ids": [one.group]}))
    both = {"filterIDs": one.filter, "groupIDs": f"{one.group},{other.group}"}

    def names(status: str, **more: Any) -> set[str]:
        return set(one.names(savedStatus=status, **more))

    assert names("all") == {"Both", "First", "None"}
    assert names("savedToAllSelected", **both) == {"Both"}
    assert names("savedToAnySelected", **both) == {"Both", "First"}
    assert names("notSavedToAllSelected", **both) == {"First", "None"}
    assert names("notSavedToAnySelected", **both) == {"None"}
    assert names("savedToAnyAccessible") == {"Both", "First"}
    assert names("notSavedToAnyAccessible") == {"None"}
    assert names("savedToAllSelected", groupIDs=one.group) == {"Both", "First"}


def test_autosave_needs_the_right(one: Night, api: Api) -> None:
    one.post("Auto")
    word = ok(one.session.post("/api/internal/tokens", json={"name": "r", "acls": []}))["id"]
    reader = api.anonymous()
    reader.headers["Authorization"] = f"token {word}"
    refused(reader.get("/api/candidates", params={"autosave": "true"}), 401)
    assert not one.page()["candidates"][0]["is_source"]
    assert [row["is_source"] for row in ok(reader.get("/api/candidates"))["candidates"]] == [False]
    one.page(autosave="yes", autosaveGroupIds=one.group)
    row = one.page()["candidates"][0]
    assert (row["is_source"], [group["id"] for group in row["saved_groups"]]) == (True, [one.group])


def test_annotations(one: Night, other: Night, admin: Session) -> None:
    values = {"N1": {"m": 1, "t": "x"}, "N2": {"m": 2.5}, "N3": {"t": "x"}, "N4": None}
    for name, data in values.items():
        one.post(name)
        if data is not None:
            note = {"origin": "gaia", "data": data, "group_ids": [one.group]}
            ok(one.session.post(f"/api/sources/{name}/annotations", json=note))
    hidden = {"origin": "gaia", "data": {"m": 99}, "group_ids": [other.group]}
    ok(other.session.post("/api/sources/N4/annotations", json=hidden))

    def filtered(*tests: dict[str, Any]) -> list[str]:
        texts = [json.dumps({"origin": "gaia", **test}) for test in tests]
        return one.names(annotationFilterList=",".join(texts))

    assert filtered({"key": "m", "min": 1, "max": 2}) == ["N1"]
    assert filtered({"key": "m", "min": 2}) == ["N2"]
    assert filtered({"key": "t", "value": "x"}) == ["N1", "N3"]
    assert filtered({"key": "t", "value": "x"}, {"key": "m", "max": 5}) == ["N1"]
    assert filtered({"key": "m", "value": 2.5}) == ["N2"]
    sort = {"sortByAnnotationOrigin": "gaia", "sortByAnnotationKey": "m"}
    assert one.names(**sort) == ["N1", "N2", "N3", "N4"]
    assert one.names(**sort, sortByAnnotationOrder="desc") == ["N2", "N1", "N3", "N4"]
    assert one.names(annotationExcludeOrigin="gaia") == ["N4"]
    assert one.names(annotationExcludeOrigin="gaia", annotationExcludeOutdatedDate="2099-01-01") == [
        "N1", "N2", "N3", "N4"]
    assert one.names(annotationExcludeOrigin="gaia", annotationExcludeOutdatedDate="2020-01-01") == ["N4"]


def test_personal_lists(one: Night, other: Night) -> None:
    for name in ("L1", "L2"):
        one.post(name)
    ok(one.session.post("/api/listing", json={"obj_id": "L1", "list_name": "favorites"}))
    refused(one.session.post("/api/listing", json={"obj_id": "L1", "list_name": "favorites"}))
    refused(one.session.post("/api/listing", json={"obj_id": "nobody", "list_name": "favorites"}))
    ok(other.session.post("/api/listing", json={"obj_id": "L2", "list_name": "favorites"}))
    assert one.names(listName="favorites") == ["L1"]
    assert one.names(listNameReject="favorites") == ["L2"]
    entry = ok(one.session.get("/api/listing"))[0]["id"]
    refused(other.session.delete(f"/api/listing/{entry}"))
    ok(one.session.delete(f"/api/listing/{entry}"))
    assert one.names(listName="favorites") == []


def test_region(one: Night, admin: Session) -> None:
    when = "2021-06-01T01:02:03"
    cone = {"ra": 0.1, "dec": -5.0, "error": 1.0}
    ok(admin.post("/api/gcn_event", json={"dateobs": when, "skymap": cone}))
    for name, ra, dec in (("In", 359.5, -5.0), ("Edge", 0.1, -3.2), ("Out", 180.0, 5.0)):
        one.post(name, ra=ra, dec=dec)
    assert one.names(localizationDateobs=when, localizationCumprob=0.5) == ["In"]
    assert one.names(localizationDateobs=when) == ["Edge", "In"]
    assert "Out" not in one.names(localizationDateobs=when, localizationCumprob=0.999)
    both = {"localizationDateobs": when, "firstDetectionAfter": "2021-01-01"}
    late = {**both, "lastDetectionBefore": "2021-03-01"}
    refused(one.session.get("/api/candidates", params=late), 400, "31")
    assert one.names(**both, lastDetectionBefore="2021-01-20") == []
    levels = ok(one.session.get("/api/candidates/In"))["localizations"]
    assert levels
