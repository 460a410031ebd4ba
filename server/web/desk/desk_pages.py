"""The follow-up desk's pages: sky maps, and the candidates inside one, with what a shifter does to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from server.common.errors import BadRequest, Forbidden, NotFound
from server.desk.catalogs import crossmatch
from server.desk.catalogs.crossmatch import CrossmatchBody
from server.desk.common.access import Visitor
from server.desk.common.acls import CLASSIFY, UPLOAD_DATA
from server.desk.judgement import candidates, classifications, votes
from server.desk.judgement.candidates import Passage
from server.desk.judgement.classifications import Judgement
from server.desk.maps import events, localizations
from server.desk.objects import galaxies, listings, objs, sources
from server.desk.observing import finders
from server.desk.outside.calls import ServiceError
from server.desk.people import people
from server.rest.routing import Route, allow
from server.web.common.handler import COOKIE, READERS, PageHandler
from server.web.desk.desk_view import FAVORITES, REGIONS, REJECTED, SHOWN, Asked, view

__all__ = ["ROUTES"]

PER_PAGE = 50
_MATCHES = {"gaia": crossmatch.gaia, "irsa": crossmatch.irsa, "vizier": crossmatch.vizier}


class DeskPage(PageHandler):
    """A page of the desk: the caller is a visitor of it."""

    async def who(self) -> Visitor:
        return await people.visitor(self.ctx, self.get_cookie(COOKIE) or "")

    async def allowed(self, acl: str) -> Visitor:
        """The visitor, who needs a right. Raises Forbidden."""
        who = await self.who()
        if not who.has(acl):
            raise Forbidden(f"this needs the right {acl!r}, which you do not have")
        return who


class Desk(DeskPage):
    """Sky maps by event, the latest event first."""

    @allow(*READERS)
    async def get(self) -> None:
        page = self.query_int("page", 1, minimum=1) or 1
        found = await events.newest(self.ctx, (page - 1) * PER_PAGE, PER_PAGE + 1)
        rows = [(event, await localizations.of_event(self.ctx, event["dateobs"]))
                for event in found[:PER_PAGE]]
        self.page("desk.html", rows=rows, number=page, is_last=len(found) <= PER_PAGE)


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


class Act(DeskPage):
    """What is done to one object from the page."""

    @allow(*READERS)
    async def post(self, name: str) -> None:
        actions: dict[str, Callable[[str], Awaitable[str]]] = {
            "classify": self._classify, "vote": self._vote, "withdraw": self._withdraw,
            "favorite": self._favorite, "reject": self._reject, "forget": self._forget, "save": self._save,
            "match": self._match, "candidate": self._candidate}
        action = self.field("action")
        if action not in actions:
            raise BadRequest(f"action: {action[:40]!r} is none of {', '.join(actions)}")
        back = self.field("back", "/web/desk")
        try:
            self.done(await actions[action](name), back)
        except ServiceError as error:  # somebody else's trouble is no reason to lead the reader away
            self.not_done(f"{name}: {error.reason}. Nothing was changed; try again in a while.", back)

    async def _classify(self, name: str) -> str:
        who = await self.allowed(CLASSIFY)
        taxonomy, _, chosen = self.field("class").partition(":")
        if not (taxonomy.isascii() and taxonomy.isdigit() and len(taxonomy) < 18):
            raise BadRequest("class: choose one of the list")
        await classifications.add(self.ctx, who, [Judgement(name, chosen, int(taxonomy))])
        return f"{name} is classified as {chosen}."

    async def _vote(self, name: str) -> str:
        who = await self.who()
        number, vote = self.field_int("classification"), self.field_int("vote")
        if vote not in (-1, 1):
            raise BadRequest("vote: must be 1 or -1")
        await classifications.find(self.ctx, who, number)
        await votes.cast(self.ctx, who, number, vote)
        return f"Your vote on {name} is counted."

    async def _withdraw(self, name: str) -> str:
        await votes.withdraw(self.ctx, await self.who(), self.field_int("classification"))
        return f"Your vote on {name} is taken back."

    async def _favorite(self, name: str) -> str:
        await listings.add(self.ctx, await self.who(), name, FAVORITES)
        return f"{name} is on your list of favorites."

    async def _reject(self, name: str) -> str:
        await listings.add(self.ctx, await self.who(), name, REJECTED)
        return f"{name} is rejected: your lists leave it out."

    async def _forget(self, name: str) -> str:
        who, chosen = await self.who(), self.field("list")
        for one in await listings.listed(self.ctx, who, chosen):
            if one["obj_id"] == name:
                await listings.remove(self.ctx, who, one["id"])
        return f"{name} is off your list."

    async def _save(self, name: str) -> str:
        who = await self.allowed(UPLOAD_DATA)
        await objs.find(self.ctx, name)
        await sources.save(self.ctx, who, [name], sorted(who.groups))
        return f"{name} is saved for your groups."

    async def _match(self, name: str) -> str:
        match = _MATCHES.get(self.field("service"))
        if match is None:
            raise BadRequest(f"service: must be one of {', '.join(_MATCHES)}")
        await match(self.ctx, await self.who(), name, CrossmatchBody())
        return f"{name} has a new annotation."

    async def _candidate(self, name: str) -> str:
        who = await self.allowed(UPLOAD_DATA)
        galaxy = await galaxies.find_named(self.ctx, name)
        row = await self.ctx.db.desk_localizations.find_one({"_id": self.field_int("map")})
        if row is None:
            raise NotFound("there is no such sky map")
        fields = {"ra": galaxy["ra"], "dec": galaxy["dec"], "host_id": galaxy["_id"]}
        passage = Passage(name, frozenset({self.field_int("filter")}), row["modified"], None, fields)
        await candidates.add(self.ctx, who, passage)
        return f"{name} is a candidate now."


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
    Route("/web/desk/objects/{name:any}", Act, "web"),
    Route("/web/desk/finder", Finder, "web"),
]
