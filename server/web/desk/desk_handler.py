"""What the desk's pages share: the caller is a visitor of the desk."""

from __future__ import annotations

from server.common.errors import Forbidden
from server.desk.common.access import Visitor
from server.desk.people import people
from server.web.common.handler import COOKIE, PageHandler

__all__ = ["DeskPage"]


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
