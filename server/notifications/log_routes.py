"""Routes of the log: messages, what each told, and what became of it."""

from __future__ import annotations

from server.common.errors import BadRequest
from server.notifications import messages
from server.notifications.handler import READERS, NotificationHandler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Notifications(NotificationHandler):
    """Messages to users."""

    @allow(*READERS)
    async def get(self) -> None:
        """The caller's messages, the latest first, by `state` and `rule_id`; with `all` everybody's."""
        state, rule_id = self.query("state") or "", self.query("rule_id") or ""
        if state and state not in messages.STATES:
            raise BadRequest(f"state: must be one of {', '.join(messages.STATES)}")
        if len(rule_id) > 64 or "\0" in rule_id:
            raise BadRequest("rule_id: at most 64 characters, and no NUL")
        username, (skip, limit) = await self.asked(), self.page()
        self.send({"notifications": await messages.listed(
            self.ctx, username, state=state, rule_id=rule_id, skip=skip, limit=limit)})


class OneNotification(NotificationHandler):
    """One message."""

    @allow(*READERS)
    async def get(self, key: str) -> None:
        """The message, with everything that it tells."""
        self.send(await messages.find(self.ctx, key, await self.reach()))


class Again(NotificationHandler):
    """Messages that were given up."""

    @allow(*READERS)
    async def post(self, key: str) -> None:
        """Try a message anew, under its old key."""
        await messages.again(self.ctx, key, await self.reach())
        self.send({})


ROUTES = [
    Route("/notifications", Notifications, "notifications"),
    Route("/notifications/{key:any}", OneNotification, "notifications"),
    Route("/notifications/{key:any}/actions/retry", Again, "notifications"),
]
