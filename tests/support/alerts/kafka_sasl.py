"""A broker that only lets clients log in, as far as they must say who they are; and an issuer of tokens.

librdkafka's mock brokers know no SASL, so this one speaks the first requests of Kafka's protocol
(kafka.apache.org/protocol: ApiVersions 18, SaslHandshake 17, SaslAuthenticate 36) and keeps what was said.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Broker", "Issuer", "broker", "issuer"]

_VERSIONS = {17: (0, 1), 18: (0, 3), 36: (0, 1)}  # of the requests that it knows

class Broker:
    """What clients said: mechanisms, and the bytes by which they said who they are."""

    def __init__(self) -> None:
        self.mechanisms: list[str] = []
        self.said: list[bytes] = []
        self.address = ""


@contextlib.contextmanager
def broker() -> Iterator[Broker]:
    known = Broker()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, struct.error):
                while self._request():
                    pass

        def _request(self) -> bool:
            size, = struct.unpack(">i", _exactly(self.request, 4))
            data = _exactly(self.request, size)
            api, _, number, length = struct.unpack(">hhih", data[:10])
            body = data[10 + length:]
            if api == 18:
                answer = struct.pack(">hB", 0, len(_VERSIONS) + 1) + b"".join(
                    struct.pack(">hhhB", key, *range_, 0) for key, range_ in _VERSIONS.items()) + bytes(5)
            elif api == 17:
                mechanism = body[2:].decode()
                known.mechanisms.append(mechanism)
                answer = struct.pack(">hi", 0, 1) + body
            elif api == 36:
                known.said.append(body[4:])
                answer = struct.pack(">h", 58) + struct.pack(">h", 6) + b"no way" + struct.pack(">i", 0)
            else:
                return False
            self.request.sendall(struct.pack(">ii", len(answer) + 4, number) + answer)
            return api != 36

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        known.address = f"127.0.0.1:{port}"
        yield known


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise OSError("it left")
        data += piece
    return data


class Issuer:
    """A token endpoint, and what it was asked: headers and form."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], str]] = []
        self.url, self.status = "", 200


@contextlib.contextmanager
def issuer() -> Iterator[Issuer]:
    known = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            known.asked.append((dict(self.headers.items()), body))
            answer = json.dumps({"error": "invalid_client"}).encode()
            self.send_response(known.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        known.url = f"http://127.0.0.1:{port}/oauth2/token"
        yield known


@contextlib.contextmanager
def _serving(server: Any) -> Iterator[int]:
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
