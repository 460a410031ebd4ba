"""The base of every REST handler: who calls, what they sent, and how answers and errors are written."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from tornado.web import HTTPError, RequestHandler

from config.json_text import JsonError
from iceprod.tokens import Caller, TokenError
from server.common import metrics
from server.common.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    TooManyRequests,
    Unavailable,
    error_body,
    status_line,
)
from server.common.resting import current
from server.rest import bodies
from server.rest.addresses import client_address
from server.rest.admission import Ticket, user_of
from server.rest.context import Context
from server.rest.door import is_form
from server.rest.routing import METHODS
from server.rest.traced import Traced
from server.store.away import is_away

__all__ = ["Handler", "NoRoute", "encode"]

log = logging.getLogger("server.http")

MOST_FIELDS = 10_000  # of a body; errors name those that are not known

_AWAY = "the database does not answer just now; try again later"
_AWAY_SECONDS = (2, 5)  # a new primary is there some seconds later; not all come back in the same one
_TO_COME_AGAIN = frozenset({429, 503})  # metrics count them; a line for each would add to the load
_TRUE, _FALSE = {"true", "t", "1", "yes", "y", "on"}, {"false", "f", "0", "no", "n", "off"}


def _plain(value: object) -> int:
    """What the encoder does not know: the database's 64-bit integers."""
    if isinstance(value, int):
        return int(value)
    raise NotImplementedError(f"no JSON for {type(value).__name__}")


encode = msgspec.json.Encoder(enc_hook=_plain).encode
"""JSON of what the database gives."""


class Handler(RequestHandler):
    """Decode, authorise, call one function of the domain, encode."""

    traced: Traced | None = None

    def initialize(self, route: str = "") -> None:
        self.started = time.perf_counter()
        self.traced = Traced(self.request, route)
        self._tell_trace()
        self.caller: Caller | None = None
        self._read_body: bodies.ReadBody | None = None
        self._ticket: Ticket | None = None

    @property
    def ctx(self) -> Context:
        return self.application.settings["context"]

    # -- who calls

    async def enter(self, user: str = "") -> None:
        """Take a place among the requests that are worked on. Raises TooManyRequests, Unavailable."""
        method = getattr(self, (self.request.method or "").lower(), None)
        urgent = getattr(method, "urgent", False)
        self._ticket = await self.ctx.admission.enter(urgent, len(self.request.body), user)
        current.set(self._ticket)

    async def prepare(self) -> None:
        if self.ctx.admission.is_closing:
            self.set_header("Connection", "close")
        method = getattr(self, self.request.method.lower() if self.request.method else "", None)
        roles = getattr(method, "roles", None)
        if roles is None:
            raise HTTPError(405)
        if "everybody" not in roles:
            self.caller = await self.known_caller()
            if "any" not in roles and not self.caller.roles & roles:
                raise Forbidden("authorization failed")
        await self.enter(user_of(self.caller))
        await self.read_large_body()

    async def known_caller(self) -> Caller:
        """Who calls; whoever often is nobody waits for the answer."""
        try:
            return await self.authenticate()
        except ApiError:
            await self.ctx.admission.refuse(self.caller_address)
            raise

    async def authenticate(self) -> Caller:
        kind, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise Forbidden("authentication failed")
        try:
            return await self.ctx.tokens.caller(token.strip())
        except TokenError:
            raise Forbidden("authentication failed") from None

    @property
    def caller_address(self) -> str:
        """Where the request comes from, as far as those say so whom we trust."""
        return client_address(self.request.remote_ip or "", self.request.headers, self.ctx.trusted_proxies)

    @property
    def user(self) -> Caller:
        """The caller of a method that needs a token."""
        if self.caller is None:
            raise Forbidden("authentication failed")
        return self.caller

    @property
    def known_methods(self) -> list[str]:
        """The methods that this path answers."""
        return [name.upper() for name in METHODS if hasattr(getattr(self, name), "roles")]

    # -- what they sent

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        try:
            return value.decode("utf8")
        except UnicodeDecodeError:
            raise BadRequest(f"{name or 'path'}: not UTF-8") from None

    def body(self, *, required: bool = True, gaps: bool = False) -> dict[str, Any]:
        """The body as a JSON object; an absent one is refused, or ``{}`` when it is not required.

        With ``gaps`` numbers may be NaN or infinite: the caller knows where one may be missing.
        """
        if not self.request.body.strip():
            if required:
                raise BadRequest("Missing required request body")
            return {}
        document = self.json_body(gaps=gaps)
        if not isinstance(document, dict):
            raise BadRequest(f"request body must be type 'object' (dict), not {type(document).__name__}")
        if len(document) > MOST_FIELDS:
            raise BadRequest(f"request body: more than {MOST_FIELDS} fields")
        return document

    def json_body(self, *, gaps: bool = False) -> Any:
        try:
            return self.document(gaps)
        except JsonError as error:
            raise BadRequest(f"request body is not JSON-encoded: {error}") from None

    def document(self, gaps: bool) -> Any:
        """The body as JSON. Raises JsonError, and what `examine` raises."""
        if self._read_body is not None:
            return self._read_body.take(gaps)
        return bodies.read(self.request.body, gaps, self.examine)

    def examine(self, document: Any) -> None:
        """Raise BadRequest for a document that this family of routes never takes."""

    async def read_large_body(self) -> None:
        """Read a large body in a thread; every `prepare` does so once it knows that the caller may call."""
        if len(self.request.body) > bodies.LARGE and not is_form(self.request.headers):
            self._read_body = await bodies.read_aside(self.request.body, self.examine)

    def query(self, name: str, default: str | None = None) -> str | None:
        value = self.get_query_argument(name, default)
        return value

    def query_bool(self, name: str, default: bool = False) -> bool:
        value = self.get_query_argument(name, None)
        if value is None:
            return default
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        raise BadRequest(f"{name!r}: must be true or false, not {value!r}")

    def query_int(self, name: str, default: int | None = None, *, minimum: int = 0) -> int | None:
        value = self.get_query_argument(name, None)
        if value is None:
            return default
        if not re.fullmatch(r"[+-]?\d{1,18}", value) or int(value) < minimum:
            raise BadRequest(f"bad {name} param. must be int >= {minimum}")
        return int(value)

    def query_list(self, name: str) -> list[str]:
        """A list whose parts are separated by ``|``; empty when absent."""
        value = self.get_query_argument(name, "")
        return [part for part in value.split("|") if part]

    # -- what we answer

    def send(self, document: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(encode(document))

    def set_default_headers(self) -> None:
        self.set_header("Server", "iceprod")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        self._tell_trace()

    def _tell_trace(self) -> None:
        """Say by which id our logs have the request, as W3C's drafts have it."""
        if self.traced is not None:
            self.set_header("traceresponse", self.traced.trace.parent)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        reason = self._reason
        error = self.what_failed(kwargs)
        if isinstance(error, ApiError):
            status_code, reason = error.code, error.reason
        elif isinstance(error, HTTPError):
            reason = error.log_message or reason
        elif status_code >= 500:
            reason = "internal error"
        self.set_status(status_code, status_line(reason))
        self.hint(error)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(msgspec.json.encode(self.error_document(status_code, reason)))

    @staticmethod
    def what_failed(given: Mapping[str, Any]) -> BaseException | None:
        """The error that `write_error` is given; of a database that is away, what that is for the caller."""
        error: BaseException | None = given.get("exc_info", (None, None, None))[1]
        return Unavailable(_AWAY, random.randint(*_AWAY_SECONDS)) if is_away(error) else error

    def hint(self, error: object) -> None:
        """Tell a client that shall come again when that is, and one with a wrong method which are right."""
        if isinstance(error, TooManyRequests | Unavailable) and error.retry_after:
            self.set_header("Retry-After", str(error.retry_after))
        elif isinstance(error, HTTPError) and error.status_code == 405:
            self.set_header("Allow", ", ".join(self.known_methods))

    def error_document(self, code: int, reason: str) -> dict[str, object]:
        """The body of an error; a family whose API has a shape of its own overrides this."""
        return {**error_body(code, reason), "trace": self.traced.trace.trace_id if self.traced else ""}

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if is_away(value):
            log.warning("the database does not answer: %s", str(value)[:200],
                        extra={"path": self.request.path})
        elif not isinstance(value, ApiError | HTTPError):
            log.error("request failed", exc_info=(typ, value, tb), extra={"path": self.request.path})

    def on_finish(self) -> None:
        if self._ticket is not None:
            self._ticket.leave()
        seconds = time.perf_counter() - self.started
        status = self.get_status()
        metrics.observe_request(type(self).__name__, self.request.method or "", status, seconds)
        log.log(_level(status), "request", extra={
            "action": "request", "method": self.request.method, "path": unquote(self.request.path),
            "status": status, "ms": round(seconds * 1000, 2),
            "user": self.caller.username if self.caller else None})
        if self.traced is not None:
            self.traced.end(status)


def _level(status: int) -> int:
    """How loud an answered request is: who was refused has a trace, and looks for it in the log."""
    return logging.INFO if status >= 400 and status not in _TO_COME_AGAIN else logging.DEBUG


class NoRoute(Handler):
    """Whatever is no route of ours."""

    async def prepare(self) -> None:
        await self.ctx.admission.refuse(self.caller_address)
        self.send(self.error_document(404, "no such route"), 404)
