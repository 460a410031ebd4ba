"""The desk from the API to its pages: a scan that ends, what lies inside, and what a shifter does with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from scanner.maps.level_sets import default_levels
from scanner.maps.result import ScanMetadata, ScanResult
from scanner.maps.skymap import SkyMap
from server.desk.maps.tiles import Tiles
from server.scans.results.maps import result_text
from tests.support.api import Api, Session, running_server
from tests.support.outside import Outside, running_services
from tests.support.scans import made_up_map, scan_body, wait_for

pytestmark = pytest.mark.slow

TREE = {"class": "Counterpart", "subclasses": [{"class": "Blazar"}, {"class": "TDE"}]}
RESULT = ScanResult(made_up_map("4:0,16:12"), ScanMetadata(136000, 42, "neutrino", 60017.25, True), True)
TILES = Tiles.of_scan(SkyMap.from_results(RESULT.pixels), default_levels(""))
BEST = TILES.best


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with running_services() as services:
        yield services


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, outside: Outside) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("desk"), outside.settings()) as server:
        yield server


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("admin", "user", "system", username="ada", groups=("observers",))


@pytest.fixture(scope="module")
def viewer(api: Api) -> Session:
    return api.session("nobody", username="vera", groups=())


def ok(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "success"
    return answer.json()["data"]


def refused(answer: requests.Response, code: int, text: str) -> None:
    assert answer.status_code == code, answer.text
    assert text in answer.json()["message"]


@pytest.fixture(scope="module")
def filter_id(admin: Session) -> int:
    """A filter that selects galaxies inside finished scans."""
    groups = ok(admin.get("/api/groups"))["user_groups"]
    group = next(one["id"] for one in groups if one["name"] == "observers")

    def scans() -> list[int]:
        return [one["id"] for one in ok(admin.get("/api/streams")) if one["name"] == "scans"]

    if not scans():
        ok(admin.post("/api/streams", json={"name": "scans"}))
    ok(admin.post(f"/api/groups/{group}/streams", json={"stream_id": scans()[0]}))
    body = {"name": "near", "stream_id": scans()[0], "group_id": group,
            "altdata": {"catalog": "mine", "cumprob": 0.9, "max_distance": 100.0}}
    ok(admin.post("/api/taxonomy", json={"name": "ours", "version": "1", "hierarchy": TREE,
                                         "group_ids": [group]}))
    return int(ok(admin.post("/api/filters", json=body))["id"])


@pytest.fixture(scope="module")
def scan_id(admin: Session, filter_id: int) -> str:
    """A finished scan whose map lies over three galaxies: near, far away on the sky, far away in space."""
    away = (BEST[0] + 180) % 360
    table = (f"name,ra,dec,distmpc\ninside,{BEST[0]},{BEST[1]},40\noutside,{away},{-BEST[1]},40\n"
             f"distant,{BEST[0]},{BEST[1]},4000\n")
    ok(admin.post("/api/galaxy_catalog/ascii", json={"catalogName": "mine", "catalogData": table}))
    wait_for(lambda: ok(admin.get("/api/galaxy_catalog?catalog_name=mine"))["totalMatches"] == 3, "galaxies")
    scan = str(admin.post("/scan", json=scan_body(reco_algo="outside")).json()["scan_id"])
    body = b'{"is_final": true, "skyscan_result": ' + result_text(RESULT) + b"}"
    answer = admin.put(f"/scan/{scan}/result", data=body)
    assert answer.status_code == 200, answer.text
    wait_for(lambda: bool(localizations(admin, scan)), "the localization")
    return scan


def localizations(session: Session, name: str) -> list[dict[str, Any]]:
    rows = ok(session.get("/api/gcn_event?numPerPage=500"))["events"]
    found = [ok(session.get(f"/api/gcn_event/{one['dateobs']}"))["localizations"] for one in rows]
    return [one for some in found for one in some if one["localization_name"] == name]


def region(admin: Session, scan_id: str, **more: str) -> dict[str, str]:
    row = localizations(admin, scan_id)[0]
    return {"localizationDateobs": row["dateobs"], "localizationName": scan_id, **more}


# -- the API


def test_a_finished_scan_is_a_localization(admin: Session, scan_id: str) -> None:
    row, = localizations(admin, scan_id)
    assert row["scan_id"] == scan_id
    assert row["dateobs"].startswith("2023-03-14T06:00:00")
    data = ok(admin.get(f"/api/localization/{row['dateobs']}/name/{scan_id}?include2DMap=true"))
    assert data["uniq"] == TILES.uniq.tolist()
    assert not {"blob", "cells", "version"} & set(data)


def test_the_filter_selected_what_is_inside(admin: Session, scan_id: str, filter_id: int) -> None:
    def names() -> list[str]:
        query = region(admin, scan_id, localizationCumprob="0.9", filterIDs=str(filter_id))
        return [one["id"] for one in ok(admin.get("/api/candidates", params=query))["candidates"]]

    wait_for(lambda: names() == ["inside"], "the candidate")
    one = ok(admin.get("/api/candidates/inside?includeAlerts=true"))
    assert one["passing_alerts"][0]["passing_alert_id"] == 136000 * 10**6 + 42
    assert [level["name"] for level in one["localizations"]] == [scan_id]
    assert one["host_id"] is not None


def test_galaxies_inside_a_region(admin: Session, scan_id: str) -> None:
    query = region(admin, scan_id, localizationCumprob="0.9")
    found = ok(admin.get("/api/galaxy_catalog", params=query))
    assert (found["totalMatches"], {one["name"] for one in found["galaxies"]}) == (2, {"inside", "distant"})
    calibrated = {**query, "localizationName": f"{scan_id}:calibrated", "maxDistance": "50"}
    found = ok(admin.get("/api/galaxy_catalog", params=calibrated))
    assert [one["name"] for one in found["galaxies"]] == ["inside"]


@pytest.mark.parametrize(("query", "text"), [
    ("localizationDateobs=2001-01-01", "localization"), ("localizationName=x", "localizationDateobs"),
    ("localizationDateobs=soon", "localizationDateobs"), ("localizationCumprob=2", "localizationCumprob"),
    ("localizationCumprob=nan", "localizationCumprob"), ("minDistance=x", "distmpc"),
    ("pageNumber=0", "page"),
    ("pageNumber=99", "Page number out of range"), ("numPerPage=x", "numPerPage"),
])  # fmt: skip
def test_bad_questions_about_galaxies(admin: Session, query: str, text: str) -> None:
    refused(admin.get(f"/api/galaxy_catalog?{query}"), 400, text)


SKYMAPS: list[tuple[Any, str]] = [
    ({"ra": 1}, "localization_name"), ({"ra": 361, "dec": 0, "error": 1}, "ra"), ("####", "base64"),
    ({"ra": "x", "dec": 0, "error": 1}, "skymap.ra"), ({"ra": 1, "dec": 0, "error": 0}, "error"),
    ({"localization_name": "x", "uniq": [4, 4], "probdensity": [1, 1]}, "overlap"),
    ({"localization_name": "x", "uniq": "4", "probdensity": [1]}, "skymap.uniq"),
    ({"localization_name": "x:calibrated", "uniq": [4], "probdensity": [1]}, "calibrated"),
    ("bm8gZmlsZQ==", "localization_name"),
]


@pytest.mark.parametrize(("sky", "text"), SKYMAPS, ids=lambda value: str(value)[:40])
def test_bad_sky_maps(admin: Session, sky: Any, text: str) -> None:
    refused(admin.post("/api/gcn_event", json={"dateobs": "2023-01-01", "skymap": sky}), 400, text)


@pytest.mark.parametrize("path", [
    "/api/filters", "/api/taxonomy", "/api/telescope", "/api/instrument", "/api/streams", "/api/listing",
    "/api/internal/tokens", "/api/sources/inside/annotations",
])  # fmt: skip
def test_short_lists_have_pages(admin: Session, scan_id: str, path: str) -> None:
    whole = ok(admin.get(path))
    assert ok(admin.get(f"{path}?numPerPage=1")) == whole[:1]
    assert ok(admin.get(f"{path}?numPerPage=1&pageNumber=2")) == whole[1:2]
    refused(admin.get(f"{path}?numPerPage=0"), 400, "numPerPage")
    refused(admin.get(f"{path}?pageNumber=x"), 400, "pageNumber")


def test_a_polygon_from_outside(admin: Session, viewer: Session) -> None:
    sky = {"polygon": [[10, -1], [12, -1], [12, 1], [10, 1]], "localization_name": "field"}
    ok(admin.post("/api/gcn_event", json={"dateobs": "2022-02-03", "skymap": sky}))
    data = ok(viewer.get("/api/localization/2022-02-03/name/field"))
    assert data["area_90"] == pytest.approx(4.0, rel=0.02)
    for bad, text in (([[1, 2]], "corners"), ("POLYGON ICRS a", "no number"), ({}, "list of corners")):
        body = {"dateobs": "2022-02-03", "skymap": {**sky, "polygon": bad}}
        refused(admin.post("/api/gcn_event", json=body), 400, text)


def test_an_event_from_outside(admin: Session, viewer: Session) -> None:
    body = {"dateobs": "2022-02-02T02:02:02", "tags": ["GRB"],
            "skymap": {"ra": 0.0, "dec": 90.0, "error": 1.0}}
    first = ok(admin.post("/api/gcn_event", json=body))
    assert ok(admin.post("/api/gcn_event", json=body)) == first
    data = ok(viewer.get("/api/localization/2022-02-02T02:02:02/name/0.00000_90.00000_1.00000"))
    assert data["area_90"] == pytest.approx(14.47, rel=0.02)
    refused(viewer.post("/api/gcn_event", json=body), 401, "Manage GCNs")
    refused(admin.get("/api/localization/2022-02-02T02:02:02/name/other"), 400, "other")
    refused(admin.get("/api/gcn_event/2001-01-01"), 400, "no event")


VOEVENT = """<?xml version='1.0'?><voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0"
 ivorn="ivo://there/$alert#1" role="test"><What><Param name="src_error_50" value="0.5"/></What><WhereWhen>
<ISOTime>2022-03-03T03:03:03.5</ISOTime><C1>10.0</C1><C2>20.0</C2><Error2Radius>0.5</Error2Radius>
</WhereWhen></voe:VOEvent>"""
GCN = {"$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/there.schema.json",
       "event_name": ["$here", "a$b"], "$ref": {"$where": 1}, "trigger_time": "2022-04-04T04:04:04.25Z",
       "ra": 10.0, "dec": 20.0, "ra_dec_error": [1.0, 0.5, 30.0]}


def test_an_event_from_a_voevent(admin: Session, viewer: Session) -> None:
    made = ok(admin.post("/api/gcn_event", json={"xml": VOEVENT, "tags": ["mine"]}))
    event = ok(viewer.get(f"/api/gcn_event/{made['dateobs']}"))
    assert event["aliases"] == ["ivo://there/$alert#1"]
    assert sorted(event["tags"]) == ["mine", "test"]
    assert event["localizations"][0]["localization_name"] == "10.00000_20.00000_0.50000_0.5"
    assert event["localizations"][0]["area_50"] == pytest.approx(0.785, rel=0.02)


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_event_from_a_notice_in_json(admin: Session, viewer: Session, wrapped: bool) -> None:
    made = ok(admin.post("/api/gcn_event", json={"json": GCN} if wrapped else GCN))
    event = ok(viewer.get(f"/api/gcn_event/{made['dateobs']}"))
    assert made["dateobs"].startswith("2022-04-04T04:04:04.25")
    assert sorted(event["aliases"]) == ["$here", "a$b"]
    row, = event["localizations"]
    assert row["area_90"] == pytest.approx(1.571, rel=0.02)
    path = f"/api/localization/{made['dateobs']}/name/{row['localization_name']}"
    assert ok(viewer.get(path))["id"] == row["id"]


@pytest.mark.parametrize(("body", "text"), [
    ({}, "one of dateobs, xml and json"), ({"dateobs": "2022-01-01", "xml": "<a/>"}, "dateobs and xml"),
    ({"xml": "<a/>"}, "not a VOEvent"), ({"json": {"id": "x"}}, "trigger_time"),
    ({**GCN, "ra_dec_error": ["x"]}, "error"), ({**GCN, "ra_dec_error": [1, 1, 1, 1]}, "up to 3 numbers"),
    ({**GCN, "containment_probability": 2}, "containment_probability"), ({**GCN, "ra": 400.0}, "ra must be"),
    ({**GCN, "trigger_time": "soon"}, "dateobs"), ({**GCN, "healpix_file": 5}, "healpix_file"),
    ({**GCN, "healpix_file": "####"}, "base64"),
], ids=lambda value: str(value)[-40:])  # fmt: skip
def test_bad_notices(admin: Session, body: dict[str, Any], text: str) -> None:
    refused(admin.post("/api/gcn_event", json=body), 400, text)


def test_host(admin: Session, viewer: Session, scan_id: str) -> None:
    ok(admin.post("/api/sources", json={"id": "host-test", "ra": 1.0, "dec": 2.0}))
    ok(admin.post("/api/sources/host-test/host", json={"galaxyName": "distant"}))
    host = ok(admin.get("/api/sources/host-test"))["host_id"]
    galaxy, = ok(admin.get("/api/galaxy_catalog?galaxyName=distant"))["galaxies"]
    assert host == galaxy["id"]
    ok(admin.delete("/api/sources/host-test/host"))
    assert ok(admin.get("/api/sources/host-test"))["host_id"] is None
    refused(viewer.post("/api/sources/host-test/host", json={"galaxyName": "distant"}), 401, "Upload data")


def test_allocations_hide_their_secret(admin: Session, filter_id: int) -> None:
    group = ok(admin.get("/api/filters"))[0]["group_id"]
    telescope = ok(admin.post("/api/telescope", json={"name": "T", "nickname": "T"}))["id"]
    instrument = ok(admin.post("/api/instrument", json={"name": "I", "telescope_id": telescope}))["id"]
    body = {"group_id": group, "instrument_id": instrument, "hours_allocated": 5,
            "_altdata": '{"access_token": "hidden-word"}'}
    number = ok(admin.post("/api/allocation", json=body))["id"]
    ok(admin.put(f"/api/allocation/{number}", json={"hours_allocated": 7, "requests": []}))
    answer = admin.get(f"/api/allocation/{number}")
    assert ok(answer)["hours_allocated"] == 7
    assert "hidden-word" not in answer.text
    assert "secret" not in answer.text
    refused(admin.post("/api/allocation", json={**body, "_altdata": "no json"}), 400, "_altdata")
    refused(admin.put(f"/api/allocation/{number}", json={"group_id": 999999}), 400, "group")
    ok(admin.delete(f"/api/allocation/{number}"))
    refused(admin.get(f"/api/allocation/{number}"), 400, "no allocation")


def test_finder(admin: Session) -> None:
    answer = admin.get("/api/unsourced_finder?location_type=pos&ra=150&dec=2.2")
    assert answer.content.startswith(b"%PDF")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "attachment" in answer.headers["Content-Disposition"]
    refused(admin.get("/api/unsourced_finder?location_type=pos&ra=east&dec=2.2"), 400, "ra")


# -- the pages


@pytest.fixture(scope="module")
def browser(api: Api) -> Session:
    session = api.anonymous()
    session.cookies.set("iceprod_session", api.token("admin", "user", username="ada", groups=("observers",)))
    return session


def test_from_the_scan_to_its_candidates(browser: Session, scan_id: str, filter_id: int) -> None:
    assert f"/web/desk/scans/{scan_id}" in browser.get(f"/web/scans/{scan_id}").text
    page = browser.get(f"/web/desk/scans/{scan_id}")
    assert page.status_code == 200
    assert "inside" in page.text
    assert "<svg" in page.text
    assert 'href="#candidate-1"' in page.text
    assert scan_id in browser.get("/web/desk").text


def act(browser: Session, path: str, name: str, **fields: object) -> str:
    answer = browser.post(f"/web/desk/objects/{name}", data={**fields, "back": path})
    assert answer.status_code == 200, answer.text[-500:]
    return answer.text


def test_what_a_shifter_does(browser: Session, scan_id: str, filter_id: int, outside: Outside) -> None:
    path = browser.get(f"/web/desk/scans/{scan_id}").url.removeprefix(browser.url)
    chosen = re.search(r'<option value="(\d+:Blazar)"', browser.get(path).text)
    assert chosen
    page = act(browser, path, "inside", action="classify", **{"class": chosen[1]})
    assert "inside is classified as Blazar" in page
    number = re.search(r'name="classification" value="(\d+)"', page)
    assert number
    page = act(browser, path, "inside", action="vote", classification=number[1], vote=-1)
    assert "ada, -1" in page
    assert ">favorite<" in act(browser, path, "inside", action="favorite")
    assert ">saved<" in act(browser, path, "inside", action="save")
    page = act(browser, path, "inside", action="reject")
    assert "No candidate of these filters" in page
    assert ">rejected<" in browser.get(f"{path}?rejected=yes").text
    act(browser, path, "inside", action="forget", list="rejected_candidates")
    page = act(browser, path, "distant", action="candidate", filter=filter_id, map=path.rpartition("/")[2])
    assert 'href="#candidate-2"' in page


def test_the_page_of_an_object(browser: Session, scan_id: str, filter_id: int, outside: Outside) -> None:
    path = browser.get(f"/web/desk/scans/{scan_id}").url.removeprefix(browser.url)
    assert 'href="/web/desk/objects/inside"' in browser.get(path).text
    page = browser.get("/web/desk/objects/inside").text
    assert f'<a href="{path}">run 136000, event 42' in page, "the map that holds it"
    assert f"{BEST[0]:.5f}° {BEST[1]:+.5f}°" in page
    assert "inside (mine)" in page, "the host"
    assert ">near<" in page, "the filter"
    assert "No photometry." in page
    chosen = re.search(r'<option value="(\d+:TDE)"', page)
    assert chosen
    here = "/web/desk/objects/inside"
    page = act(browser, here, "inside", action="classify", **{"class": chosen[1]})
    assert "inside is classified as TDE" in page
    assert "1 votes, +1" in page
    number = re.findall(r'name="classification" value="(\d+)"', page)[-1]
    assert "0 votes, +0" in act(browser, here, "inside", action="withdraw", classification=number)


def test_an_object_without_a_position(admin: Session, browser: Session, scan_id: str) -> None:
    ok(admin.post("/api/sources", json={"id": "no place <b>", "summary": "<script>"}))
    page = browser.get("/web/desk/objects/no%20place%20%3Cb%3E")
    assert page.status_code == 200
    assert "no position" in page.text
    assert "<b>" not in page.text
    assert "&lt;script&gt;" in page.text


def test_finding_charts_of_the_page(browser: Session, scan_id: str) -> None:
    path = f"/web/desk/finder?ra={BEST[0]}&dec={BEST[1]}&type=png"
    assert browser.get(path).content.startswith(b"\x89PNG")
    assert browser.get(f"{path}&image_source=skymap").content.startswith(b"\x89PNG")


def test_the_chart_on_the_map_is_of_this_map(browser: Session, admin: Session, scan_id: str) -> None:
    """A later map of the same place does not come instead."""
    later = {"dateobs": "2024-02-02T02:02:02", "skymap": {"ra": BEST[0], "dec": BEST[1], "error": 9.0}}
    ok(admin.post("/api/gcn_event", json=later))
    row, = localizations(admin, scan_id)
    page = browser.get(f"/web/desk/scans/{scan_id}").text
    assert f"map={row['localization_name']}" in page
    chart = "/web/desk/finder?ra={}&dec={}&type=png&image_source=skymap".format(*BEST)
    of_this = browser.get(f"{chart}&dateobs={row['dateobs']}&map={row['localization_name']}")
    assert of_this.content.startswith(b"\x89PNG")
    assert of_this.content != browser.get(f"{chart}&dateobs=2024-02-02T02:02:02").content
    assert browser.get(f"{chart}&dateobs=1999-01-01T00:00:00&map=none").status_code == 400


def test_a_catalogue_that_is_away_is_no_dead_end(browser: Session, scan_id: str, outside: Outside,
                                                 filter_id: int) -> None:
    path = browser.get(f"/web/desk/scans/{scan_id}").url.removeprefix(browser.url)
    outside.fault = "error"
    try:
        answer = browser.post("/web/desk/objects/inside",
                              data={"action": "match", "service": "vizier", "back": path})
    finally:
        outside.fault = ""
    assert answer.url.endswith(path)
    assert 'role="alert"' in answer.text
    assert "Nothing was changed; try again in a while." in answer.text
    assert "urlopen" not in answer.text


def test_what_an_archive_does_not_know_is_an_answer(browser: Session, admin: Session, scan_id: str,
                                                    filter_id: int) -> None:
    path = browser.get(f"/web/desk/scans/{scan_id}").url.removeprefix(browser.url)
    asked = {"action": "match", "service": "irsa", "back": path}
    answer = browser.post("/web/desk/objects/inside", data=asked)
    assert answer.url.endswith(path)
    assert "inside: No WISE Photometry available." in answer.text


def test_errors_lead_back(browser: Session, scan_id: str) -> None:
    here = browser.get(f"/web/desk/scans/{scan_id}").url
    missing = browser.get("/web/desk/objects/nothing", headers={"Referer": here})
    assert f'href="{here.removeprefix(browser.url)}"' in missing.text
    foreign = browser.get("/web/desk/objects/nothing", headers={"Referer": "https://elsewhere.example/web/x"})
    assert "elsewhere" not in foreign.text


def test_keys_that_are_pressed_twice_are_no_error(browser: Session, scan_id: str, filter_id: int) -> None:
    path = "/web/desk/objects/inside"
    for _ in range(2):
        assert ">favorite<" in act(browser, path, "inside", action="favorite")
    act(browser, path, "inside", action="forget", list="favorites")


def test_comments(api: Api, browser: Session, scan_id: str, filter_id: int) -> None:
    path = browser.get(f"/web/desk/scans/{scan_id}").url.removeprefix(browser.url)
    page = act(browser, path, "inside", action="comment", text="  blue <b>and</b>\nnuclear ")
    assert "Your comment on inside is kept." in page
    assert "“blue &lt;b&gt;and&lt;/b&gt;\nnuclear”" in page
    of_object = browser.get("/web/desk/objects/inside").text
    number = re.search(r'name="comment" value="(\d+)"', of_object)
    assert number
    stranger = api.anonymous()
    stranger.cookies.set("iceprod_session", api.token("user", username="eve", groups=("others",)))
    assert "nuclear" not in stranger.get("/web/desk/objects/inside").text
    gone = {"action": "take back", "comment": number[1]}
    assert stranger.post("/web/desk/objects/inside", data=gone).status_code == 400
    assert "nuclear" not in act(browser, "/web/desk/objects/inside", "inside", **gone)
    for text in ("", "  ", "x" * 5001):
        answer = browser.post("/web/desk/objects/inside", data={"action": "comment", "text": text})
        assert (answer.status_code, "text: " in answer.text) == (400, True)


def test_candidates_stand_by_probability(browser: Session, admin: Session, scan_id: str,
                                         filter_id: int) -> None:
    away = {"id": "a later one", "ra": BEST[0], "dec": BEST[1] + 5.0, "filter_ids": [filter_id],
            "passed_at": "2030-01-01T00:00:00"}
    ok(admin.post("/api/candidates", json=away))
    path = browser.get(f"/web/desk/scans/{scan_id}").url

    def names(query: str) -> list[str]:
        found = re.findall(r'<tr id="candidate-\d+" data-row-key="([^"]+)"', browser.get(path + query).text)
        return [name for name in found if name in ("inside", "a later one")]

    assert names("?region=99") == ["inside", "a later one"]
    assert names("?region=99&sort=passed") == ["a later one", "inside"]
    assert names("?region=99&sort=name") == ["a later one", "inside"]
    assert browser.get(path + "?sort=x").status_code == 400


def test_fields_that_nobody_filled_in_are_no_error(browser: Session, scan_id: str, filter_id: int) -> None:
    path = browser.get(f"/web/desk/scans/{scan_id}").url
    answer = browser.get(f"{path}?region=90&filter=&rejected=&sort=level&page=")
    assert answer.status_code == 200
    assert "inside" in answer.text
    assert browser.get(f"{path}?filter=x").status_code == browser.get(f"{path}?rejected=x").status_code == 400


def test_the_list_of_events(browser: Session, admin: Session, scan_id: str) -> None:
    body = {"dateobs": "2023-12-02T05:13:44", "aliases": ["IceCube-231202A"], "tags": ["gold"]}
    for name, error in (("first", 0.5), ("second", 0.4)):
        sky = {"ra": 83.2, "dec": -5.1, "error": error, "localization_name": name}
        ok(admin.post("/api/gcn_event", json={**body, "skymap": sky}))
    page = browser.get("/web/desk?text=icecube-2312").text
    assert page.count("IceCube-231202A ·") == 1, "one row for an event"
    assert "2.3 deg² (90 %)" in page, "the newest map stands for it"
    assert "1 more" in page
    assert "No such event" in browser.get("/web/desk?text=gold&origin=scans").text
    assert scan_id in browser.get("/web/desk?origin=scans&since=2023-03-14&until=2023-03-14").text
    assert scan_id not in browser.get("/web/desk?origin=scans&until=2023-03-13").text


@pytest.mark.parametrize("query", ["sort=x", "origin=x", "area=wide", "area=-1", "area=nan", "since=soon",
                                   "until=x", "after=x", "sort=area&after=1"])
def test_lists_that_cannot_be(browser: Session, query: str) -> None:
    answer = browser.get(f"/web/desk?{query}")
    assert answer.status_code == 400
    assert f"{query.rpartition('&')[2].partition('=')[0]}: " in answer.text


def test_no_pictures_of_the_sky_unless_wanted(browser: Session, scan_id: str, outside: Outside) -> None:
    before = len(outside.asked)
    here = browser.get(f"/web/desk/scans/{scan_id}")
    assert "The sky there" not in here.text
    answer = browser.get(here.url.removeprefix(browser.url) + "/sky?across=2")
    assert answer.status_code == 404
    assert "catalogs.sky_pictures" in answer.text
    assert len(outside.asked) == before


@pytest.mark.parametrize(("path", "code"), [
    ("/web/desk/scans/none", 404), ("/web/desk/maps/99999", 404), ("/web/desk/maps/x", 404),
    ("/web/desk/finder?ra=x&dec=0", 400), ("/web/desk/objects/nothing", 404),
    ("/web/desk/objects/%00", 404), ("/web/desk/objects/" + "x" * 3000, 404),
])  # fmt: skip
def test_pages_that_are_not_there(browser: Session, path: str, code: int) -> None:
    assert browser.get(path).status_code == code


@pytest.mark.parametrize(("fields", "code"), [
    ({"action": "explode"}, 400), ({}, 400), ({"action": "classify", "class": "x"}, 400),
    ({"action": "vote", "classification": "1", "vote": "7"}, 400), ({"action": "match", "service": "x"}, 400),
    ({"action": "vote", "classification": "999999", "vote": "1"}, 400),
])  # fmt: skip
def test_bad_actions(browser: Session, fields: dict[str, str], code: int) -> None:
    assert browser.post("/web/desk/objects/inside", data=fields).status_code == code


def test_who_may_not_classify(api: Api, scan_id: str) -> None:
    session = api.anonymous()
    session.cookies.set("iceprod_session", api.token("pilot", username="p"))
    assert session.get("/web/desk").status_code == 403
