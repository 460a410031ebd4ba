"""Logging in with a token, and out."""

from __future__ import annotations

import time

from iceprod.tokens import TokenError
from server.routing import Route, allow
from server.web.handler import COOKIE, PageHandler, local_path

__all__ = ["ROUTES"]


class Login(PageHandler):
    """The login form: a token, pasted, becomes a cookie that scripts cannot read."""

    @allow("everybody")
    def get(self) -> None:
        self.page("login.html", problem="", target=local_path(self.query("next")))

    @allow("everybody")
    async def post(self) -> None:
        token = self.get_body_argument("token", "").strip()
        target = local_path(self.get_body_argument("next", ""))
        try:
            caller = await self.ctx.tokens.caller(token)
        except TokenError as error:
            self.set_status(403)
            self.page("login.html", problem=f"This token is not accepted: {error}.", target=target)
            return
        self.set_cookie(COOKIE, token, path="/", expires=caller.expires, httponly=True, samesite="Strict",
                        secure=self.request.protocol == "https",
                        max_age=max(0, int(caller.expires - time.time())))
        self.redirect(target, status=303)


class Logout(PageHandler):
    """Forget the session."""

    @allow("everybody")
    def post(self) -> None:
        self.clear_cookie(COOKIE, path="/")
        self.redirect("/web/login", status=303)


ROUTES = [Route("/web/login", Login, "web"), Route("/web/logout", Logout, "web")]
