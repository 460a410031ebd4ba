"""One connection for all threads of a pilot, on which a poll gives way."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from iceprod.transport import Line, Refused, Unreachable


class Server(ThreadingHTTPServer):
    """Answers /poll after `seconds` or when `announce` is called; counts connections."""

    daemon_threads = True

    def __init__(self, protocol: str = "HTTP/1.1") -> None:
        self.connections = self.open = self.most_open = self.polls = 0
        self.news, self.lock = threading.Event(), threading.Lock()
        super().__init__(("127.0.0.1", 0), _handler(self, protocol))
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who gave way does not hear the answer."""


def _handler(server: Server, protocol: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = protocol

        def setup(self) -> None:
            super().setup()
            with server.lock:
                server.connections += 1
                server.open += 1
                server.most_open = max(server.most_open, server.open)

        def finish(self) -> None:
            with server.lock:
                server.open -= 1
            super().finish()

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/poll":
                server.polls += 1
                if not server.news.wait(0.0 if self._hangs_up() else 60.0):
                    return
            data = json.dumps({"path": self.path}).encode()
            self.send_response(404 if self.path == "/no" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _hangs_up(self) -> bool:
            """Wait, as a server does, for the end of the connection or for news."""
            self.connection.settimeout(0.02)
            while not server.news.is_set():
                try:
                    if not self.connection.recv(1, 2):  # MSG_PEEK
                        self.close_connection = True
                        return True
                except TimeoutError:
                    continue
            self.connection.settimeout(None)
            return False

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.news.set()
    found.shutdown()
    found.server_close()


def _polling(line: Line, server: Server, found: list[Any]) -> threading.Thread:
    def poll() -> None:
        found.append(line.poll("/poll", {}, 60.0))

    before = server.polls
    thread = threading.Thread(target=poll)
    thread.start()
    while server.polls == before:
        time.sleep(0.01)
    return thread


def test_threads_share_one_connection(server: Server) -> None:
    with Line(server.url) as line:
        threads = [threading.Thread(target=lambda: [line.post("/x", {}) for _ in range(20)])
                   for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert server.connections == 1


def test_a_poll_gives_way_and_there_is_never_a_second_connection(server: Server) -> None:
    found: list[Any] = []
    with Line(server.url) as line:
        thread = _polling(line, server, found)
        assert line.post("/x", {}) == {"path": "/x"}
        thread.join(60)
        assert found == [None]
        thread = _polling(line, server, found)
        server.news.set()
        thread.join(60)
        assert found == [None, {"path": "/poll"}]
    assert server.most_open <= 2, "the old one may not be known to be over yet"
    assert server.connections == 2


def test_a_poll_waits_for_those_who_came_before(server: Server) -> None:
    server.news.set()
    found: list[Any] = []
    with Line(server.url) as line:
        with line._in_turn():
            thread = threading.Thread(target=lambda: found.append(line.post("/x", {})))
            thread.start()
            while not line._wanted:
                time.sleep(0.01)
        assert line.poll("/poll", {}, 60.0) == {"path": "/poll"}
        assert found == [{"path": "/x"}]
        thread.join(60)


def test_an_answer_that_is_on_its_way_is_not_lost(server: Server) -> None:
    """Whatever the moment at which another thread speaks, a poll is answered or gave way, and both go on."""
    server.news.set()
    with Line(server.url) as line:
        answers: list[Any] = []
        thread = threading.Thread(
            target=lambda: answers.extend(line.poll("/poll", {}, 60.0) for _ in range(200)))
        thread.start()
        for _ in range(200):
            assert line.post("/x", {}) == {"path": "/x"}
        thread.join(60)
    assert len(answers) == 200
    assert all(answer in (None, {"path": "/poll"}) for answer in answers)
    assert any(answers)


def test_who_speaks_when_the_answer_has_just_closed_the_connection_is_heard(
        server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "protocol_version", "HTTP/1.0")
    server.news.set()
    with Line(server.url) as line:
        read = http.client.HTTPConnection.getresponse

        def read_and_speak(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
            response = read(connection)
            with line._guard:
                line._interrupt()
            return response

        monkeypatch.setattr(http.client.HTTPConnection, "getresponse", read_and_speak)
        assert line.poll("/poll", {}, 60.0) == {"path": "/poll"}


def test_errors_are_those_of_every_client(server: Server) -> None:
    with Line(server.url) as line:
        with pytest.raises(Refused):
            line.poll("/no", {}, 60.0)
        server.shutdown()
        server.server_close()
        line.close()
        with pytest.raises(Unreachable):
            line.poll("/poll", {}, 1.0)
