"""While the server prepares its database it says so, and those who wait for it are patient."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    wait_healthy(url, lambda: "", words.append)
    assert statuses == [200]
    assert "still starting after 0 s" in words[0]


def test_who_ended_is_not_waited_for(answers: tuple[str, list[int]]) -> None:
    url, statuses = answers
    statuses[:] = [500]
    with pytest.raises(StartError, match="the server ended"):
        wait_healthy(url, lambda: "the server ended")
