"""A stored message is read once: refused, known already, told on the desk, or made the work of a rule."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pymongo.errors import DuplicateKeyError

from server.alerts.common import alerts, figures, revisions
from server.alerts.common.alerts import Alert, Arrival, State
from server.alerts.incoming import reading
from server.alerts.incoming.reading import Content
from server.alerts.rules import journal, stored
from server.alerts.rules.matching import choose
from server.alerts.way import desk, linked_maps
from server.common.errors import BadRequest
from server.desk.maps.arrivals import EventBody
from server.rest.context import Context
from server.scans.manifests.events import store_event

__all__ = ["decide", "take_in"]

log = logging.getLogger("server.alerts")


async def take_in(ctx: Context, arrival: Arrival) -> Alert:
    """Store a message and read it; what is known of it then."""
    alert = await alerts.arrive(ctx, arrival)
    figures.reached("stored", alert.stored - alert.received)
    if alert.state is State.RECEIVED:
        alert = await decide(ctx, alert)
    ctx.signals.notify("alerts")
    return alert


async def decide(ctx: Context, alert: Alert) -> Alert:
    """Read an alert's message. May be repeated, also by two servers at once: the first to end counts."""
    try:
        content = await asyncio.to_thread(reading.read, await alerts.message_of(ctx, alert))
        fields = await _fields(ctx, alert, content)
    except BadRequest as error:
        fields = {"state": State.REFUSED, "reason": error.reason[:1000]}
    try:
        changed = await alerts.change(ctx, alert.alert_id, [State.RECEIVED], **fields)
    except DuplicateKeyError:  # another one came at the same time
        known = _as_duplicate(fields, await _first_of(ctx, alert, fields["key"]))
        changed = await alerts.change(ctx, alert.alert_id, [State.RECEIVED], **known)
    if changed is not None:
        figures.ended(changed.state)
        log.info("alert", extra={"action": "alert", "alert": alert.alert_id, "stream": changed.stream,
                                 "state": str(changed.state), "reason": changed.reason})
    return await alerts.find(ctx, alert.alert_id)


async def _fields(ctx: Context, alert: Alert, content: Content) -> dict[str, Any]:
    """What becomes of an alert by what its message says. Raises BadRequest."""
    common = {"kind": content.kind, "title": content.title, "key": f"{alert.replay}:{content.key}",
              "stream": alert.stream or content.stream, "is_test": content.is_test or bool(alert.replay),
              **content.facts}
    if first := await _first_of(ctx, alert, common["key"]):
        return _as_duplicate(common, first)
    if content.body is not None:
        return common | await _told(ctx, alert, content.body, content.map_url)
    return common | await _work(ctx, alert, content, common)


async def _told(ctx: Context, alert: Alert, body: EventBody, map_url: str) -> dict[str, Any]:
    """What the desk made of a notice of others; a rehearsal tells it nothing. Raises BadRequest."""
    if alert.replay:
        return {"state": State.TOLD, "dateobs": str(body.dateobs), "localization": ""}
    told = await desk.tell(ctx, alert.alert_id, body)
    link = linked_maps.linked(ctx.settings, map_url)
    ctx.signals.notify("alert links")
    return {"state": State.TOLD, "dateobs": told["dateobs"],
            "localization": told.get("localization_name", ""), **({"linked": link} if link else {})}


async def _work(ctx: Context, alert: Alert, content: Content, common: dict[str, Any]) -> dict[str, Any]:
    """The rule of an event, and the steps that follow from it."""
    assert content.event is not None, "an event has its document"
    rules = await stored.in_force(ctx)
    facts = {"stream": common["stream"], "event_type": content.facts["event_type"]}
    choice = choose(rules, facts)
    event = await store_event(ctx, content.event)
    if choice.name is None:
        return {"state": State.IGNORED, "reason": f"no rule wants it: {choice.reason}"[:1000],
                "i3_event_id": event.i3_event_id}
    name, rule = choice.name, rules[choice.name]
    await journal.note(ctx, alert, name, rule, facts)
    await revisions.make(ctx, alert.alert_id, rule.steps)
    return {"state": State.WORKING, "i3_event_id": event.i3_event_id, "rule": name, "steps": rule.steps,
            "gate": rule.gate, "targets": rule.targets}


async def _first_of(ctx: Context, alert: Alert, key: str) -> str:
    """The other alert that says the same; empty when there is none."""
    found = await ctx.db.alerts.find_one({"key": key, "_id": {"$ne": alert.alert_id}}, {"_id": 1})
    return str(found["_id"]) if found else ""


def _as_duplicate(fields: dict[str, Any], first: str) -> dict[str, Any]:
    rest = {name: value for name, value in fields.items() if name != "key"}  # which the first one has
    return {**rest, "state": State.DUPLICATE, "duplicate_of": first,
            "reason": "another message says the same"}
