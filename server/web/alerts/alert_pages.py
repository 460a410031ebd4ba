"""Pages of the alerts: all of them with their latencies, one with its checks, the archive, rehearsals."""

from __future__ import annotations

from server.alerts.common import alerts, latency, revisions
from server.alerts.common.alerts import Search, State
from server.alerts.common.rights import check_may_manage, may_manage
from server.alerts.incoming import sources
from server.alerts.outgoing import notices, outbox
from server.alerts.way import acts, linked_maps, rehearsals
from server.common.errors import BadRequest
from server.rest.routing import Route, allow
from server.web.common.handler import COOKIE, READERS, PageHandler

__all__ = ["ROUTES"]

PER_PAGE = 50
STYLES = {"done": "good", "published": "good", "sent": "good", "told": "good", "kept": "good",
          "working": "busy", "scanning": "busy", "cleared": "busy", "sending": "busy", "received": "busy",
          "waiting": "busy", "held": "bad", "refused": "bad", "dead": "bad", "retracted": "bad",
          "failed": "bad"}


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
        state, text = self.text("state"), self.text("text")
        if state and state not in list(State):
            raise BadRequest(f"state: must be one of {', '.join(State)}")
        number = self.query_int("page", 1, minimum=1) or 1
        if number > 100_000:
            raise BadRequest("page: at most 100000")
        search = Search(state, text=text, replay="")
        found = await alerts.listed(self.ctx, search, (number - 1) * PER_PAGE, PER_PAGE + 1)
        rows = [(alert, latency.durations(alert)) for alert in found[:PER_PAGE]]
        self.page(
            "alerts_now.html" if self.part_wanted == "now" else "alerts.html", rows=rows, number=number,
            held=await alerts.listed(self.ctx, Search("held", replay=""), 0, 20),
            is_last=len(found) <= PER_PAGE, state=state, text=text, states=list(State), styles=STYLES,
            steps=latency.STEPS, sources=await sources.standings(self.ctx),
            targets=await outbox.standings(self.ctx), dead=await outbox.listed(self.ctx, "dead", limit=50),
            usual={step: latency.percentiles(one[step] for _, one in rows if step in one)
                   for step in latency.STEPS}, may_manage=await self.may_manage())


class OneAlert(AlertPage):
    """One alert: where it stands, what was checked, what was told; and what a person may do."""

    @allow(*READERS)
    async def get(self, alert_id: str) -> None:
        alert = await alerts.find(self.ctx, alert_id)
        self.page(
            "alert_now.html" if self.part_wanted == "now" else "alert.html", alert=alert, styles=STYLES,
            found=await revisions.of_alert(self.ctx, alert_id), seconds=latency.durations(alert),
            steps=latency.STEPS, said=await notices.of_alert(self.ctx, alert_id),
            deliveries=await outbox.listed(self.ctx, alert_id=alert_id), may_manage=await self.may_manage(),
            fetches=self.ctx.settings.alerts.fetch_maps)

    @allow(*READERS)
    async def post(self, alert_id: str) -> None:
        """Release, dismiss, retract, fetch a map."""
        who, wanted = await self.managing(), self.field("do")
        match wanted:
            case "release":
                number = self.field_int("revision")
                await acts.release(self.ctx, alert_id, number, who)
                text = f"Revision {number} is released: it goes to the targets now."
            case "dismiss":
                await acts.dismiss(self.ctx, alert_id, self.field("reason"), who)
                text = "The alert is dismissed: nothing of it is published."
            case "retract":
                await acts.retract(self.ctx, alert_id, self.field("reason"), who)
                text = "A retraction goes to everybody who was told."
            case "fetch_map":
                await linked_maps.again(self.ctx, alert_id)
                text = "The map is asked for now."
            case _:
                raise BadRequest("do: release, dismiss, retract or fetch_map")
        self.done(text, f"/web/alerts/{alert_id}")


class Again(AlertPage):
    """Trying a dead letter anew."""

    @allow(*READERS)
    async def post(self) -> None:
        await self.managing()
        await outbox.again(self.ctx, self.field("key"))
        self.done("It is tried again.", "/web/alerts")


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
    Route("/web/alert_retries", Again, "web"),
    Route("/web/alert_notices", Archive, "web"),
    Route("/web/alert_replays", Rehearsals, "web"),
    Route("/web/alert_replays/{name:any}", Rehearsal, "web"),
]
