"""Whoever is told something: an HTTP server that keeps posts, a mail server that keeps letters."""

from __future__ import annotations

import contextlib
import email
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.api import free_port

__all__ = ["Mailbox", "Posted", "Poster", "mailbox", "poster"]


@dataclass
class Posted:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Poster:
    """An HTTP server; `status` is what it answers, `location` where it redirects to.

    While it `holds`, it has a post and does not answer.
    """

    url: str
    host: str
    status: int = 202
    location: str = ""
    holds: threading.Event | None = None
    got: list[Posted] = field(default_factory=list)


@contextlib.contextmanager
def poster() -> Iterator[Poster]:
    """A receiver of posts on the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            if found.holds is not None:
                found.holds.wait()
                return
            self.send_response(found.status)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host = f"127.0.0.1:{server.server_port}"
    found = Poster(f"http://{host}/hook", host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Mailbox:
    """A mail server; `refuses` is its answer to letters, when it takes none."""

    address: str
    refuses: str = ""
    got: list[tuple[list[str], Message]] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuses:
            return self.refuses
        self.got.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
        return "250 OK"


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A mail server on the loopback interface."""
    controllers = pytest.importorskip("aiosmtpd.controller", reason="no aiosmtpd")
    port = free_port()
    box = Mailbox(f"127.0.0.1:{port}")
    controller = controllers.Controller(box, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
