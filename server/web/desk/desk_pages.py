"""The follow-up desk's pages: sky maps, and the candidates inside one, with what a shifter does to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from server.common.errors import BadRequest, NotFound
from server.desk.common import jobs
from server.desk.common.acls import CLASSIFY, COMMENT, UPLOAD_DATA
from server.desk.common.dates import query_date
from server.desk.maps import event_list, localizations
from server.desk.maps.event_list import Wanted
from server.desk.objects import comments
from server.desk.observing import finders
from server.desk.outside import sky_pictures
from server.desk.outside.sky_pictures import Cut
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.web.common.handler import READERS
from server.web.desk import event_titles
from server.web.desk.desk_handler import DeskPage
from server.web.desk.desk_view import REGIONS, SHOWN, SORTS, Asked, view

__all__ = ["ROUTES"]

PER_PAGE = 50


class Desk(DeskPage):
    """Events, each with its newest sky map; sorted and narrowed by the words of the query."""

    @allow(*READERS)
    async def get(self) -> None:
        given = {name: self.query(name) or "" for name in _LIST_WORDS}
        wanted = _wanted(given)
        text = wanted.text and await event_titles.aliases_of(self.ctx, wanted.text)
        found = await event_list.listed(self.ctx, replace(wanted, aliases=text or ()), PER_PAGE)
        imports = await jobs.listed(self.ctx, await self.who(), jobs.IMPORTS, 5)
        self.page("desk.html", rows=found.rows, titles=await event_titles.titles(self.ctx, found.rows),
                  given=given, next=found.next and link(self.request.path, given, after=found.next),
                  first=given["after"] and link(self.request.path, given, after=""), is_narrowed=any(
                      given[name] for name in _LIST_WORDS if name not in ("sort", "after")),
                  sorts=event_list.SORTS, origins=event_list.ORIGINS,
                  imports=[(one["kind"], jobs.share(one), jobs.shown(one)) for one in imports])


_LIST_WORDS = ("text", "origin", "area", "since", "until", "sort", "after")


def _wanted(given: Mapping[str, str]) -> Wanted:
    """What the words of a query ask for. Raises BadRequest, which names the word."""
    sort, origin, area = given["sort"] or "newest", given["origin"], given["area"]
    if sort not in event_list.SORTS:
        raise BadRequest(f"sort: must be one of {', '.join(event_list.SORTS)}")
    if origin not in event_list.ORIGINS:
        raise BadRequest(f"origin: must be one of {', '.join(filter(None, event_list.ORIGINS))}")
    until = query_date(given["until"], "until")
    if until and not _CLOCK.search(given["until"]):  # a day is meant with its evening
        until += timedelta(days=1, milliseconds=-1)
    return Wanted(given["text"].strip()[:200], (), origin, _square_degrees(area) if area else None,
                  query_date(given["since"], "since"), until, sort, given["after"])


_CLOCK = re.compile(r"\d[T ]\d")


def _square_degrees(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 41253:
        raise BadRequest(f"area: must be a number of square degrees, up to 41253, not {text[:40]!r}")
    return value


def link(path: str, given: Mapping[str, str], **changes: Any) -> str:
    """A page with the words of a query, some of them changed."""
    words = {name: value for name, value in {**given, **changes}.items() if value}
    return f"{path}?{urlencode(words)}" if words else path


class DeskOfMap(DeskPage):
    """The candidates inside a sky map's region."""

    @allow(*READERS)
    async def get(self, number: str) -> None:
        row, given = await map_row(self.ctx, number), {name: self.query(name) or "" for name in _MAP_WORDS}
        region, sort = given["region"] or "90", given["sort"] or "level"
        if region not in REGIONS:
            raise BadRequest(f"region: must be one of {', '.join(REGIONS)}")
        if not row.get("scan_id") and region.endswith("c"):
            raise BadRequest("region: only the map of a scan has calibrated regions")
        if sort not in SORTS:
            raise BadRequest(f"sort: must be one of {', '.join(SORTS)}")
        asked = Asked(region, self.query_int("filter", None), self.query_bool("rejected"),
                      self.query_int("page", 1, minimum=1) or 1, sort)
        who, settings = await self.who(), self.ctx.settings.catalogs
        image = f"/web/desk/maps/{row['_id']}/sky?across=" if settings.sky_pictures else ""
        shown = await view(self.ctx, who, row, asked, image)
        self.page("desk_map.html", view=shown, asked=asked, regions=REGIONS, sorts=SORTS,
                  may_classify=who.has(CLASSIFY), may_upload=who.has(UPLOAD_DATA),
                  may_comment=who.has(COMMENT), per_page=SHOWN, longest=comments.LONGEST,
                  back=self.request.uri, voter=who.user_id, image=image, survey=settings.sky_survey,
                  link=lambda **changes: link(self.request.path, given, **changes))


_MAP_WORDS = ("region", "filter", "rejected", "sort", "page")


async def map_row(ctx: Context, number: str) -> dict[str, Any]:
    """The row of a sky map by the number in a path. Raises NotFound."""
    key = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1
    row = await ctx.db.desk_localizations.find_one({"_id": key})
    if row is None:
        raise NotFound("there is no such sky map")
    return dict(row)


class SkyOfMap(DeskPage):
    """A survey's picture around the best fit of a sky map."""

    @allow(*READERS)
    async def get(self, number: str) -> None:
        row, text = await map_row(self.ctx, number), self.query("across") or ""
        try:
            across = round(float(text), 4)
        except ValueError:
            across = -1.0
        if not 0.01 <= across <= sky_pictures.LARGEST:
            most = f"{sky_pictures.LARGEST:g} degrees"
            raise BadRequest(f"across: must be from 0.01 to {most}, not {text[:40]!r}")
        data = await sky_pictures.cut_out(self.ctx, Cut(row["best"]["ra"], row["best"]["dec"], across))
        self.set_header("Content-Type", "image/jpeg")
        self.set_header("Cache-Control", "private, max-age=86400")
        self.finish(data)


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
    Route("/web/desk/maps/{number}/sky", SkyOfMap, "web"),
    Route("/web/desk/scans/{scan_id}", DeskOfScan, "web"),
    Route("/web/desk/finder", Finder, "web"),
]
