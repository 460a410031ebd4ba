"""The base of the handlers of notifications: whose rules and messages a caller reaches."""

from __future__ import annotations

from server.alerts.handler import MOST_SKIPPED
from server.common.errors import BadRequest
from server.notifications import owners
from server.notifications.owners import Owner
from server.rest.handler import Handler

__all__ = ["READERS", "NotificationHandler"]

READERS = ("admin", "system", "user")


class NotificationHandler(Handler):
    """Decode, authorise, call one function of the domain, encode."""

    async def owner(self) -> Owner:
        """The caller; rules go by the rights that are seen here. Raises Unauthorized, Forbidden."""
        token = self.request.headers.get("Authorization", "").partition(" ")[2].strip()
        return await owners.seen(self.ctx, self.user, token)

    async def reach(self) -> str | None:
        """Whose rules and messages the caller reaches: their own, or (None) all."""
        owner = await self.owner()
        return None if owner.is_admin else owner.username

    async def asked(self) -> str | None:
        """Whose a list is to show: the caller's own; with `all`, an administrator's everybody's."""
        owner = await self.owner()
        return None if self.query_bool("all") and owner.is_admin else owner.username

    def page(self) -> tuple[int, int]:
        """How many rows to skip, and how many to show. Raises BadRequest."""
        skip, limit = self.query_int("skip", 0) or 0, self.query_int("limit", 100, minimum=1) or 100
        if limit > 1000 or skip > MOST_SKIPPED:
            raise BadRequest(f"limit must be at most 1000, skip at most {MOST_SKIPPED}")
        return skip, limit
