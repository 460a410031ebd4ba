"""The documentation as every server shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urldefrag

import pytest

from server.common.metrics import LABELS
from server.reference import PAGES
from tests.support.api import Api, running_server


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("docs")) as api:
        yield api


def test_all_pages_and_all_links_between_them(api: Api) -> None:
    """Nobody needs to log in; every heading that a link names is there."""
    session = api.anonymous()
    pages, todo = dict[str, str](), ["/web/docs"]
    anchors = set[tuple[str, str]]()
    while todo:
        path = todo.pop()
        if path in pages:
            continue
        answer = session.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["Content-Type"].startswith("text/html")
        pages[path] = answer.text
        for target in re.findall(r'href="(/web/docs[^"]*)"', answer.text):
            page, anchor = urldefrag(target)
            todo.append(page)
            anchors |= {(page, anchor)} if anchor else set()
    for name in ("tutorial", "operate", "client", *(f"reference/{page}" for page in PAGES)):
        assert f"/web/docs/{name}" in pages
    for page, anchor in anchors:
        assert f'id="{anchor}"' in pages[page], (page, anchor)


def test_pages_are_html_without_scripts_of_theirs(api: Api) -> None:
    text = api.anonymous().get("/web/docs/reference/metrics").text
    assert "<table>" in text
    assert all(f"<code>{label}</code>" in text for label in LABELS if label in ("outcome", "service"))
    assert "<title>Metrics" in text
    assert "| --- |" not in text


def test_who_is_logged_in_keeps_the_navigation(api: Api) -> None:
    session = api.anonymous()
    assert "/web/scans" not in session.get("/web/docs").text
    session.cookies.set("iceprod_session", api.token("user"))
    assert 'href="/web/scans"' in session.get("/web/docs").text


@pytest.mark.parametrize("path", ["nope", "reference/nope", "..%2fsetup", "%2e%2e/README",
                                  "decisions/../admin.md", "decisions/nope", "index.md",
                                  "systemd/iceprod-server.service"])
def test_only_pages_are_shown(api: Api, path: str) -> None:
    assert api.anonymous().get(f"/web/docs/{path}").status_code == 404


def test_pictures_come_with_the_pages(api: Api) -> None:
    session = api.anonymous()
    page = session.get("/web/docs/tutorial").text
    path = re.search(r'<img src="(/web/docs/pictures/[a-z-]+\.webp)" alt="[^"]{20,}"', page)
    assert path, page[-3000:]
    answer = session.get(path[1])
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.content[:4] == b"RIFF"
    for wrong in ("none.webp", "..%2findex.md", "home.png"):
        assert session.get(f"/web/docs/pictures/{wrong}").status_code == 404


def test_tables_can_be_reached_and_have_no_empty_headings(api: Api) -> None:
    page = api.anonymous().get("/web/docs/reference/commands").text
    assert re.search(r'<div class="scroll" tabindex="0" role="group" aria-label="[^"]+"><table>', page)
    assert not re.search(r"<th[^>]*></th>", page)
    assert page.count("<table>") == page.count("</table></div>")
