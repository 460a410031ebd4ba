"""Requests go by the proxy that the environment names."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iceprod.transport import Client, Unreachable


class Proxy(ThreadingHTTPServer):
    """Answers for every server, and remembers what it was asked."""

    asked: list[tuple[str, str, str]]


class Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))
        content = b'{"ok": true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))
        self.send_error(502)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    made = Proxy(("127.0.0.1", 0), Handler)
    made.asked = []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:s%40@127.0.0.1:{made.server_port}")
    monkeypatch.setenv("no_proxy", "inside.example.org")
    yield made
    made.shutdown()
    made.server_close()


def test_a_plain_server_is_asked_by_the_proxy(proxy: Proxy) -> None:
    with Client("http://far.example.org:8080/api") as client:
        assert client.get("/x", {"a": 1}) == {"ok": True}
    secret = base64.b64encode(b"me:s@").decode()
    assert proxy.asked == [("GET", "http://far.example.org:8080/api/x?a=1", f"Basic {secret}")]


def test_a_secure_one_by_a_tunnel(proxy: Proxy) -> None:
    with Client("https://far.example.org") as client, pytest.raises(Unreachable):
        client.get("/x")
    assert [row[:2] for row in proxy.asked] == [("CONNECT", "far.example.org:443")]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "inside.example.org"])
def test_what_needs_no_proxy(proxy: Proxy, host: str) -> None:
    with Client(f"http://{host}:9") as client, pytest.raises(Unreachable):
        client.get("/x", timeout=2)
    assert not proxy.asked
