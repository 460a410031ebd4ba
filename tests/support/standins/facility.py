"""A robotic facility on the loopback interface: it takes requests, refuses, hangs or talks nonsense.

    with running_facility() as facility:
        secret = facility.secret()
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["SECRET", "Facility", "running_facility"]

SECRET = "do-not-show-this-token"


@dataclass
class Facility:
    """The running facility: what it was told, and how it shall answer."""

    url: str = ""
    mode: str = "accept"  # or reject, hang, garbage, error, gone, redirect, echo
    heard: list[tuple[str, str, dict[str, Any], dict[str, str]]] = field(default_factory=list)

    def secret(self, **more: str) -> str:
        """What an allocation keeps of it."""
        return json.dumps({"endpoint": f"{self.url}/telescope", "api_token": SECRET, **more})

    def told(self, method: str = "POST") -> list[dict[str, Any]]:
        return [body for how, _, body, _ in self.heard if how == method]

    def answer(self, headers: dict[str, str]) -> tuple[int, bytes]:
        """What it says now."""
        match self.mode:
            case "reject":
                return 400, b'{"message": "no time left"}'
            case "hang":
                time.sleep(6)
            case "garbage":
                return 200, b"<html>hello"
            case "error":
                return 500, b"oops"
            case "gone":
                return 404, b"{}"
            case "echo":
                return 400, json.dumps({"message": f"bad token {headers.get('Authorization')}"}).encode()
        return 200, b'{"status": "success", "data": {"id": "F-17"}}'


def _handler(facility: Facility) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            return

        def _take(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = dict(self.headers)
            facility.heard.append((self.command, self.path, json.loads(raw or b"{}"), headers))
            status, text = facility.answer(headers)
            with contextlib.suppress(OSError):  # who hung up does not want to know
                self.send_response(302 if facility.mode == "redirect" else status)
                if facility.mode == "redirect":
                    self.send_header("Location", f"{facility.url}/elsewhere")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        do_POST = do_DELETE = do_GET = _take

    return Handler


@contextlib.contextmanager
def running_facility() -> Iterator[Facility]:
    """Run one."""
    facility = Facility()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(facility))
    facility.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield facility
    finally:
        server.shutdown()
        server.server_close()
