"""The web pages of scans, as a browser without scripts sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from tests.support.api import Api, running_server
from tests.support.scans import scan_body

HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest.fixture
def visitor(api: Api) -> requests.Session:
    return api.anonymous()


@pytest.fixture
def browser(api: Api, visitor: requests.Session) -> requests.Session:
    answer = visitor.post("/web/login", data={"token": api.token("user"), "next": "/web/"})
    assert answer.status_code == 200
    return visitor


def test_people_are_sent_to_the_pages_and_programs_are_not(api: Api, visitor: requests.Session) -> None:
    sent = visitor.get("/", headers=HTML)
    assert [step.headers["Location"] for step in sent.history] == ["/web/", "/web/login?next=%2Fweb%2F"]
    assert visitor.get("/").status_code == 403
    assert api.session("user").get("/").json() == {}


def test_the_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(api: Api,
                                                                         visitor: requests.Session) -> None:
    token = api.token("user")
    answer = visitor.post("/web/login", data={"token": token, "next": "/web/"}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/web/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert token not in answer.text
    assert "tester" in visitor.get("/web/").text
    visitor.post("/web/logout")
    assert visitor.get("/web/", allow_redirects=False).status_code == 302


@pytest.mark.parametrize("target", [
    "//evil.example/", "https://evil.example/", "/web/\\evil", "/scan", "javascript:alert(1)", ""])
def test_a_login_leads_to_our_own_pages_only(api: Api, visitor: requests.Session, target: str) -> None:
    answer = visitor.post("/web/login", data={"token": api.token("user"), "next": target},
                          allow_redirects=False)
    assert answer.headers["Location"] == "/web/"


def test_a_wrong_token_is_refused_and_not_repeated(visitor: requests.Session) -> None:
    answer = visitor.post("/web/login", data={"token": "s3cret-nonsense", "next": "/web/"})
    assert answer.status_code == 403
    assert "not accepted" in answer.text
    assert "s3cret-nonsense" not in answer.text
    assert "Set-Cookie" not in answer.headers


def test_forms_of_other_sites_are_refused(browser: requests.Session) -> None:
    assert browser.post("/web/logout", headers={"Origin": "http://evil.example"}).status_code == 403
    assert browser.get("/web/").status_code == 200


def test_a_token_without_roles_sees_nothing(api: Api, visitor: requests.Session) -> None:
    visitor.post("/web/login", data={"token": api.token("nobody"), "next": "/web/"})
    assert visitor.get("/web/").status_code == 403


@pytest.mark.parametrize("path", ["/web/", "/web/login", "/web/scans/nope", "/web/scans/{scan}"])
def test_pages_hold_no_script_and_no_style(api: Api, browser: requests.Session, path: str) -> None:
    scan_id = api.session("user").post("/scan", json=scan_body(reco_algo="elsewhere")).json()["scan_id"]
    answer = browser.get(path.format(scan=scan_id))
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", answer.text)
    for address in re.findall(r"""(?:src|href)="([^"]+)""", answer.text):
        assert address.startswith(("/web/", "#", "?")), address


def test_what_users_wrote_is_text(api: Api, browser: requests.Session) -> None:
    mark = "<b>x</b>&\"'"
    body = scan_body(reco_algo=f"elsewhere {mark}", classifiers={"<i>k": mark})
    scan_id = api.session("user").post("/scan", json=body).json()["scan_id"]
    page = browser.get(f"/web/scans/{scan_id}").text
    assert "<b>" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;&amp;" in page


def test_the_list_has_pages_and_hides_the_deleted(api: Api, browser: requests.Session) -> None:
    user = api.session("user")
    body = scan_body(reco_algo="elsewhere")
    kept, gone = (user.post("/scan", json=body).json()["scan_id"] for _ in range(2))
    user.delete(f"/scan/{gone}")
    assert kept in browser.get("/web/scans").text
    assert gone not in browser.get("/web/scans").text
    assert gone in browser.get("/web/scans", params={"deleted": "true"}).text
    assert kept not in browser.get("/web/scans", params={"after": "1.5,abc"}).text
    for wrong in ({"after": "x"}, {"after": "nan,a"}, {"after": "1"}, {"sort": "no"}, {"state": "no"},
                  {"text": "a b c"}, {"stream": "x" * 300}):
        assert browser.get("/web/scans", params=wrong).status_code == 400, wrong


def test_files_are_few_and_carry_their_hash(browser: requests.Session) -> None:
    page = browser.get("/web/").text
    for address in re.findall(r"/web/static/[^\"]+", page):
        answer = browser.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    for path in ("/web/static/..%2fhandler.py", "/web/static/nope.js"):
        assert browser.get(path).status_code == 404


def test_all_files_of_a_map_can_be_fetched_from_its_page(api: Api, browser: requests.Session) -> None:
    scan_id = api.session("user").post("/scan", json=scan_body(reco_algo="elsewhere")).json()["scan_id"]
    rows = [[pixel, 5.0 + pixel, *["<skyreader.nan>"] * 6] for pixel in range(12)]
    columns = ["index", "llh", "E_in", "E_tot", "X", "Y", "Z", "T"]
    result = {"nside-1": {"columns": columns, "metadata": {"nside": 1, "version": 1}, "data": rows}}
    body = {"skyscan_result": result, "is_final": True}
    done = api.session("system").put(f"/scan/{scan_id}/result", json=body)
    assert done.status_code == 200
    links = re.findall(rf"/web/scans/{scan_id}/products/[\w.]+", browser.get(f"/web/scans/{scan_id}").text)
    assert len(links) > 20
    for link in (one for one in links if one.endswith(("wilks.json", "wilks.fits", "zoom.wilks.svg"))):
        answer = browser.get(link)
        assert answer.status_code == 200, answer.text
        assert "attachment" in answer.headers["Content-Disposition"]
    assert browser.get(f"/web/scans/{scan_id}/products/nothing").status_code == 404
