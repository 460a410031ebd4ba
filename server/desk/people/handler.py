"""The base of the desk's handlers: SkyPortal's envelope, credentials, rights and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from tornado.web import HTTPError

from config.version import version
from server.common.errors import BadRequest
from server.desk.common.access import Visitor
from server.desk.common.bodies import Body, convert
from server.desk.common.dates import absent
from server.desk.common.errors import MALFORMED, Unauthorized
from server.desk.common.paging import Page, page
from server.desk.common.throttle import throttle
from server.desk.people import people
from server.production.common.fields import check_storable
from server.rest.handler import Handler
from server.rest.routing import allow

__all__ = ["DeskHandler", "NoSuchEndpoint", "needs"]

_TRUE = {"true", "yes", "t", "1"}
_MAX_ID = (1 << 63) - 1
MOST_LISTED = 1000  # rows of an answer without pages of its own

_B = TypeVar("_B", bound=Body)
_R = TypeVar("_R")


VERSION = version()


def needs(acl: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say that a method needs a token with this right."""

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        method.acl = acl  # type: ignore[attr-defined]
        return allow("any")(method)

    return mark


class DeskHandler(Handler):
    """Decode, authorise, call one function of the domain, encode."""

    # -- who asks

    async def prepare(self) -> None:
        header = self.request.headers.get("Authorization", "")
        throttle(self.ctx).check(header or self.caller_address, self.caller_address)
        method = getattr(self, (self.request.method or "").lower(), None)
        roles = getattr(method, "roles", None)
        if roles is None:
            raise HTTPError(405)
        if "everybody" not in roles:
            self._visitor: Visitor | None = await self._who_asks(header)
            acl = getattr(method, "acl", None)
            if acl and not self.who.has(acl):
                raise Unauthorized(f"Insufficient permissions: the token lacks the right {acl!r}")
        await self.enter(f"desk {self.who.user_id}" if "everybody" not in roles else "")
        await self.read_large_body()

    async def _who_asks(self, header: str) -> Visitor:
        kind, _, token = header.partition(" ")
        if kind.lower() not in ("token", "bearer") or not token.strip():
            raise Unauthorized(MALFORMED)
        return await people.visitor(self.ctx, token.strip())

    @property
    def who(self) -> Visitor:
        """The caller of a method that needs a token."""
        if self._visitor is None:
            raise Unauthorized(MALFORMED)
        return self._visitor

    # -- what they sent

    def json_body(self, *, gaps: bool = True) -> Any:
        """The body; NaN and infinities stay for `bodies.convert` to judge."""
        return super().json_body(gaps=True)

    def examine(self, document: Any) -> None:
        check_storable(document)

    def typed(self, body: type[_B], artefacts: Iterable[str] = (), *, required: bool = True) -> _B:
        """The request's body, checked; `artefacts` as in `bodies.convert`. Raises BadRequest."""
        return convert(self.body(required=required), body, artefacts)

    def query_bool(self, name: str, default: bool = False) -> bool:
        """Whether a query's value says yes; any other word says no."""
        value = self.get_query_argument(name, None)
        return default if value is None else value.lower() in _TRUE

    def query_given(self, name: str) -> str | None:
        """A query's value; None when it is absent, or a word such as ``null`` that stands for that."""
        value = self.query(name)
        return None if absent(value) else value

    def page(self, *, default: int, cap: int, strict: bool = False) -> Page:
        """The page of a list that is asked for. Raises BadRequest."""
        number, size = self.query("pageNumber"), self.query("numPerPage")
        return page(number, size, default=default, cap=cap, strict=strict)

    def cut(self, rows: Sequence[_R]) -> Sequence[_R]:
        """The page that is asked for of a list that is usually short. Raises BadRequest."""
        return self.page(default=MOST_LISTED, cap=MOST_LISTED).cut(rows)

    def number(self, text: str, name: str) -> int:
        """A whole number of the path. Raises BadRequest."""
        if not (text.isascii() and text.isdigit()) or int(text[:30]) > _MAX_ID:
            raise BadRequest(f"{name}: must be an integer, not {text[:60]!r}")
        return int(text)

    # -- what we answer

    def success(self, data: Any = None) -> None:
        """The envelope of an answer."""
        self.send({"status": "success", "message": "", "data": {} if data is None else data,
                   "version": VERSION})

    def error_document(self, code: int, reason: str) -> dict[str, object]:
        return {"status": "error", "message": reason, "data": {}, "version": VERSION}


class NoSuchEndpoint(DeskHandler):
    """Whatever below /api/ is no route of ours."""

    async def prepare(self) -> None:
        raise BadRequest("Invalid API endpoint")
