"""The start page."""

from __future__ import annotations

from server.rest.routing import Route, allow
from server.scans.run import backlog
from server.web.common import overview
from server.web.common.handler import READERS, PageHandler

__all__ = ["ROUTES"]


class Home(PageHandler):
    """What runs, what waits, and what needs the reader."""

    @allow(*READERS)
    async def get(self) -> None:
        scans, number_of_scans = await overview.running_scans(self.ctx)
        waiting = await backlog.entries(self.ctx)
        template = "home_now.html" if self.part_wanted == "now" else "home.html"
        self.page(template, scans=scans, number_of_scans=number_of_scans, waiting=waiting[:overview.MOST],
                  number_waiting=len(waiting), datasets=await overview.datasets_that_run(self.ctx, self.user),
                  needs=await overview.needs(self.ctx, self.user))


ROUTES = [Route("/web/", Home, "web")]
