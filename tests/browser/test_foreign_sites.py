"""What other sites can do with somebody who is logged in here, and scripts in our pages: nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.browser.browsing import Visitor
from tests.support.api import Api

pytestmark = pytest.mark.slow


class Foreign(BaseHTTPRequestHandler):
    """A page of somebody else that frames ours, and has a form for it."""

    target = ""

    def do_GET(self) -> None:
        page = f"""<!doctype html><title>foreign</title><iframe src="{self.target}/web/"></iframe>
            <form id="post" method="post" action="{self.target}/web/logout"><button>post</button></form>
            <a href="{self.target}/web/tokens">go</a>""".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def foreign(api: Api) -> Iterator[str]:
    """The address of another site: of another name, so that the browser takes it for one."""
    Foreign.target = api.url
    http = ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://localhost:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def ada(api: Api, foreign: str, visit: Callable[..., Visitor]) -> Iterator[Visitor]:
    visitor = visit(api.url, friends=(foreign, "about:"))
    visitor.log_in(api.token("user", username="ada"))
    yield visitor
    visitor.problems.clear()  # the browser says of each attempt why it fails; that is what is tested here


def test_scripts_cannot_read_the_session(ada: Visitor) -> None:
    session = next(cookie for cookie in ada.context.cookies() if cookie["name"] == "iceprod_session")
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    assert "iceprod_session" not in ada.page.evaluate("document.cookie")


@pytest.mark.parametrize("attempt", [
    "const script = document.createElement('script'); script.textContent = 'window.ran = true'; "
    "document.body.append(script)",
    "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = true\">')",
    "const style = document.createElement('style'); style.textContent = 'body { --ran: true }'; "
    "document.head.append(style)"])
def test_what_is_put_into_a_page_does_not_run(ada: Visitor, attempt: str) -> None:
    ada.go("/web/")
    ada.page.evaluate(f"() => {{ {attempt} }}")
    ada.page.wait_for_timeout(300)
    assert ada.page.evaluate("window.ran === undefined")
    assert ada.page.evaluate("getComputedStyle(document.body).getPropertyValue('--ran')") == ""


def test_a_page_sends_nothing_elsewhere(ada: Visitor, foreign: str) -> None:
    ada.go("/web/")
    ask = f"fetch('{foreign}/', {{mode: 'no-cors'}})"
    assert ada.page.evaluate(f"() => {ask}.then(() => 'sent', () => 'kept')") == "kept"


def test_other_sites_cannot_show_our_pages_in_theirs(ada: Visitor, foreign: str) -> None:
    ada.page.goto(foreign)
    frame = ada.page.frames[1]
    ada.page.wait_for_timeout(500)
    assert "Log in" not in frame.content()
    assert "Datasets" not in frame.content()


def test_a_form_of_another_site_does_nothing(ada: Visitor, foreign: str) -> None:
    ada.page.goto(foreign)
    with ada.page.expect_response("**/web/logout") as answered:
        ada.page.get_by_role("button", name="post").click()
    assert answered.value.status == 403
    ada.go("/web/")
    ada.page.get_by_role("link", name="ada", exact=True).wait_for()  # and she is still logged in


@pytest.mark.parametrize("how", ["{mode: 'no-cors', credentials: 'include'}", "{credentials: 'include'}"])
def test_another_site_reads_nothing_in_her_name(ada: Visitor, foreign: str, api: Api, how: str) -> None:
    ada.page.goto(foreign)
    read = ada.page.evaluate(
        f"() => fetch('{api.url}/web/', {how}).then((a) => a.text(), () => '')")
    assert read == ""


def test_whoever_comes_by_a_link_of_another_site_logs_in_first(ada: Visitor, foreign: str) -> None:
    """The session is not sent along; the pages' own links send it."""
    ada.page.goto(foreign)
    ada.page.get_by_role("link", name="go").click()
    ada.page.get_by_role("button", name="Log in", exact=True).wait_for()


HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store", "x-frame-options": "DENY",
           "referrer-policy": "same-origin"}


@pytest.mark.parametrize("path", ["/web/", "/web/login", "/web/datasets", "/web/docs/"])
def test_every_page_has_the_headers(ada: Visitor, path: str) -> None:
    answer: Any = ada.page.goto(ada.url + path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name, value in HEADERS.items():
        assert answer.headers[name] == value, name


def test_what_is_no_page_is_nothing_that_a_browser_runs(ada: Visitor) -> None:
    answer: Any = ada.page.goto(ada.url + "/nothing")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
