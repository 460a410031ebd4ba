"""The base of the alerts' handlers: who may decide, pages of lists, times in queries."""

from __future__ import annotations

import math

from server.alerts.common.rights import check_may_manage
from server.common.errors import BadRequest
from server.rest.handler import Handler

__all__ = ["READERS", "AlertHandler"]

READERS = ("admin", "system", "user")
MOST_SKIPPED = 10_000_000


class AlertHandler(Handler):
    """Decode, authorise, call one function of the domain, encode."""

    async def managing(self) -> str:
        """The name of a caller who may decide what is published. Raises Forbidden."""
        token = self.request.headers.get("Authorization", "").partition(" ")[2].strip()
        await check_may_manage(self.ctx, self.user, token)
        return self.user.username

    def page(self) -> tuple[int, int]:
        """How many rows to skip, and how many to show. Raises BadRequest."""
        skip, limit = self.query_int("skip", 0) or 0, self.query_int("limit", 100, minimum=1) or 100
        if limit > 1000 or skip > MOST_SKIPPED:
            raise BadRequest(f"limit must be at most 1000, skip at most {MOST_SKIPPED}")
        return skip, limit

    def moment(self, name: str) -> float | None:
        """A time of the query, seconds since 1970. Raises BadRequest."""
        text = self.query(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BadRequest(f"{name}: {text[:40]!r} is not a time in seconds since 1970")
        return value

    def words(self, name: str, most: int = 200) -> str:
        """A text of the query, empty when it is not given. Raises BadRequest."""
        text = self.query(name) or ""
        if len(text) > most or "\0" in text:
            raise BadRequest(f"{name}: at most {most} characters, and no NUL")
        return text
