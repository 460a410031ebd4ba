"""What answers while the server prepares its database: 503, so that clients and balancers try again later."""

from __future__ import annotations

import msgspec
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.web import Application, RequestHandler

from server.common.errors import error_body

__all__ = ["Door"]

_TEXT = "the server is starting: it prepares the database; try again in a moment"


class _Starting(RequestHandler):
    """The answer to everything until the application is there."""

    async def prepare(self) -> None:
        self.set_status(503)
        self.set_header("Retry-After", "1")
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(msgspec.json.encode({"status": "starting", **error_body(503, _TEXT)}))


class Door(HTTPServerConnectionDelegate):
    """Leads every request to `application`, which is put in place when all is ready."""

    def __init__(self) -> None:
        self.application = Application([], default_handler_class=_Starting, log_function=lambda handler: None)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return self.application.start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        self.application.on_close(server_conn)
