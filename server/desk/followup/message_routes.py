"""Messages of facilities about requests."""

from __future__ import annotations

from typing import Annotated

import msgspec

from server.desk.common.bodies import Body, Id, takes
from server.desk.followup import messages
from server.desk.people.handler import DeskHandler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class MessageBody(Body):
    """How a request stands."""

    followup_request_id: Id
    new_status: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Facility(DeskHandler):
    """Facilities."""

    @allow("any")
    @takes(MessageBody)
    async def post(self) -> None:
        """Report how a request stands; needs the right 'Post from' of its instrument's listener."""
        body = self.typed(MessageBody)
        await messages.receive(self.ctx, self.who, body.followup_request_id, body.new_status,
                               self.request.body, self.request.headers.get("X-Signature", ""))
        self.success()


ROUTES = [Route("/api/facility", Facility, "desk")]
