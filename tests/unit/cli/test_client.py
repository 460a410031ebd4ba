"""The REST client: errors, patience, redirects, tokens, connections that break."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from iceprod.client import Client, ClientError, Refused, Unreachable

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Answers what the function `answer` says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[str, str], Answer | None] = lambda method, path: json_answer({})
        self.seen: list[tuple[str, str, str | None, Any]] = []
        self.connections = 0
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server.connections += 1

            def log_message(self, *arguments: Any) -> None:
                pass

            def _do(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
                server.seen.append((self.command, self.path, self.headers.get("Authorization"), body))
                answer = server.answer(self.command, self.path)
                if answer is None:  # break the connection
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

        return Handler


def json_answer(document: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(document).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, "T", pause=lambda seconds: None) as client:
        yield client


def test_bodies_queries_and_tokens_are_sent(server: Server, client: Client) -> None:
    client.post("/a", {"x": [1, "é"]})
    client.get("/b", {"q": "a b&c"})
    assert server.seen == [("POST", "/a", "Bearer T", {"x": [1, "é"]}),
                           ("GET", "/b?q=a+b%26c", "Bearer T", None)]


def test_a_connection_is_kept(server: Server, client: Client) -> None:
    for _ in range(5):
        client.get("/")
    assert server.connections == 1


def test_json_is_decoded_and_the_rest_is_bytes(server: Server, client: Client) -> None:
    server.answer = lambda method, path: json_answer([1, None]) if path == "/json" else (200, {}, b"\x89PNG")
    assert client.get("/json") == [1, None]
    assert client.get("/png") == b"\x89PNG"


@pytest.mark.parametrize("body", [{"reason": "no"}, {"error": "no"}, {"message": "no"}])
def test_an_error_carries_the_servers_words(server: Server, client: Client, body: dict[str, str]) -> None:
    server.answer = lambda method, path: json_answer(body, 404)
    with pytest.raises(Refused, match="no") as caught:
        client.get("/")
    assert (caught.value.status, caught.value.reason) == (404, "no")


def test_an_error_without_words(server: Server, client: Client) -> None:
    server.answer = lambda method, path: (500, {"Content-Type": "text/html"}, b"<h1>oops</h1>")
    with pytest.raises(Refused, match="gave no reason"):
        client.get("/")


def test_broken_json_is_an_error(server: Server, client: Client) -> None:
    server.answer = lambda method, path: (200, {"Content-Type": "application/json"}, b"{")
    with pytest.raises(Refused):
        client.get("/")


def test_nobody_there() -> None:
    assert Client("http://ann:secret@127.0.0.1:1/api").url == "http://127.0.0.1:1/api"
    with Client("http://127.0.0.1:1") as client, pytest.raises(Unreachable, match="does not answer"):
        client.get("/")


def test_patience_waits_for_a_server_that_comes_back(server: Server, client: Client) -> None:
    server.answer = lambda method, path: json_answer({}, 503 if len(server.seen) < 4 else 200)
    assert client.get("/", patience=60) == {}
    assert len(server.seen) == 4
    server.seen.clear()
    with pytest.raises(Unreachable):
        client.get("/")


def test_a_get_is_repeated_when_the_connection_breaks(server: Server, client: Client) -> None:
    client.get("/")
    server.answer = lambda method, path: None if len(server.seen) < 3 else json_answer({"ok": True})
    assert client.get("/", patience=60) == {"ok": True}


def test_a_post_is_not_repeated_unless_allowed(server: Server, client: Client) -> None:
    server.answer = lambda method, path: None
    with pytest.raises(Unreachable):
        client.post("/", {}, patience=60)
    assert len(server.seen) == 1
    server.answer = lambda method, path: None if len(server.seen) < 3 else json_answer({"ok": True})
    assert client.post("/", {}, patience=60, repeat=True) == {"ok": True}


def test_a_renewed_token_is_used(server: Server) -> None:
    given = ["old"]

    def answer(method: str, path: str) -> Answer:
        return json_answer({}, 200 if server.seen[-1][2] == "Bearer new" else 403)

    server.answer = answer
    with Client(server.url, lambda: given[0]) as client:
        with pytest.raises(Refused):
            client.get("/")
        given[0] = "new"
        client.get("/")
    assert [seen[2] for seen in server.seen] == ["Bearer old", "Bearer old", "Bearer new"]


def test_redirects_within_the_server_are_followed(server: Server, client: Client) -> None:
    def answer(method: str, path: str) -> Answer:
        if path == "/old?a=1":
            return 307, {"Location": f"{server.url}/new?a=1"}, b""
        return json_answer({"path": path, "method": method})

    server.answer = answer
    assert client.post("/old?a=1", {}) == {"path": "/new?a=1", "method": "POST"}


def test_a_circle_of_redirects_ends(server: Server, client: Client) -> None:
    server.answer = lambda method, path: (302, {"Location": path}, b"")
    with pytest.raises(Refused, match="circle"):
        client.get("/round")


def test_the_token_does_not_go_to_strangers(server: Server, client: Client) -> None:
    server.answer = lambda method, path: (302, {"Location": "http://example.org/"}, b"")
    client.get("/")
    assert len(server.seen) == 1


def test_a_waiting_thread_can_be_freed(server: Server) -> None:
    began, go_on = threading.Event(), threading.Event()

    def answer(method: str, path: str) -> Answer:
        began.set()
        go_on.wait(20)
        return json_answer({})

    server.answer = answer
    client, errors = Client(server.url), []

    def wait() -> None:
        try:
            client.post("/")
        except Unreachable as error:
            errors.append(error)
        finally:
            client.close()

    thread = threading.Thread(target=wait)
    thread.start()
    assert began.wait(20)
    client.hang_up()
    thread.join(20)
    go_on.set()
    assert len(errors) == 1


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "/path"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ClientError, match="not a server address"):
        Client(url)


def test_an_address_may_have_a_path(server: Server) -> None:
    with Client(f"{server.url}/prefix/") as client:
        client.get("/a")
    assert server.seen[0][1] == "/prefix/a"
