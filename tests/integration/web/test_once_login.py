"""Addresses that log in once, and pages that there are not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from iceprod.tokens import encode_login, read_secret
from tests.support.api import Api, running_server


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("once")) as server:
        yield server


def link(api: Api, *roles: str, **options: float) -> str:
    return encode_login(read_secret(api.data / "secret"), "alice", roles or ("user",), **options)


def test_an_address_logs_in_once(api: Api) -> None:
    once, browser = link(api), api.anonymous()
    answer = browser.get("/web/login/once", params={"once": once, "next": "/web/datasets"})
    assert answer.status_code == 200
    assert 'content="0;url=/web/datasets"' in answer.text
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "alice" in browser.get("/web/datasets").text
    again = api.anonymous().get("/web/login/once", params={"once": once})
    assert again.status_code == 403
    assert "it was used already" in again.text
    assert "iceprod web" in again.text


def test_only_one_of_many_gets_in(api: Api) -> None:
    once = link(api)
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda _: api.anonymous().get(
            "/web/login/once", params={"once": once}).status_code, range(6)))
    assert sorted(codes) == [200] + 5 * [403]


def test_what_is_no_address_of_ours_logs_nobody_in(api: Api) -> None:
    for once in ("", "x.y.z", link(api, minutes=-1), api.token("user")):
        answer = api.anonymous().get("/web/login/once", params={"once": once})
        assert answer.status_code == 403, once
        assert "Set-Cookie" not in answer.headers


def test_the_address_is_no_token(api: Api) -> None:
    assert requests.get(f"{api.url}/datasets", headers={"Authorization": f"Bearer {link(api)}"},
                        timeout=30).status_code == 403


def test_another_site_is_not_gone_on_to(api: Api) -> None:
    answer = api.anonymous().get("/web/login/once", params={"once": link(api), "next": "//evil.example.org/"})
    assert "evil.example.org" not in answer.text


def test_a_page_that_is_not_there_is_told_as_a_page(api: Api) -> None:
    browser = api.anonymous()
    browser.get("/web/login/once", params={"once": link(api)})
    for path in ("/web/nothing", "/web/scans/nothing/else/there"):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "There is no such page" in answer.text
    assert "There is no such scan" in browser.get("/web/scans/" + "0" * 32).text
    asked = api.anonymous().get("/web/nothing")
    assert asked.status_code == 404
    assert "There is no such page" in asked.text
    assert 'href="/web/scans"' not in asked.text
    assert api.anonymous().get("/nothing").json()["code"] == 404
