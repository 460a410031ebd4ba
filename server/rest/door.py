"""The way in: what answers while the server prepares its database, and which bodies are let in at all.

Bodies are kept in memory while they come, before anybody looks at them. Hence one without a token, and a
form, which tornado reads where everybody waits, have to be small; and all that come at once have a share of
the memory.
"""

from __future__ import annotations

import logging

import msgspec
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application, RequestHandler

from server.common.errors import ApiError, TooLarge, Unavailable, error_body, status_line
from server.common.turns import Turns

__all__ = ["FORMS", "MOST_AT_ONCE", "MOST_FORM", "MOST_UNKNOWN", "Door", "is_form"]

log = logging.getLogger("server")

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
MOST_FORM = 2 << 20  # bytes: a fifth of a second of reading
MOST_UNKNOWN = 1 << 20  # of a request without a token
MOST_AT_ONCE = 512 << 20  # of all bodies that are on their way

_TEXT = "the server is starting: it prepares the database; try again in a moment"
_SMALL = 64 << 10  # a body that is rather read than cut off


class _Starting(RequestHandler):
    """The answer to everything until the application is there."""

    def initialize(self, door: Door) -> None:
        self._door = door

    async def prepare(self) -> None:
        self.set_status(503)
        self.set_header("Retry-After", str(self._door.turns.next()))
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(msgspec.json.encode({"status": "starting", **error_body(503, self._door.told or _TEXT)}))


def is_form(headers: HTTPHeaders) -> bool:
    """Whether tornado reads the body by itself."""
    return headers.get("Content-Type", "").startswith(FORMS)


class Door(HTTPServerConnectionDelegate):
    """Leads every request to `application`, which is put in place when all is ready."""

    def __init__(self) -> None:
        self.turns = Turns()  # of all who came too early
        self.application = Application([], default_handler_class=_Starting, log_function=lambda handler: None,
                                       default_handler_args={"door": self})
        self.told = ""  # to all who came too early: what the server waits for, in words; empty: it works
        self.coming = 0  # bytes of bodies that are on their way

    def wait_for(self, text: str) -> None:
        """Tell the log, and all who come too early, what the server waits for."""
        self.told = text
        log.warning("%s", text, extra={"action": "start"})

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return _Entrance(self, self.application.start_request(server_conn, request_conn), request_conn)

    def on_close(self, server_conn: object) -> None:
        self.application.on_close(server_conn)


class _Entrance(HTTPMessageDelegate):
    """Hands one request on, or refuses it."""

    def __init__(self, door: Door, inside: HTTPMessageDelegate, connection: HTTPConnection) -> None:
        self._door, self._inside, self._connection = door, inside, connection
        self._most, self._size = MOST_AT_ONCE, 0
        self._refused: ApiError | None = None
        self._answered = False

    def headers_received(self, start_line: object, headers: HTTPHeaders) -> None:
        assert isinstance(start_line, RequestStartLine)
        size = int(headers.get("Content-Length", "0"))  # tornado has checked that it is a number
        self._most, kind = _most(headers)
        if _is_gone(self._connection):
            self._refused, self._answered = Unavailable("nobody waits for an answer"), True
        elif size > self._most:
            self._refused = TooLarge(f"{kind} may have at most {self._most >> 20} MB")
        elif size and self._door.coming + size > MOST_AT_ONCE:
            self._refused = Unavailable("too many large requests at once; try again in a moment")
        if self._refused is None:
            self._inside.headers_received(start_line, headers)
        elif size > _SMALL and not self._answered:
            self._answer(self._refused)

    def data_received(self, chunk: bytes) -> None:
        if self._refused is not None:
            return
        self._size += len(chunk)
        self._door.coming += len(chunk)
        if self._size > self._most or self._door.coming > MOST_AT_ONCE:  # it did not say how much it brings
            self._leave()
            raise HTTPInputError("body too long")
        self._inside.data_received(chunk)

    def finish(self) -> None:
        self._leave()
        if self._refused is None:
            self._inside.finish()
        elif not self._answered:
            self._answer(self._refused)

    def on_connection_close(self) -> None:
        self._leave()
        if self._refused is None:
            self._inside.on_connection_close()

    def _leave(self) -> None:
        self._door.coming -= self._size
        self._size = 0

    def _answer(self, error: ApiError) -> None:
        self._answered = True
        body = msgspec.json.encode(error_body(error.code, error.reason))
        headers = HTTPHeaders({"Content-Type": "application/json; charset=UTF-8", "Server": "iceprod",
                               "Content-Length": str(len(body))})
        if error.code == 503:
            headers["Retry-After"] = str(self._door.turns.next())
        line = ResponseStartLine("", error.code, status_line(error.reason))
        self._connection.write_headers(line, headers, body)
        self._connection.finish()


def _is_gone(connection: HTTPConnection) -> bool:
    """Whether the client has hung up, and left requests behind that it had sent at once."""
    stream = getattr(connection, "stream", None)
    return stream is not None and stream.closed()


def _most(headers: HTTPHeaders) -> tuple[int, str]:
    """How large a body may be, and what it is."""
    if is_form(headers):
        return MOST_FORM, "a form"
    if not (headers.get("Authorization") or headers.get("Token")):
        return MOST_UNKNOWN, "a request without a token"
    return MOST_AT_ONCE, "a request"
