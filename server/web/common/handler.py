"""The base of the web pages: a session cookie instead of a header, pages instead of JSON errors.

A page is a handler and a template. The handler calls functions of the domain, and ends with

    self.page("name.html", rows=rows)

The template extends ``base.html`` and fills its block `main`; it knows `show` (`server/web/common/show.py`,
how numbers and states are written), `charts`, `user` (the caller), `path` and what the handler passes. A
part of a page that keeps itself up to date is a template of its own, included by the page and asked for by
htmx with ``?part=NAME``: `part` answers it alone. A form posts to a handler that ends with `done`: the next
page says what was done.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from tornado.web import HTTPError, MissingArgumentError

from iceprod.tokens import Caller, TokenError
from server.common.errors import ApiError, BadRequest, Forbidden
from server.rest import sites
from server.rest.handler import Handler
from server.web.common import charts, navigation, show
from server.web.common.navigation import READERS
from server.web.common.static import static_path

__all__ = ["COOKIE", "READERS", "NotLoggedIn", "PageHandler", "local_path"]

COOKIE = "iceprod_session"
NOTICE = "iceprod_notice"
MAX_NOTICE = 600  # characters
_PROBLEM = "! "  # before the notice of what did not work

# Nothing is loaded from elsewhere, and no script or style stands in a page; templates escape what they show.
_POLICY = ("default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
           "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")


# What the API says to programs in words that clients know, and what people read.
_NO_SCAN = "There is no such scan. The list of scans has all that there are."
_WORDS = {
    "manifest not found": _NO_SCAN, "Scan request not found": _NO_SCAN,
    "authorization failed": "authorization failed: your roles and groups do not allow this.",
    "Attempted to delete a completed scan (must use `delete_completed_scan=True`)":
        "The scan has got its final result meanwhile. Go back to it: there it can be deleted all the same.",
}


class NotLoggedIn(Forbidden):
    """There is no session, or its token has expired."""


def local_path(target: str | None) -> str:
    """A path of our own to go to after the login; the start page for anything else."""
    is_ours = bool(target) and str(target).startswith("/web/") and "\\" not in str(target)
    parts = urlsplit(str(target)) if is_ours else None
    return str(target) if parts and not parts.netloc and not parts.scheme else "/web/"


class PageHandler(Handler):
    """A handler that answers people."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("X-Frame-Options", "DENY")

    async def prepare(self) -> None:
        if self.request.method not in ("GET", "HEAD") and not self._is_own_form():
            raise Forbidden("this form was sent from another site")
        await super().prepare()
        if self.caller is not None:
            await sites.check_names(self.ctx, self.caller, self.path_kwargs)

    async def authenticate(self) -> Caller:
        """Who is logged in. Raises NotLoggedIn."""
        token = self.get_cookie(COOKIE)
        try:
            return await self.ctx.tokens.caller(token or "")
        except TokenError:
            raise NotLoggedIn("please log in") from None

    def _is_own_form(self) -> bool:
        """Browsers say where a form comes from; SameSite=Strict alone would trust sister hosts."""
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = self.request.headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == self.request.host

    # -- what they sent

    def query(self, name: str, default: str | None = None) -> str | None:
        """A word of the query; forms send those that nobody filled in, empty: they count as absent."""
        return super().query(name, default) or default

    def query_int(self, name: str, default: int | None = None, *, minimum: int = 0) -> int | None:
        return super().query_int(name, default, minimum=minimum) if self.query(name) else default

    def query_bool(self, name: str, default: bool = False) -> bool:
        return super().query_bool(name, default) if self.query(name) else default

    @property
    def part_wanted(self) -> str:
        """The part of the page that is asked for; empty for the whole page."""
        return self.query("part") or ""

    def field(self, name: str, default: str | None = None) -> str:
        """A field of the form. Raises BadRequest when it is missing and has no default."""
        try:
            value = self.get_body_argument(name) if default is None else self.get_body_argument(name, default)
        except MissingArgumentError:
            raise BadRequest(f"{name}: missing") from None
        return str(value).strip()

    def field_int(self, name: str, default: int | None = None) -> int:
        """A whole number of the form. Raises BadRequest."""
        text = self.field(name, None if default is None else str(default))
        try:
            return int(text)
        except ValueError:
            raise BadRequest(f"{name}: {text[:40]!r} is not a whole number") from None

    # -- what we answer

    def page(self, template: str, **values: Any) -> None:
        """Answer with a page, or with the part of it that is asked for."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        notice = self._notice()
        self.render(template, user=self.caller, static_file=static_path, path=self.request.path, show=show,
                    charts=charts, entries=navigation.entries(self.caller),
                    notice=notice.removeprefix(_PROBLEM), is_problem=notice.startswith(_PROBLEM), **values)

    def not_done(self, text: str, target: str) -> None:
        """Go back to a page of ours, which says at its top what did not work."""
        self.done(_PROBLEM + text, target)

    def done(self, text: str, target: str) -> None:
        """Go on to a page of ours, which says `text` at its top."""
        self.set_cookie(NOTICE, quote(text[:MAX_NOTICE]), path="/web", httponly=True, samesite="Strict",
                        secure=self.request.protocol == "https", max_age=60)
        self.redirect(local_path(target), status=303)

    def _notice(self) -> str:
        kept = self.get_cookie(NOTICE)
        is_part = self.part_wanted or self.request.headers.get("HX-Request")
        if not kept or self.request.method != "GET" or is_part:
            return ""
        self.clear_cookie(NOTICE, path="/web")
        return unquote(kept)[:MAX_NOTICE]

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = self.what_failed(kwargs)
        if isinstance(error, NotLoggedIn):
            self._ask_to_log_in()
            return
        text = "Something went wrong on our side. It was written to the server's log"
        text += f" as trace {self.traced.trace.trace_id}." if self.traced else "."
        if isinstance(error, ApiError):
            status_code, text = error.code, _WORDS.get(error.reason, error.reason)
        elif isinstance(error, HTTPError):
            text = HTTPStatus(status_code).phrase
        self.set_status(status_code)
        self.say_when_again(error)
        self.say_allowed(status_code)
        self.page("error.html", code=status_code, text=text, back=self._where_from())

    def _where_from(self) -> str:
        """The page of ours that led here; empty for none, or for this one."""
        parts = urlsplit(self.request.headers.get("Referer", ""))
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        is_ours = parts.netloc == self.request.host and local_path(path) == path
        return path if is_ours and path != self.request.uri else ""

    def _ask_to_log_in(self) -> None:
        if self.request.headers.get("HX-Request"):  # a part of a page: let the browser load the login page
            self.set_status(204)
            self.set_header("HX-Refresh", "true")
            self.finish()
            return
        is_page = self.request.method == "GET"
        target = self.request.uri if is_page else self.request.headers.get("Referer", "")
        path = local_path(target if is_page else urlsplit(str(target)).path)
        self.redirect(f"/web/login?next={quote(path, safe='')}", status=302 if is_page else 303)
