"""What a browser gets for a page that there is not."""

from __future__ import annotations

from server.common.errors import NotFound
from server.rest.routing import Route, allow
from server.web.common.handler import PageHandler

__all__ = ["MISSING"]


class Missing(PageHandler):
    """No page of ours. To people who are not logged in it says no more than the login does."""

    @allow("any")
    def get(self, path: str) -> None:
        raise NotFound("There is no such page. The bar at the top leads to those that there are.")

    @allow("any")
    def post(self, path: str) -> None:
        self.get(path)


MISSING = Route("/web/?(?P<path>.*)", Missing, "web")
"""Asked after all other routes; no part of the described API."""
