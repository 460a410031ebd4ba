"""Pages of the alerts: all of them with their latencies, one with its checks, the archive, rehearsals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from server.alerts.common import alerts, latency, revisions
from server.alerts.common.alerts import OPEN, Search, State
from server.alerts.common.rights import check_may_manage, may_manage
from server.alerts.incoming import sources
from server.alerts.outgoing import notices, outbox
from server.alerts.way import acts, linked_maps, publishing, rehearsals
from server.common.errors import BadRequest, Conflict, NotFound
from server.rest.routing import Route, allow
from server.scans.results import sketches
from server.web.alerts.alert_rows import Row, rows_of
from server.web.common import position
from server.web.common.handler import COOKIE, READERS, PageHandler

__all__ = ["ROUTES"]

PER_PAGE = 50
HELD = 20  # that wait for a person, above the others
STYLES = {"done": "good", "published": "good", "sent": "good", "told": "good", "kept": "good",
          "working": "busy", "scanning": "busy", "cleared": "busy", "sending": "busy", "received": "busy",
          "waiting": "busy", "held": "bad", "refused": "bad", "dead": "bad", "retracted": "bad",
          "failed": "bad"}
MEANINGS = {
    State.WORKING: "It is scanned, checked or told just now; this page follows it.",
    State.HELD: "It waits for a person: of what is held below, nobody outside was told. "
                "Read the checks, look at the map, then release a revision or dismiss the alert.",
    State.DONE: "All its maps are dealt with.",
    State.TOLD: "A notice of others; it is an event on the desk.",
    State.IGNORED: "It is kept, and nothing is done with it.",
    State.REFUSED: "The message cannot be read; its bytes are kept.",
    State.DUPLICATE: "Another message says the same.",
    State.DISMISSED: "A person decided not to publish it.",
    State.RETRACTED: "Everybody who was told of it was told that it is withdrawn.",
}


class AlertPage(PageHandler):
    """A page of the alerts."""

    async def may_manage(self) -> bool:
        """Whether to show buttons."""
        return await may_manage(self.ctx, self.user, self.get_cookie(COOKIE) or "")

    async def managing(self) -> str:
        """The name of somebody who may decide. Raises Forbidden."""
        await check_may_manage(self.ctx, self.user, self.get_cookie(COOKIE) or "")
        return self.user.username

    def text(self, name: str) -> str:
        """A text of the query. Raises BadRequest."""
        found = self.query(name) or ""
        if len(found) > 200 or "\0" in found:
            raise BadRequest(f"{name}: at most 200 characters, and no NUL")
        return found


class Alerts(AlertPage):
    """All alerts, the latest first, those that wait for a person above them."""

    @allow(*READERS)
    async def get(self) -> None:
        state, text, before = self.text("state"), self.text("text"), self._before()
        if state and state not in list(State):
            raise BadRequest(f"state: must be one of {', '.join(State)}")
        search = Search(state, text=text, replay="", before=before)
        found = await alerts.listed(self.ctx, search, 0, PER_PAGE + 1)
        held = await alerts.listed(self.ctx, Search("held", replay=""), 0, HELD + 1)
        rows, targets = await rows_of(self.ctx, found[:PER_PAGE]), await outbox.standings(self.ctx)
        self.page(
            "alerts_now.html" if self.part_wanted == "now" else "alerts.html", rows=rows, before=before,
            held=await rows_of(self.ctx, held[:HELD]), more_held=len(held) > HELD,
            next=found[PER_PAGE - 1].received if len(found) > PER_PAGE else None,
            state=state, text=text, states=list(State), styles=STYLES,
            steps=latency.STEPS, sources=await sources.standings(self.ctx), targets=targets,
            dead=await outbox.listed(self.ctx, "dead", limit=50), is_busy=_runs(rows, targets),
            usual={step: latency.percentiles(row.seconds[step] for row in rows if step in row.seconds)
                   for step in latency.STEPS}, may_manage=await self.may_manage())

    def _before(self) -> float | None:
        """Where the page begins. Raises BadRequest."""
        given = self.text("before")
        try:
            value = float(given) if given else None
        except ValueError:
            value = math.nan
        if value is not None and not math.isfinite(value):
            raise BadRequest("before: must be the link of a page before")
        return value


def _runs(rows: Sequence[Row], targets: Sequence[dict[str, Any]]) -> bool:
    """Whether something changes by itself just now."""
    return any(row.alert.state in OPEN for row in rows) or any(
        one["waiting"] + one["sending"] for one in targets)


class OneAlert(AlertPage):
    """One alert: where it stands, what was checked, what was told; and what a person may do."""

    @allow(*READERS)
    async def get(self, alert_id: str) -> None:
        alert = await alerts.find(self.ctx, alert_id)
        found = await revisions.of_alert(self.ctx, alert_id)
        deliveries = await outbox.listed(self.ctx, alert_id=alert_id)
        self.page(
            "alert_now.html" if self.part_wanted == "now" else "alert.html", alert=alert, styles=STYLES,
            meaning=MEANINGS.get(alert.state, ""), found=found, position=position,
            maps=await sketches.find_many(self.ctx, [one.scan_id for one in found if one.scan_id]),
            seconds=latency.durations(alert), steps=latency.STEPS,
            said=await notices.of_alert(self.ctx, alert_id), deliveries=deliveries,
            is_busy=alert.state in OPEN or any(one["state"] in ("waiting", "sending") for one in deliveries),
            may_manage=await self.may_manage(),
            fetches=self.ctx.settings.alerts.fetch_maps)

    @allow(*READERS)
    async def post(self, alert_id: str) -> None:
        """Release, dismiss, retract, fetch a map."""
        who, wanted = await self.managing(), self.field("do")
        try:
            text = await self._do(alert_id, who, wanted)
        except Conflict as error:  # somebody else was faster: the page shows what is now
            self.not_done(f"Nothing was done: {error.reason}", f"/web/alerts/{alert_id}")
            return
        self.done(text, f"/web/alerts/{alert_id}")

    async def _do(self, alert_id: str, who: str, wanted: str) -> str:
        match wanted:
            case "release":
                number = self.field_int("revision")
                await acts.release(self.ctx, alert_id, number, who)
                return f"Revision {number} is released: its notice goes to the targets now."
            case "dismiss":
                await acts.dismiss(self.ctx, alert_id, self.field("reason"), who)
                return "The alert is dismissed: nothing more of it is published."
            case "retract":
                await acts.retract(self.ctx, alert_id, self.field("reason"), who)
                return "A retraction goes to everybody who was told."
            case "fetch_map":
                await linked_maps.again(self.ctx, alert_id)
                return "The map is asked for now."
            case _:
                raise BadRequest("do: release, dismiss, retract or fetch_map")


class Draft(AlertPage):
    """What would be told of a revision, if it were released now."""

    @allow(*READERS)
    async def get(self, alert_id: str, number: str) -> None:
        alert = await alerts.find(self.ctx, alert_id)
        if not (number.isascii() and number.isdigit() and len(number) < 7):
            raise NotFound(f"this alert has no revision {number[:20]}")
        revision = await acts.revision_of(self.ctx, alert, int(number))
        draft = await publishing.preview(self.ctx, alert, revision)
        self.page("alert_draft.html", alert=alert, revision=revision, text=draft.circular,
                  targets=publishing.targets_of(self.ctx, alert))


class Again(AlertPage):
    """Trying a dead letter anew."""

    @allow(*READERS)
    async def post(self) -> None:
        await self.managing()
        await outbox.again(self.ctx, self.field("key"))
        self.done("It is tried again now.", "/web/alerts")


class Archive(AlertPage):
    """Every notice that was made."""

    @allow(*READERS)
    async def get(self) -> None:
        number, text = self.query_int("page", 1, minimum=1) or 1, self.text("text")
        if number > 100_000:
            raise BadRequest("page: at most 100000")
        found = await notices.listed(self.ctx, text, (number - 1) * PER_PAGE, PER_PAGE + 1)
        self.page("alert_notices.html", rows=found[:PER_PAGE], number=number, text=text,
                  is_last=len(found) <= PER_PAGE)


class Rehearsals(AlertPage):
    """All rehearsals."""

    @allow(*READERS)
    async def get(self) -> None:
        self.page("alert_replays.html", rows=await rehearsals.listed(self.ctx))


class Rehearsal(AlertPage):
    """The report of a rehearsal."""

    @allow(*READERS)
    async def get(self, name: str) -> None:
        self.page("alert_replay.html", report=await rehearsals.report(self.ctx, name), styles=STYLES,
                  steps=latency.STEPS)


ROUTES = [
    Route("/web/alerts", Alerts, "web"),
    Route("/web/alerts/{alert_id}", OneAlert, "web"),
    Route("/web/alerts/{alert_id}/draft/{number}", Draft, "web"),
    Route("/web/alert_retries", Again, "web"),
    Route("/web/alert_notices", Archive, "web"),
    Route("/web/alert_replays", Rehearsals, "web"),
    Route("/web/alert_replays/{name:any}", Rehearsal, "web"),
]
