"""Who is told when to come again comes no earlier: the client, and with it the pilot and the grids."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from grid.pilot import exchange, leasing
from grid.pilot.output import Tails
from grid.pilot.reports import Reports
from iceprod.transport import Client, Unreachable


class Busy(BaseHTTPRequestHandler):
    """Refuses as it is told, and then answers."""

    answers: ClassVar[list[tuple[int, str]]] = []

    def do_GET(self) -> None:
        status, after = self.answers.pop(0) if self.answers else (200, "")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        if after:
            self.send_header("Retry-After", after)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_PUT = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.mark.parametrize(("answers", "least"), [
    ([(503, "3")], [3]), ([(429, "7"), (503, "2")], [7, 2]), ([(503, "")], [0]), ([(429, "soon")], [0]),
    ([(503, "Wed, 21 Oct 2026 07:28:00 GMT")], [0]), ([(503, "99999999")], [120])])
@pytest.mark.parametrize("verb", ["get", "post"])
def test_a_client_waits_as_long_as_it_is_told(url: str, answers: list[tuple[int, str]], least: list[float],
                                              verb: str) -> None:
    Busy.answers, pauses = list(answers), []
    with Client(url, pause=pauses.append) as client:
        assert getattr(client, verb)("/x", patience=1000) == {}
    assert len(pauses) == len(least)
    for pause, seconds in zip(pauses, least, strict=True):
        assert seconds <= pause <= 2 * seconds + 1


def test_without_so_much_patience_it_says_when(url: str) -> None:
    Busy.answers = [(503, "30")]
    pauses: list[float] = []
    with Client(url, pause=pauses.append) as client, pytest.raises(Unreachable) as told:
        client.get("/x", patience=10)
    assert (told.value.later, told.value.retry_after, pauses) == (True, 30.0, [])


@pytest.mark.parametrize("status", [502, 504])
def test_what_a_server_may_have_done_that_died_is_repeated_where_that_changes_nothing(url: str,
                                                                                  status: int) -> None:
    """A proxy says so when a server was sent a request, and ended without an answer."""
    pauses: list[float] = []
    with Client(url, pause=pauses.append) as client:
        for verb, how in (("get", {}), ("put", {}), ("post", {"repeat": True})):
            Busy.answers = [(status, "")]
            assert getattr(client, verb)("/x", patience=1000, **how) == {}
        Busy.answers = [(status, "")]
        with pytest.raises(Unreachable):
            client.post("/x", patience=1000)
    assert len(pauses) == 3


class Ending:
    """An event that keeps how long one waited for it."""

    def __init__(self, most: int) -> None:
        self.waits: list[float] = []
        self._most = most

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.is_set()

    def is_set(self) -> bool:
        return len(self.waits) >= self._most


def refusing(*_: Any, **__: Any) -> Any:
    raise Unreachable("busy", True, 9.0)


def pilot(most: int = 1) -> Any:
    room = SimpleNamespace(total={"gpu": 0, "cpu": 1}, free=lambda: {"gpu": 0, "cpu": 1}, claimed=dict)
    return SimpleNamespace(
        ending=Ending(most), draining=Ending(99), client=SimpleNamespace(post=refusing, poll=refusing),
        pilot_id="p", reports=Reports(), room=room, wait_for_slot=lambda seconds: 1, running=list, held=list,
        offer=dict, ahead=lambda: 0,
        last_contact=0.0, says=dict, waits=False, beat_seconds=20.0, token=SimpleNamespace(is_old=False),
        options=SimpleNamespace(wait=1.0, site="s", pixels=True, traits=dict,
                                containers=SimpleNamespace(systems=())),
        seconds_left=100.0, grace_seconds=1e9, tails=Tails())


def test_a_pilot_asks_for_tasks_no_earlier() -> None:
    busy = pilot(3)
    leasing._keep_leasing(busy)
    assert len(busy.ending.waits) == 3
    assert all(9 <= seconds <= 27 for seconds in busy.ending.waits)


def test_a_pilot_sends_its_next_heartbeat_no_earlier() -> None:
    busy = pilot()
    exchange.beat(busy)
    assert busy.ending.waits == [9.0]


def test_a_heartbeat_that_fails_is_tried_again_until_the_next_is_due() -> None:
    told: list[float] = []

    def post(*_: Any, patience: float, **__: Any) -> Any:
        told.append(patience)
        raise Unreachable("away")

    lonely = pilot()
    lonely.client.post = post
    exchange.beat(lonely)
    assert told == [lonely.beat_seconds]
