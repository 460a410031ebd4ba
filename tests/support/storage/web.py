"""A web server for files that does what storage does on bad days, and a director of a federation."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Asked", "Fault", "Storage", "cut", "lies", "redirect", "stalls", "status"]


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request."""

    status: int = 0  # is answered
    headers: dict[str, str] = field(default_factory=dict)
    bytes: int = -1  # of the body that is sent
    stall: float = 0.0  # seconds that follow these bytes
    length: int = -1  # what the server says of it


def status(code: int, **headers: str) -> Fault:
    return Fault(code, {name.replace("_", "-"): value for name, value in headers.items()})


def cut(after: int) -> Fault:
    """The connection ends after so many bytes."""
    return Fault(bytes=after)


def stalls(after: int, seconds: float = 30.0) -> Fault:
    return Fault(bytes=after, stall=seconds)


def lies(length: int) -> Fault:
    """The server names another length than it sends."""
    return Fault(length=length)


def redirect(address: str, code: int = 307, **headers: str) -> Fault:
    return Fault(code, {"Location": address, **headers})


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that leave in the middle."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Storage:
    """Keeps `files` by path. `faults` by method and path happen one after the other, then all goes well."""

    def __init__(self, token: str = "", *, ranges: bool = True, etags: bool = True, digests: bool = False,
                 head: bool = True) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: defaultdict[tuple[str, str], list[Fault]] = defaultdict(list)
        self.always: dict[tuple[str, str], Fault] = {}
        self.asked: list[Asked] = []
        self.token, self.ranges, self.etags, self.digests, self.head = token, ranges, etags, digests, head
        self.mangle: Callable[[bytes], bytes] = lambda data: data  # what is made of what is put here
        self.http = _Server(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def methods(self) -> list[str]:
        return [one.method for one in self.asked]

    def fault(self, method: str, path: str) -> Fault | None:
        waiting = self.faults[method, path]
        return waiting.pop(0) if waiting else self.always.get((method, path))

    def _handler(store) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                pass

            def _do(self) -> None:
                self.close_connection = True
                path = self.path.partition("?")[0]
                store.asked.append(Asked(self.command, self.path, dict(self.headers.items())))
                fault = store.fault(self.command, path)
                if fault and fault.status:
                    self._end(fault.status, fault.headers)
                elif store.token and self.headers.get("Authorization") != f"Bearer {store.token}":
                    self._end(401)
                elif self.command == "PUT":
                    self._put(path, fault)
                elif self.command == "MKCOL":
                    self._end(405)  # it is there
                elif self.command == "MOVE":
                    target = "/" + self.headers["Destination"].split("/", 3)[3]
                    store.files[target] = store.files.pop(path)
                    self._end(201)
                elif self.command == "HEAD" and not store.head:
                    self._end(501)
                elif path not in store.files:
                    self._end(404)
                else:
                    self._send(store.files[path], fault or Fault())

            do_GET = do_PUT = do_HEAD = do_MOVE = do_MKCOL = _do

            def _put(self, path: str, fault: Fault | None) -> None:
                size = int(self.headers["Content-Length"])
                if fault and fault.bytes >= 0:
                    self.rfile.read(fault.bytes)
                    time.sleep(fault.stall)
                    return
                store.files[path] = store.mangle(self.rfile.read(size))
                self._end(201)

            def _end(self, code: int, headers: dict[str, str] | None = None) -> None:
                self.send_response(code)
                for name, value in {"Content-Length": "0", "Connection": "close", **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()

            def _send(self, data: bytes, fault: Fault) -> None:
                etag = f'"{hashlib.md5(data).hexdigest()}-1"'
                if store.etags and self.headers.get("If-None-Match") == etag:
                    return self._end(304, {"ETag": etag})
                begin, headers, code = 0, dict[str, str](), 200
                found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
                if found and store.ranges and self.headers.get("If-Range", etag) == etag:
                    begin, code = int(found[1]), 206
                    headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
                if store.etags:
                    headers["ETag"] = etag
                if store.digests:
                    sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
                    headers["Digest"] = f"sha-256={sha256}"
                body = data[begin:]
                length = fault.length if fault.length >= 0 else len(body)
                self._end(code, {"Content-Length": str(length), **headers, **fault.headers})
                if self.command == "GET":
                    self.wfile.write(body if fault.bytes < 0 else body[:fault.bytes])
                    self.wfile.flush()
                    time.sleep(fault.stall)

        return Handler
