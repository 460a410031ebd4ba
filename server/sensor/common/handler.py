"""The base of the sensor API's handlers: tokens in three headers, bare JSON, absolute addresses."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec
from tornado.web import HTTPError

from config.json_text import JsonError
from iceprod.tokens import Caller, TokenError
from server.common.errors import ApiError, BadRequest, NotFound, TooManyRequests, Unavailable, status_line
from server.rest.admission import user_of
from server.rest.handler import Handler
from server.sensor.common.addresses import PREFIX, Addresses
from server.sensor.common.errors import FieldErrors, NotAllowed, NotAuthenticated, Protected

__all__ = ["PREFIX", "NoSuchResource", "SensorHandler"]

_NO_CREDENTIALS = "Authentication credentials were not provided."
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


class SensorHandler(Handler):
    """Every method needs a token; reading needs no more."""

    # -- who calls

    async def prepare(self) -> None:
        self.caller = await self.known_caller()
        if self.request.method not in self.known_methods:
            raise self._not_allowed()
        await self.enter(user_of(self.caller))
        await self.read_large_body()

    def _not_allowed(self) -> NotAllowed:
        return NotAllowed(self.request.method or "", self.known_methods)

    async def authenticate(self) -> Caller:
        """The owner of the token in ``Authorization: Token …`` (or ``Bearer …``) or ``Token: …``."""
        try:
            return await self.ctx.tokens.caller(self._key())
        except TokenError:
            raise NotAuthenticated("Invalid token.") from None

    def _key(self) -> str:
        kind, _, key = self.request.headers.get("Authorization", "").strip().partition(" ")
        if kind.lower() not in ("token", "bearer"):
            kind, key = "token", self.request.headers.get("Token", "")
            word, _, rest = key.strip().partition(" ")
            key = rest if word.lower() in ("token", "bearer") and rest else key
            if not key.strip():
                raise NotAuthenticated(_NO_CREDENTIALS)
        return key.strip()

    # -- what they sent

    def json_body(self, *, gaps: bool = False) -> Any:
        """The body; an empty one is an empty object."""
        if not self.request.body.strip():
            return {}
        try:
            return self.document(gaps)
        except JsonError as error:
            raise BadRequest(f"JSON parse error - {error}") from None

    def window(self) -> tuple[int, int]:
        """`offset` and `limit` of the query; a limit of 0 is none. Raises FieldErrors."""
        return self._count("offset", self.query("offset")), self._count("limit", self.query("limit"))

    def _count(self, name: str, text: str | None) -> int:
        if text is None or text == "":
            return 0
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
            raise FieldErrors.of(name, "A valid integer is required.")
        return int(text)

    # -- what we answer

    @property
    def addresses(self) -> Addresses:
        """Where things are, as the caller reaches us."""
        forwarded = self.request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
        scheme = forwarded if forwarded in ("http", "https") else self.request.protocol
        host = self.request.host if _HOST.fullmatch(self.request.host or "") else "localhost"
        return Addresses(f"{scheme}://{host}")

    def nothing(self) -> None:
        """Answer 204."""
        self.set_status(204)
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = self.what_failed(kwargs)
        if status_code == 405 and isinstance(error, HTTPError):  # a method that no path of any API has
            error = self._not_allowed()
        document: dict[str, Any] = {"detail": self._reason}
        if isinstance(error, ApiError):
            status_code, document = error.code, self._document(error)
        elif isinstance(error, HTTPError):
            document = {"detail": error.log_message or self._reason}
            self.hint(error)
        elif status_code >= 500:
            document = {"detail": "internal error"}
        self.set_status(status_code, status_line(HTTPStatus(status_code).phrase))
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(msgspec.json.encode(document))

    def _document(self, error: ApiError) -> dict[str, Any]:
        """An error's body, and the headers that go with it."""
        match error:
            case FieldErrors():
                return dict(error.texts)
            case Protected():
                return {"detail": error.reason,
                        "protected_objects": [self.addresses.run(*one) for one in error.objects]}
            case NotAuthenticated():
                self.set_header("WWW-Authenticate", "Token")
            case NotAllowed():
                self.set_header("Allow", ", ".join(error.methods))
            case TooManyRequests() | Unavailable():
                self.hint(error)
        return {"detail": error.reason}


class NoSuchResource(SensorHandler):
    """Whatever below /api/v1/ is no route of ours."""

    async def prepare(self) -> None:
        raise NotFound("Not found.")
