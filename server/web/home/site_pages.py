"""Pages of sites and their pilots."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

from server.common.errors import BadRequest
from server.production.activity import series
from server.production.failures import parking, quarantine
from server.production.sites import grids, pilots, site_control, site_tests
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.web.common import counters
from server.web.common.charts import Chart
from server.web.common.handler import READERS, PageHandler
from server.web.home import activity_charts, hosts, site_view

__all__ = ["ROUTES"]


class Sites(PageHandler):
    """All sites: how busy they are, what is wanted of them, which places are quarantined."""

    @allow(*READERS)
    async def get(self) -> None:
        template = "sites_now.html" if self.part_wanted == "now" else "sites.html"
        roles = self.user.roles
        span = activity_charts.chosen_span(self.query("span"))
        sees_pilots = bool(roles & {"admin", "system"})
        self.page(template, sites=await site_view.sites(self.ctx), span=span,
                  spans=activity_charts.SPAN_NAMES, activity=await _activity(self.ctx, span),
                  hosts=await hosts.hosts_of_the_day(self.ctx) if sees_pilots else None,
                  places=await quarantine.listed(self.ctx),
                  resources=await parking.listed(self.ctx), tests=await site_tests.availability(self.ctx),
                  is_admin="admin" in roles, sees_pilots=sees_pilots)


@dataclass(frozen=True)
class SiteActivity:
    """What a site did in the span that is shown."""

    cores: Chart
    ends: list[tuple[str, int, str]]

    @property
    def total(self) -> int:
        """All ends."""
        return sum(number for _, number, _ in self.ends)


async def _activity(ctx: Context, span: str) -> dict[str, SiteActivity]:
    """By site; of sites that nothing is known of, nothing."""
    found = await counters.kept(ctx, "sites", lambda: series.of_sites(ctx, span), span)
    return {site: SiteActivity(activity_charts.cores(rows, span, f"cores-{zlib.crc32(site.encode()):x}"),
                               activity_charts.ends(rows)) for site, rows in found.items()}


class SiteControl(PageHandler):
    """Pause, drain, limit or free a site."""

    @allow("admin")
    async def post(self, grid_id: str) -> None:
        limit = self.field("limit", "")
        if limit and not re.fullmatch(r"\d{1,8}", limit):
            raise BadRequest("limit: a whole number, or nothing for no limit")
        wanted: dict[str, Any] = {"state": self.field("state"), "reason": self.field("reason", ""),
                                  "limit": int(limit) if limit else None}
        grid = await site_control.control(self.ctx, grid_id, wanted, self.user.username)
        name = grid.get("site") or grid.get("host")
        words = {"active": "may submit pilots", "paused": "submits no more pilots",
                 "draining": "submits no more pilots, and its pilots end after their tasks"}
        self.done(f"{name} {words[wanted['state']]}; it hears that at its next heartbeat.", "/web/sites")


class Pilots(PageHandler):
    """The pilots of one site."""

    @allow("admin", "system")
    async def get(self, grid_id: str) -> None:
        grid = await grids.get(self.ctx, grid_id)
        template = "pilots_now.html" if self.part_wanted == "now" else "pilots.html"
        self.page(template, grid=grid, pilots=await site_view.pilots_of(self.ctx, grid_id),
                  name=grid.get("site") or grid.get("host"), is_admin="admin" in self.user.roles)


class DrainPilot(PageHandler):
    """Let a pilot end after its tasks."""

    @allow("admin", "system")
    async def post(self, pilot_id: str) -> None:
        pilot = await pilots.get(self.ctx, pilot_id)
        await pilots.drain(self.ctx, pilot_id)
        self.done(f"The pilot on {pilot['host'] or 'a host without a name'} ends after its tasks.",
                  f"/web/sites/{pilot['grid_id']}" if pilot.get("grid_id") else "/web/sites")


class Quarantine(PageHandler):
    """Give a host or site no tasks for a while, or again."""

    @allow("admin")
    async def post(self) -> None:
        kind, name = self.field("kind"), self.field("name")
        if self.field("lift", ""):
            await quarantine.lift(self.ctx, kind, name)
            self.done(f"The {kind} {name} gets tasks again.", "/web/sites")
            return
        if not name:
            raise BadRequest("name: which host or site?")
        body = {"reason": self.field("reason", ""), "minutes": self.field_int("minutes", 60)}
        await quarantine.put(self.ctx, kind, name, body, self.user.username)
        self.done(f"The {kind} {name} gets no tasks for {body['minutes']} minutes.", "/web/sites")


class CloseBreaker(PageHandler):
    """Say that a resource is back."""

    @allow("admin")
    async def post(self) -> None:
        resource = self.field("resource")
        released = await parking.close(self.ctx, resource)
        self.done(f"{resource} is taken to be back: {released} tasks wait for pilots again.", "/web/sites")


ROUTES = [
    Route("/web/sites", Sites, "web"),
    Route("/web/sites/quarantine", Quarantine, "web"),
    Route("/web/sites/breakers", CloseBreaker, "web"),
    Route("/web/sites/{grid_id}", Pilots, "web"),
    Route("/web/sites/{grid_id}/control", SiteControl, "web"),
    Route("/web/pilots/{pilot_id}/drain", DrainPilot, "web"),
]
