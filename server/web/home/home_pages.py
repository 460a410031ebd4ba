"""The start page."""

from __future__ import annotations

from dataclasses import dataclass

from server.alerts.common.rights import may_manage
from server.production.activity import series
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.scans.manifests import manifests
from server.scans.pixels import runs
from server.scans.results import sketches
from server.scans.run import backlog
from server.web.common import counters, overview, show
from server.web.common.handler import COOKIE, READERS, PageHandler
from server.web.home import activity_charts
from server.web.home.needs import Need, Reader, needs

__all__ = ["ROUTES"]

MOST_MAPS = 4


class Home(PageHandler):
    """What runs, what waits, and what needs the reader."""

    @allow(*READERS)
    async def get(self) -> None:
        span = activity_charts.chosen_span(self.query("span"))
        match self.part_wanted:
            case "activity":
                self.page("home_activity.html", **await self._activity(span))
            case "maps":
                self.page("home_maps.html", maps=await _maps(self.ctx))
            case "needs":
                self.page("home_needs.html", needs=await self._needs())
            case "now":
                self.page("home_now.html", **await self._now())
            case _:
                self.page("home.html", maps=await _maps(self.ctx), needs=await self._needs(),
                          **await self._activity(span), **await self._now())

    async def _needs(self) -> list[Need]:
        """What will not go on by itself."""
        manages = await may_manage(self.ctx, self.user, self.get_cookie(COOKIE) or "")
        return await needs(self.ctx, Reader(self.user, manages))

    async def _now(self) -> dict[str, object]:
        """What changes all the time."""
        scans, number_of_scans = await overview.running_scans(self.ctx)
        waiting = await backlog.entries(self.ctx)
        return {"scans": scans, "number_of_scans": number_of_scans, "waiting": waiting[:overview.MOST],
                "number_waiting": len(waiting),
                "datasets": await overview.datasets_that_run(self.ctx, self.user)}

    async def _activity(self, span: str) -> dict[str, object]:
        """What all sites did over time."""
        found = await counters.kept(self.ctx, "activity", lambda: series.of_whole(self.ctx, span), span)
        figures = [activity_charts.tasks(found, span), activity_charts.cores(found, span),
                   activity_charts.queue(found, span)]
        return {"span": span, "spans": activity_charts.SPAN_NAMES, "activity": figures}


@dataclass(frozen=True)
class Map:
    """A map that was finished lately."""

    scan_id: str
    event: str
    found: str  # best fit and area, in words
    time: float
    sketched: float  # when the map that its small picture shows was final; 0: it has none yet


async def _maps(ctx: Context) -> list[Map]:
    rows = []
    latest = await runs.latest_final(ctx, MOST_MAPS)
    sketched = await sketches.find_many(ctx, [run.scan_id for run in latest])
    for run in latest:
        manifest = await manifests.read(ctx, run.scan_id)
        if not manifest.is_deleted:
            sketch = sketched.get(run.scan_id)
            rows.append(Map(run.scan_id, overview.event_name(manifest), _found(run.summary), run.since,
                            sketch.finished if sketch else 0.0))
    return rows


def _found(summary: dict[str, object]) -> str:
    """The best fit and how large the 90 % region is."""
    best, area = summary.get("best_fit"), summary.get("area_90_deg2")
    words = [f"RA {best['ra_deg']:.2f}°, Dec {best['dec_deg']:+.2f}°"] if isinstance(best, dict) else []
    if isinstance(area, int | float):
        words.append(f"90 % in {show.number(area, 3, 'deg²')}")
    return ", ".join(words)


ROUTES = [Route("/web/", Home, "web")]
