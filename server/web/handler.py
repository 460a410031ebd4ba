"""The base of the web pages: a session cookie instead of a header, pages instead of JSON errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from tornado.web import HTTPError

from iceprod.tokens import Caller, TokenError
from server.errors import ApiError, Forbidden
from server.handler import Handler
from server.web.static import static_path

__all__ = ["COOKIE", "READERS", "PageHandler", "local_path"]

COOKIE = "iceprod_session"
READERS = ("user", "admin", "system")

# Nothing is loaded from elsewhere, and no script or style stands in a page; templates escape what they show.
_POLICY = ("default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
           "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")


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

    async def authenticate(self) -> Caller:
        """Who is logged in. Raises NotLoggedIn."""
        token = self.get_cookie(COOKIE)
        try:
            return await self.ctx.tokens.caller(token or "")
        except TokenError:
            raise NotLoggedIn("please log in") from None

    def _is_own_form(self) -> bool:
        """Browsers say where a form comes from; SameSite=Strict alone would trust sister hosts."""
        origin = self.request.headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == self.request.host

    def page(self, template: str, **values: Any) -> None:
        """Answer with a page."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.render(template, user=self.caller, static_file=static_path, **values)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, NotLoggedIn) and self.request.method == "GET":
            self.redirect(f"/web/login?next={quote(self.request.uri or '/web/', safe='')}", status=302)
            return
        text = "Something went wrong on our side."
        if isinstance(error, ApiError):
            status_code, text = error.code, error.reason
        elif isinstance(error, HTTPError):
            text = HTTPStatus(status_code).phrase
        self.set_status(status_code)
        self.page("error.html", code=status_code, text=text)
