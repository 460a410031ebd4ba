"""Pages of follow-up: what was asked of telescopes and of our grid, the hours for it, and asking for more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from iceprod.ids import now
from server.common.errors import ApiError, BadRequest
from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.paging import Page
from server.desk.followup import allocation_pages, drawing, reports, requests, rows, schedules, watching
from server.desk.followup.allocation_pages import GRID
from server.desk.followup.requests import Wanted
from server.desk.followup.rows import Asked
from server.desk.followup.schedules import Plan
from server.desk.followup.states import Phase
from server.desk.objects import objs
from server.desk.observing import allocations, instruments
from server.rest.routing import Route, allow
from server.web.common.handler import READERS
from server.web.desk.desk_handler import DeskPage
from server.web.desk.followup_forms import payload_of

__all__ = ["ROUTES"]

PER_PAGE = 50
STATES = {"": None, "under way": (Phase.PENDING, Phase.OPEN), "done": (Phase.DONE,),
          "without success": (Phase.FAILED, Phase.REJECTED), "taken back": (Phase.DELETED,)}
"""What a list can be narrowed to."""


class Requests(DeskPage):
    """Follow-up requests."""

    @allow(*READERS)
    async def get(self) -> None:
        who, chosen = await self.who(), self.query("state") or ""
        if chosen not in STATES:
            raise BadRequest(f"state: must be one of {', '.join(filter(None, STATES))}")
        page = Page(self.query_int("page", 1, minimum=1) or 1, PER_PAGE)
        is_watched = self.query_bool("watched")
        asked = Asked(obj_id=self.query("obj") or None, phases=STATES[chosen],
                      allocation_id=self.query_int("allocation", None),
                      watcher_id=who.user_id if is_watched else None,
                      scan_id=self.query("scan") or None)
        found, total = await rows.listed(self.ctx, who, asked, page)
        known = await instruments.names_of(self.ctx, {row["instrument_id"] for row in found})
        self.page("desk_requests.html", rows=found, total=total, number=page.number, per_page=PER_PAGE,
                  instruments=known, states=STATES, chosen=chosen, is_watched=is_watched, me=who.user_id,
                  obj=asked.obj_id, scan=asked.scan_id, allocation=asked.allocation_id,
                  may_upload=who.has(UPLOAD_DATA), link=self._link, back=self.request.uri)

    def _link(self, **changes: Any) -> str:
        names = ("state", "watched", "obj", "scan", "allocation", "page")
        given = {name: self.query(name) or "" for name in names}
        return f"{self.request.path}?{urlencode({k: v for k, v in (given | changes).items() if v})}"


class ActOnRequest(DeskPage):
    """What is done to one request from the page."""

    @allow(*READERS)
    async def post(self, number: str) -> None:
        request_id = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1
        acts = {"take back": self._take_back, "fetch": self._fetch, "watch": self._watch,
                "unwatch": self._unwatch}
        action = self.field("action")
        if action not in acts:
            raise BadRequest(f"action: {action[:40]!r} is none of {', '.join(acts)}")
        self.done(await acts[action](request_id), self.field("back", "/web/desk/requests"))

    async def _take_back(self, request_id: int) -> str:
        who = await self.allowed(UPLOAD_DATA)
        await requests.take_back(self.ctx, who, await rows.changeable(self.ctx, who, request_id))
        return f"Request {request_id} is taken back."

    async def _fetch(self, request_id: int) -> str:
        done = await requests.fetch(self.ctx, await rows.find(self.ctx, await self.who(), request_id))
        return f"Request {request_id}: {rows.in_words(done)}."

    async def _watch(self, request_id: int) -> str:
        await watching.begin(self.ctx, await self.who(), request_id)
        return f"You watch request {request_id}."

    async def _unwatch(self, request_id: int) -> str:
        await watching.end(self.ctx, await self.who(), request_id)
        return f"You do not watch request {request_id} any more."


class Allocations(DeskPage):
    """Allocations with their hours."""

    @allow(*READERS)
    async def get(self) -> None:
        number = self.query_int("page", 1, minimum=1) or 1
        found = await allocation_pages.listed(self.ctx, await self.who(), None, None, Page(number, PER_PAGE))
        known = await instruments.names_of(self.ctx, {row["instrument_id"] for row in found})
        self.page("desk_allocations.html", rows=found, instruments=known, number=number,
                  is_last=len(found) < PER_PAGE)


class Ask(DeskPage):
    """A form to ask for the observation of an object, or for a rescan."""

    @allow(*READERS)
    async def get(self) -> None:
        await self._form({name: self.query(name) or "" for name in ("obj", "allocation", "event")})

    async def _form(self, filled: Mapping[str, str], problem: str = "") -> None:
        who = await self.allowed(UPLOAD_DATA)
        obj = await objs.find(self.ctx, filled.get("obj", ""))
        offered = await allocation_pages.listed(self.ctx, who, None, "api_classname", Page(1, 1000))
        offered = [row for row in offered if not row.get("end_date") or row["end_date"] > now()]
        known = await instruments.names_of(self.ctx, {row["instrument_id"] for row in offered})
        chosen = next((row for row in offered if str(row["id"]) == filled.get("allocation")),
                      offered[0] if len(offered) == 1 else None)
        instrument = chosen and await instruments.find_instrument(self.ctx, chosen["instrument_id"])
        self.page("desk_ask.html", obj=obj, offered=offered, instruments=known, chosen=chosen,
                  instrument=instrument, filled=filled,
                  is_grid=instrument is not None and instrument["api_classname"] == GRID,
                   problem=problem, today=now(), in_a_week=now() + timedelta(days=7))

    @allow(*READERS)
    async def post(self) -> None:
        who = await self.allowed(UPLOAD_DATA)
        filled = {name: str(values[-1], "utf8", "replace")[:2000]
                  for name, values in self.request.body_arguments.items()}
        try:
            allocation = await allocations.find(self.ctx, who, self.field_int("allocation"))
            instrument = await instruments.find_instrument(self.ctx, allocation["instrument_id"])
            payload = payload_of(filled, self.get_body_arguments("filter"), instrument)
            wanted = Wanted(filled.get("obj", ""), allocation["_id"], payload, watcher_ids=(who.user_id,))
            number = await requests.submit(self.ctx, who, wanted)
        except ApiError as error:
            self.set_status(error.code)
            await self._form(filled, error.reason)
            return
        row = await rows.find(self.ctx, who, number)
        self.done(f"Request {number}: {rows.in_words(row)}.", "/web/desk/requests")


class Picture(DeskPage):
    """The schedule of an instrument, or the report on its allocations, as a picture."""

    @allow(*READERS)
    async def get(self, number: str, what: str) -> None:
        instrument_id = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1
        who = await self.who()
        if what == "report":
            data = await reports.draw(self.ctx, who, instrument_id, "png")
        elif what == "schedule":
            plan = Plan(Asked(instrument_id=instrument_id), None, None)
            data = await schedules.draw(self.ctx, who, instrument_id, plan, "png")
        else:
            raise BadRequest("there are a schedule and a report of an instrument")
        self.set_header("Content-Type", drawing.KINDS["png"])
        self.set_header("Cache-Control", "no-store")
        self.finish(data)


ROUTES = [
    Route("/web/desk/requests", Requests, "web"),
    Route("/web/desk/requests/{number}", ActOnRequest, "web"),
    Route("/web/desk/allocations", Allocations, "web"),
    Route("/web/desk/ask", Ask, "web"),
    Route("/web/desk/instruments/{number}/{what}", Picture, "web"),
]
