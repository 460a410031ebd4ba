"""Routes of alerts: hand one in, find and read them, and what a person does to one."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from server.alerts.common import alerts, revisions
from server.alerts.common.alerts import Alert, Arrival, Origin, Search, State
from server.alerts.common.latency import durations
from server.alerts.handler import READERS, AlertHandler
from server.alerts.outgoing import notices, outbox
from server.alerts.way import accounts, acts, arriving, linked_maps, publishing, rehearsals
from server.common.errors import BadRequest
from server.production.common.fields import Field, read_fields, takes
from server.rest.context import Context
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

_REASON = (Field("reason", "str", required=True),)
_REVISION = (Field("revision", "int", required=True),)
_MOST_NAME = 100
_INTERNAL = ("blob", "key", "steps", "gate")


def brief(alert: Alert) -> dict[str, Any]:
    """An alert in a list."""
    document = msgspec.to_builtins(alert)
    return {**{name: value for name, value in document.items() if name not in _INTERNAL},
            "seconds": durations(alert)}


async def whole(ctx: Context, alert: Alert) -> dict[str, Any]:
    """An alert with its rule, its revisions, and what was said of it."""
    found = await revisions.of_alert(ctx, alert.alert_id)
    return {**brief(alert), "steps": alert.steps, "gate": alert.gate, "revisions": found,
            "account": await accounts.account_of(ctx, alert),
            "notices": await notices.of_alert(ctx, alert.alert_id),
            "deliveries": await outbox.listed(ctx, alert_id=alert.alert_id)}


class Alerts(AlertHandler):
    """All alerts."""

    async def read_large_body(self) -> None:
        """A message is read as what it is, not as a request's JSON."""

    @allow(*READERS)
    async def get(self) -> None:
        """Alerts, the latest first; by `state`, `stream`, `text`, `since`, `until`, `replay`."""
        state = self.words("state")
        if state and state not in list(State):
            raise BadRequest(f"state: must be one of {', '.join(State)}")
        search = Search(state, self.words("stream"), self.words("text"), self.moment("since"),
                        self.moment("until"), self.words("replay"))
        skip, limit = self.page()
        self.send({"alerts": [brief(one) for one in await alerts.listed(self.ctx, search, skip, limit)]})

    @allow(*READERS)
    async def post(self) -> None:
        """Hand in a message as it is (JSON, XML or FITS); `stream` names its stream, `replay` a rehearsal.

        The same message once more answers with the alert that is there.
        """
        who = await self.managing()
        data = self.request.body
        if not data.strip():
            raise BadRequest("message: the request has no body")
        arrival = Arrival(self.words("stream", _MOST_NAME), data, Origin(f"posted by {who}", time.time()),
                          self.words("replay", _MOST_NAME))
        alert = await arriving.take_in(self.ctx, arrival)
        if alert.state is State.REFUSED:
            raise BadRequest(f"{alert.reason} (kept as refused alert {alert.alert_id})")
        self.send(brief(alert))


class OneAlert(AlertHandler):
    """One alert."""

    @allow(*READERS)
    async def get(self, alert_id: str) -> None:
        """An alert with its revisions, the gate's checks, notices and deliveries.

        `account` says where the seconds from the receipt to the first published map went; its parts add up.
        """
        self.send(await whole(self.ctx, await alerts.find(self.ctx, alert_id)))


class Message(AlertHandler):
    """The message of an alert."""

    @allow(*READERS)
    async def get(self, alert_id: str) -> None:
        """Its bytes, as they came."""
        alert = await alerts.find(self.ctx, alert_id)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", f'attachment; filename="{alert.alert_id}"')
        self.finish(await alerts.message_of(self.ctx, alert))


class Draft(AlertHandler):
    """What would be said of an alert."""

    @allow(*READERS)
    async def get(self, alert_id: str) -> None:
        """The notice and the circular of a `revision` (default: 1) as they would be now; nothing is sent."""
        alert = await alerts.find(self.ctx, alert_id)
        number = self.query_int("revision", 1, minimum=1) or 1
        revision = await acts.revision_of(self.ctx, alert, number)
        draft = await publishing.preview(self.ctx, alert, revision)
        self.send({"document": draft.document, "circular": draft.circular})


class Release(AlertHandler):
    """Publishing what the gate held."""

    @allow(*READERS)
    @takes(*_REVISION, closed=True)
    async def post(self, alert_id: str) -> None:
        """Publish a revision that is held, or that nobody was told of."""
        who = await self.managing()
        number = read_fields(self.body(), _REVISION)["revision"]
        self.send(brief(await acts.release(self.ctx, alert_id, number, who)))


class Dismiss(AlertHandler):
    """Deciding against it."""

    @allow(*READERS)
    @takes(*_REASON, closed=True)
    async def post(self, alert_id: str) -> None:
        """Decide that what is held is not published."""
        who = await self.managing()
        self.send(brief(await acts.dismiss(self.ctx, alert_id, _reason(self), who)))


class FetchMap(AlertHandler):
    """The map that a notice links to."""

    @allow(*READERS)
    async def post(self, alert_id: str) -> None:
        """Ask for the linked map of a notice anew, whatever came of it before."""
        await self.managing()
        self.send(brief(await linked_maps.again(self.ctx, alert_id)))


class Retract(AlertHandler):
    """Withdrawing what was said."""

    @allow(*READERS)
    @takes(*_REASON, closed=True)
    async def post(self, alert_id: str) -> None:
        """Withdraw what was told of an alert: a retraction goes to everybody who was told."""
        who = await self.managing()
        self.send(brief(await acts.retract(self.ctx, alert_id, _reason(self), who)))


def _reason(handler: AlertHandler) -> str:
    return str(read_fields(handler.body(), _REASON)["reason"])


class Replays(AlertHandler):
    """Rehearsals."""

    @allow(*READERS)
    async def get(self) -> None:
        """Rehearsals, the latest first."""
        self.send({"replays": await rehearsals.listed(self.ctx)})


class Replay(AlertHandler):
    """One rehearsal."""

    @allow(*READERS)
    async def get(self, name: str) -> None:
        """Its report: latencies, gate decisions, distances to references."""
        self.send(await rehearsals.report(self.ctx, name))


ROUTES = [
    Route("/alerts", Alerts, "alerts"),
    Route("/alerts/{alert_id}", OneAlert, "alerts"),
    Route("/alerts/{alert_id}/message", Message, "alerts"),
    Route("/alerts/{alert_id}/draft", Draft, "alerts"),
    Route("/alerts/{alert_id}/actions/release", Release, "alerts"),
    Route("/alerts/{alert_id}/actions/dismiss", Dismiss, "alerts"),
    Route("/alerts/{alert_id}/actions/retract", Retract, "alerts"),
    Route("/alerts/{alert_id}/actions/fetch_map", FetchMap, "alerts"),
    Route("/alert_replays", Replays, "alerts"),
    Route("/alert_replays/{name:any}", Replay, "alerts"),
]
