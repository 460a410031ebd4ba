"""Routes of the rules: what one can be told of, one's own rules, and trying one."""

from __future__ import annotations

from typing import Any

from server.notifications import filters, messages, notes, recipients, rules, topics
from server.notifications.handler import READERS, NotificationHandler
from server.notifications.rules import Change, Wanted
from server.production.common.fields import Described, check_storable
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

_TEXT, _FLAG = {"type": "string"}, {"type": "boolean"}
_WORDS = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 100},
          "maxItems": filters.MOST}
_FILTERS = {"type": "object", "additionalProperties": False, "properties": {
    "own": _FLAG, "groups": _WORDS, "streams": _WORDS, "recos": _WORDS, "sites": _WORDS, "entries": _WORDS,
    "area_below_deg2": {"type": "number", "exclusiveMinimum": 0}, "text": {**_TEXT, "maxLength": 200}}}
_SHARED: dict[str, Any] = {
    "name": {**_TEXT, "maxLength": 100}, "address": {**_TEXT, "maxLength": 2000},
    "secret": {**_TEXT, "maxLength": 2000}, "filters": _FILTERS, "is_active": _FLAG,
    "pause_minutes": {"type": "number", "minimum": 0, "maximum": rules.MOST_PAUSE}}
_WANTED = Described({
    "type": "object", "additionalProperties": False, "required": ["event", "kind", "address"],
    "properties": {"event": {"enum": list(topics.TOPICS)}, "kind": {"enum": list(recipients.KINDS)},
                   **_SHARED}})
_CHANGE = Described({"type": "object", "additionalProperties": False, "properties": _SHARED})


class Events(NotificationHandler):
    """What users can be told of."""

    @allow(*READERS)
    async def get(self) -> None:
        """The events that rules are made for, who may hear of each, its filters; how messages can be sent."""
        found = [{"event": topic.name, "title": topic.title, "audience": topic.audience.value,
                  "filters": [*topic.filters, "text"]} for topic in topics.TOPICS.values()]
        owner, settings = await self.owner(), self.ctx.settings.notify
        kinds = [kind for kind in recipients.KINDS if kind != recipients.MAIL or settings.smtp.is_on]
        self.send({"events": found, "kinds": kinds, "email": owner.email,
                   "allowed_recipients": settings.allowed_recipients})


class Rules(NotificationHandler):
    """Rules of notifications."""

    @allow(*READERS)
    async def get(self) -> None:
        """The caller's rules; with `all`, an administrator sees everybody's. Secrets are not shown."""
        found = await rules.listed(self.ctx, await self.asked())
        waiting = await notes.waiting_counts(self.ctx, [rule.rule_id for rule in found])
        self.send({"rules": [{**rules.shown(rule), "waiting": waiting.get(rule.rule_id, 0)}
                             for rule in found]})

    @allow(*READERS)
    async def post(self) -> None:
        """Make a rule, for what happens from now on. A webhook's `secret` is in this answer and no other."""
        document = self.body()
        check_storable(document)
        rule, secret = await rules.add(self.ctx, await self.owner(), rules.read(document, Wanted))
        self.send({**rules.shown(rule), **({"secret": secret} if secret else {})}, 201)

    post.body = _WANTED  # type: ignore[attr-defined]


class OneRule(NotificationHandler):
    """One rule, of the caller or for administrators."""

    @allow(*READERS)
    async def get(self, rule_id: str) -> None:
        """The rule."""
        self.send(rules.shown(await rules.find(self.ctx, rule_id, await self.reach())))

    @allow(*READERS)
    async def patch(self, rule_id: str) -> None:
        """Change one's own rule; an empty `secret` makes a new one, which is in this answer and no other."""
        document, owner = self.body(), await self.owner()
        check_storable(document)
        wanted = rules.read(document, Change)
        rule = await rules.find(self.ctx, rule_id, owner.username)
        changed, secret = await rules.change(self.ctx, owner, rule, wanted)
        self.send({**rules.shown(changed), **({"secret": secret} if secret else {})})

    patch.body = _CHANGE  # type: ignore[attr-defined]

    @allow(*READERS)
    async def delete(self, rule_id: str) -> None:
        """Remove a rule; what it has not told yet it will not."""
        await rules.remove(self.ctx, await rules.find(self.ctx, rule_id, await self.reach()))
        self.send({})


class Test(NotificationHandler):
    """Trying a rule."""

    @allow(*READERS)
    async def post(self, rule_id: str) -> None:
        """Send a test by one's own rule; `key` names the message, whose fate the log tells."""
        owner = await self.owner()
        rule = await rules.find(self.ctx, rule_id, owner.username)
        self.send({"key": await messages.test(self.ctx, rule)}, 202)


ROUTES = [
    Route("/notification_events", Events, "notifications"),
    Route("/notification_rules", Rules, "notifications"),
    Route("/notification_rules/{rule_id}", OneRule, "notifications"),
    Route("/notification_rules/{rule_id}/actions/test", Test, "notifications"),
]
