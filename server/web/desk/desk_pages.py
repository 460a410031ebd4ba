"""The follow-up desk's pages: sky maps, and the candidates inside one, with what a shifter does to them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from server.common.errors import BadRequest, NotFound
from server.desk.common import jobs
from server.desk.common.acls import CLASSIFY, UPLOAD_DATA
from server.desk.maps import events, localizations
from server.desk.observing import finders
from server.rest.routing import Route, allow
from server.web.common.handler import READERS
from server.web.desk.desk_handler import DeskPage
from server.web.desk.desk_view import REGIONS, SHOWN, Asked, view

__all__ = ["ROUTES"]

PER_PAGE = 50


class Desk(DeskPage):
    """Sky maps by event, the latest event first."""

    @allow(*READERS)
    async def get(self) -> None:
        page = self.query_int("page", 1, minimum=1) or 1
        found = await events.newest(self.ctx, (page - 1) * PER_PAGE, PER_PAGE + 1)
        rows = [(event, await localizations.of_event(self.ctx, event["dateobs"]))
                for event in found[:PER_PAGE]]
        imports = await jobs.listed(self.ctx, await self.who(), jobs.IMPORTS, 5)
        self.page("desk.html", rows=rows, number=page, is_last=len(found) <= PER_PAGE,
                  imports=[(one["kind"], jobs.share(one), jobs.shown(one)) for one in imports])


class DeskOfMap(DeskPage):
    """The candidates inside a sky map's region."""

    @allow(*READERS)
    async def get(self, number: str) -> None:
        row = await self._row(number)
        region = self.query("region") or "90"
        if region not in REGIONS:
            raise BadRequest(f"region: must be one of {', '.join(REGIONS)}")
        if not row.get("scan_id") and region.endswith("c"):
            raise BadRequest("region: only the map of a scan has calibrated regions")
        asked = Asked(region, self.query_int("filter", None), self.query_bool("rejected"),
                      self.query_int("page", 1, minimum=1) or 1)
        who = await self.who()
        self.page("desk_map.html", view=await view(self.ctx, who, row, asked), asked=asked, regions=REGIONS,
                  may_classify=who.has(CLASSIFY), may_upload=who.has(UPLOAD_DATA), per_page=SHOWN,
                  back=self.request.uri, voter=who.user_id, link=self._link)

    async def _row(self, number: str) -> dict[str, Any]:
        key = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1
        row = await self.ctx.db.desk_localizations.find_one({"_id": key})
        if row is None:
            raise NotFound("there is no such sky map")
        return dict(row)

    def _link(self, **changes: Any) -> str:
        """This page with other words in its query."""
        given = {name: self.query(name) or "" for name in ("region", "filter", "rejected", "page")}
        return f"{self.request.path}?{urlencode({k: v for k, v in (given | changes).items() if v})}"


class DeskOfScan(DeskPage):
    """From a scan to the candidates inside its region."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        row = await localizations.of_scan(self.ctx, scan_id)
        if row is None:
            raise NotFound("this scan has no sky map on the desk yet: it comes when the scan is over")
        self.redirect(f"/web/desk/maps/{row['_id']}", status=302)


class Finder(DeskPage):
    """A finding chart of a place."""

    @allow(*READERS)
    async def get(self) -> None:
        asked = finders.read({
            "location_type": "pos", "ra": self.query("ra"), "dec": self.query("dec"),
            "image_source": self.query("image_source"), "type": self.query("type"),
            "localizationDateobs": self.query("dateobs"), "localizationName": self.query("map")})
        _, data = await finders.draw(self.ctx, asked)
        self.set_header("Content-Type", finders.KINDS[asked.kind])
        self.finish(data)


ROUTES = [
    Route("/web/desk", Desk, "web"),
    Route("/web/desk/maps/{number}", DeskOfMap, "web"),
    Route("/web/desk/scans/{scan_id}", DeskOfScan, "web"),
    Route("/web/desk/finder", Finder, "web"),
]
