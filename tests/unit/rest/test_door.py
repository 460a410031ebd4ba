"""While the server prepares its database it says so, and those who wait for it are patient."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from iceprod import supervisor
from iceprod.supervisor import StartError, wait_healthy
from server.rest.door import Door


class Ready(RequestHandler):
    def get(self) -> None:
        self.finish("ready")


async def test_every_request_is_told_to_come_later_until_all_is_ready() -> None:
    door = Door()
    server = HTTPServer(door)
    sock, port = bind_unused_port()
    server.add_socket(sock)
    client = AsyncHTTPClient(force_instance=True)
    for path in ("/healthz", "/scan/x", "/"):
        answer = await client.fetch(f"http://127.0.0.1:{port}{path}", raise_error=False)
        assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
        assert json.loads(answer.body)["status"] == "starting"
    door.wait_for("for servers of an older program")
    answer = await client.fetch(f"http://127.0.0.1:{port}/healthz", raise_error=False)
    assert "for servers of an older program" in json.loads(answer.body)["error"]
    door.application = Application([("/", Ready)], log_function=lambda handler: None)
    assert (await client.fetch(f"http://127.0.0.1:{port}/")).body == b"ready"
    client.close()
    server.stop()
    await server.close_all_connections()


@pytest.fixture
def answers() -> Iterator[tuple[str, list[int]]]:
    """A server that answers with these statuses, one after the other, and then with the last for ever."""
    statuses = [200]

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", statuses
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_slow_start_is_waited_for_with_a_word(answers: tuple[str, list[int]],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_WORD_SECONDS", 0.2)
    url, statuses = answers
    statuses[:] = [503] * 4 + [500] * 4 + [200]
    words: list[str] = []
    wait_healthy(url, "", lambda: "", words.append)
    assert statuses == [200]
    assert "still starting after 0 s" in words[0]


def test_who_ended_is_not_waited_for(answers: tuple[str, list[int]]) -> None:
    url, statuses = answers
    statuses[:] = [500]
    with pytest.raises(StartError, match="the server ended"):
        wait_healthy(url, "", lambda: "the server ended")


# -- what is let in


class Taking(RequestHandler):
    def post(self) -> None:
        self.finish(str(len(self.request.body)))


TOKEN = {"Authorization": "Bearer a.b.c"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", **TOKEN}


@pytest.fixture
async def door() -> AsyncIterator[tuple[Door, int]]:
    """A door that leads somewhere, and its port."""
    door = Door()
    door.application = Application([("/", Taking)], log_function=lambda handler: None)
    server = HTTPServer(door, max_body_size=64 << 20)
    sock, port = bind_unused_port()
    server.add_socket(sock)
    yield door, port
    server.stop()
    await server.close_all_connections()


async def answer_of(port: int, headers: dict[str, str], size: int, sent: int) -> bytes:
    """What is answered to a request that says its body has a size, when so much of it was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{name}: {value}" for name, value in {"Host": "x", **headers, "Content-Length": size}.items()]
    writer.write("\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + b"x" * sent)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(2000), 60)
    writer.close()
    return answer


@pytest.mark.parametrize(("headers", "size", "status", "text"), [
    ({}, 1 << 20, 200, "1048576"), ({}, (1 << 20) + 1, 413, "without a token may have at most 1 MB"),
    (TOKEN, 5 << 20, 200, "5242880"), ({"Token": "x"}, 5 << 20, 200, "5242880"),
    (FORM, 1 << 20, 200, "1048576"), (FORM, (2 << 20) + 1, 413, "a form may have at most 2 MB")])
async def test_bodies_without_a_token_and_forms_are_small(door: tuple[Door, int], headers: dict[str, str],
                                                          size: int, status: int, text: str) -> None:
    answer = await answer_of(door[1], headers, size, size if status == 200 else 0)
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert text.encode() in answer
    assert door[0].coming == 0


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(1000):
        if reached():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_large_bodies_at_once_are_told_to_come_later(door: tuple[Door, int],
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rest.door.MOST_AT_ONCE", 1 << 20)
    first = await asyncio.open_connection("127.0.0.1", door[1])
    first[1].write(b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 900000\r\n\r\n"
                   + b"x" * 800_000)
    await until(lambda: door[0].coming == 800_000)
    for size in (1000, 500_000):  # one is read to its end, one is cut off
        answer = await answer_of(door[1], TOKEN, 300_000 + size, 0 if size > 1000 else 301_000)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1" in answer
    assert (await answer_of(door[1], TOKEN, 1000, 1000)).startswith(b"HTTP/1.1 200")
    first[1].close()
    await until(lambda: not door[0].coming)
