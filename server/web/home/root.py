"""The root: an empty answer for programs, the start page for people."""

from __future__ import annotations

from server.rest.handler import Handler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Root(Handler):
    """Root ping; a browser is sent to the web pages."""

    async def prepare(self) -> None:
        if self.request.method == "GET" and "text/html" in self.request.headers.get("Accept", ""):
            self.redirect("/web/", status=302)
            return
        await super().prepare()

    @allow("any")
    async def get(self) -> None:
        self.send({})


ROUTES = [Route("/", Root, "root")]
