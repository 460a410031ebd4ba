"""The base handler: who may call, what a body must be, how errors are written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event, Thread, current_thread

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application

from config.settings import Settings
from iceprod.tokens import encode
from server.common.errors import BadRequest, Conflict, status_line
from server.rest.context import Context
from server.rest.handler import Handler, NoRoute
from server.rest.routing import Route, allow

SECRET = "s" * 48
looked_at: list[Thread] = []  # who looked at bodies
ADMIN = {"Authorization": f"Bearer {encode(SECRET, 'ada', ['admin'])}"}
USER = {"Authorization": f"Bearer {encode(SECRET, 'bob', ['user'])}"}


class Echo(Handler):
    def examine(self, document: object) -> None:
        looked_at.append(current_thread())
        if document == {"refuse": "x" * 400_000}:
            raise BadRequest("refuse: no")

    @allow("admin")
    def post(self, name: str) -> None:
        self.send({"name": name, "body": self.body(), "flag": self.query_bool("flag"),
                   "n": self.query_int("n", 7)})

    @allow("everybody")
    def get(self, name: str) -> None:
        raise Conflict(f"<{name}> is there\nalready")

    @allow("any")
    def put(self, name: str) -> None:
        raise ZeroDivisionError

    @allow("any")
    def patch(self, name: str) -> None:
        raise AutoReconnect("store.sock: connection closed")


class NothingRevoked:
    """A database that knows of no revoked token."""

    @property
    def revocations(self) -> NothingRevoked:
        return self

    def find(self, *_: object) -> NothingRevoked:
        return self

    async def to_list(self) -> list[dict[str, object]]:
        return []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with one route, in a thread."""
    started, where = Event(), {}

    def run() -> None:
        async def main() -> None:
            context = Context(Settings(), NothingRevoked(), SECRET)  # type: ignore[arg-type]
            app = Application([Route("/echo/{name}", Echo).spec()], default_handler_class=NoRoute,
                              context=context)
            server = HTTPServer(app)
            server.listen(0, "127.0.0.1")
            where["port"] = next(iter(server._sockets.values())).getsockname()[1]
            where["loop"], where["stop"] = IOLoop.current(), asyncio.Event()
            started.set()
            await where["stop"].wait()
            server.stop()
            await server.close_all_connections()

        asyncio.run(main())

    thread = Thread(target=run)
    thread.start()
    started.wait()
    yield f"http://127.0.0.1:{where['port']}"
    where["loop"].add_callback(where["stop"].set)
    thread.join()


def test_an_answer(url: str) -> None:
    answer = requests.post(f"{url}/echo/x?flag=YES", json={"a": 1}, headers=ADMIN, timeout=60)
    assert answer.json() == {"name": "x", "body": {"a": 1}, "flag": True, "n": 7}


@pytest.mark.parametrize(("method", "path", "headers", "code", "text"), [
    ("POST", "/echo/x", {}, 403, "authentication failed"),
    ("POST", "/echo/x", {"Authorization": "Basic Zm9v"}, 403, "authentication failed"),
    ("POST", "/echo/x", {"Authorization": "Bearer a.b.c"}, 403, "authentication failed"),
    ("POST", "/echo/x", USER, 403, "authorization failed"),
    ("DELETE", "/echo/x", ADMIN, 405, "Method Not Allowed"),
    ("GET", "/nothing", {}, 404, "no such route"),
    ("GET", "/echo/a-b", {}, 404, "no such route"),
    ("GET", "/echo/x", {}, 409, "<x> is there\nalready"),
    ("PUT", "/echo/x", USER, 500, "internal error"),
    ("POST", "/echo/x?flag=maybe", ADMIN, 400, "'flag'"),
    ("POST", "/echo/x?n=x", ADMIN, 400, "bad n param"),
])
def test_errors_are_json(url: str, method: str, path: str, headers: dict[str, str], code: int,
                         text: str) -> None:
    answer = requests.request(method, url + path, headers=headers, timeout=60,
                              json={} if method == "POST" else None)
    body = answer.json()
    assert answer.status_code == body["code"] == code
    assert body["error"] == body["reason"] == body["message"]
    assert text in body["error"]


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "TRACE", "BREW"])
def test_who_uses_another_method_is_told_which_there_are(url: str, method: str) -> None:
    answer = requests.request(method, f"{url}/echo/x", timeout=5)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST, PUT, PATCH")


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_400(url: str, raw: bytes) -> None:
    assert requests.post(f"{url}/echo/x", data=raw, headers=ADMIN, timeout=60).status_code == 400


@given(st.binary(max_size=200))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_body_is_a_server_error(url: str, raw: bytes) -> None:
    assert requests.post(f"{url}/echo/x", data=raw, headers=ADMIN, timeout=60).status_code < 500


@given(st.text())
def test_the_status_line_is_always_safe(reason: str) -> None:
    line = status_line(reason)
    assert line.isascii()
    assert line.isprintable()
    assert not set("<>\r\n") & set(line)


def test_a_database_that_is_away_means_later(url: str) -> None:
    """A pilot tries again after 503; after 500 it would drop what it reports."""
    answer = requests.patch(f"{url}/echo/x", headers=ADMIN, timeout=20)
    assert answer.status_code == 503
    assert answer.json()["reason"] == "the database does not answer just now; try again later"
    assert 2 <= int(answer.headers["Retry-After"]) <= 5


# -- large bodies


def sent(url: str, raw: bytes) -> tuple[int, str, bool]:
    """Status and reason of the answer, and whether the body was looked at where everybody waits."""
    looked_at.clear()
    answer = requests.post(f"{url}/echo/x", data=raw, headers=ADMIN, timeout=20)
    loops = {thread.name for thread in looked_at if "asyncio" not in thread.name}
    return answer.status_code, answer.json().get("reason", ""), bool(loops)


LONG = b"x" * 400_000


def test_a_large_body_is_read_aside(url: str) -> None:
    assert sent(url, b'{"a": "%b"}' % LONG) == (200, "", False)
    assert sent(url, b'{"a": "b"}') == (200, "", True)


@pytest.mark.parametrize(("raw", "reason"), [
    (b'{"a": "%b"' % LONG, "not JSON-encoded: "), (b'{"a": "%b", "b": [1, NaN]}' % LONG, "b[1]: NaN is not"),
    (b'{"refuse": "%b"}' % LONG, "refuse: no"), (b'["%b"]' % LONG, "must be type 'object'"),
    (b'{"a": [%b1]}' % (b"[]," * 500_000), "more than 500000 lists and objects"),
    (b"{%b}" % b",".join(b'"%d": %d' % (n, n) for n in range(30_000)), "more than 10000 fields")])
def test_what_is_wrong_with_a_large_body_is_told(url: str, raw: bytes, reason: str) -> None:
    status, told, _ = sent(url, raw)
    assert status == 400
    assert reason in told
