"""What a browser gets for a page that there is not."""

from __future__ import annotations

from server.common.errors import NotFound
from server.rest.routing import Route, allow
from server.web.common.handler import NotLoggedIn, PageHandler

__all__ = ["MISSING"]


class Missing(PageHandler):
    """No page of ours; who is logged in also sees the navigation."""

    @allow("everybody")
    async def get(self, path: str) -> None:
        try:
            self.caller = await self.authenticate()
        except NotLoggedIn:
            await self.ctx.admission.refuse(self.caller_address)
        raise NotFound("There is no such page. The bar at the top leads to those that there are.")

    @allow("everybody")
    async def post(self, path: str) -> None:
        await self.get(path)


MISSING = Route("/web/?(?P<path>.*)", Missing, "web")
"""Asked after all other routes; no part of the described API."""
