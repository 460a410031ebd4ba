"""Routes of what goes out, and of the ways in and out: notices, deliveries, sources, targets."""

from __future__ import annotations

from server.alerts.handler import READERS, AlertHandler
from server.alerts.incoming import sources
from server.alerts.outgoing import notices, outbox
from server.alerts.outgoing.notices import sent_document
from server.common.errors import BadRequest
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Notices(AlertHandler):
    """All notices that were ever made."""

    @allow(*READERS)
    async def get(self) -> None:
        """Notices, the latest first; by a part of event, id, type or `text`."""
        skip, limit = self.page()
        self.send({"notices": await notices.listed(self.ctx, self.words("text"), skip, limit)})


class OneNotice(AlertHandler):
    """One notice."""

    @allow(*READERS)
    async def get(self, notice_id: str) -> None:
        """A notice as targets get it, but for the sky map inside it."""
        notice = await notices.find(self.ctx, notice_id)
        self.send(sent_document(notice, None, 0, ""))


class NoticeMap(AlertHandler):
    """The sky map of a notice."""

    @allow(*READERS)
    async def get(self, notice_id: str) -> None:
        """Multi-order FITS, packed with gzip."""
        notice = await notices.find(self.ctx, notice_id)
        content = await notices.skymap_of(self.ctx, notice)
        self.set_header("Content-Type", "application/gzip")
        self.set_header("Content-Disposition", f'attachment; filename="{notice.file_name}.fits.gz"')
        self.finish(content)


class Deliveries(AlertHandler):
    """What is on its way to targets, was sent, or could not be."""

    @allow(*READERS)
    async def get(self) -> None:
        """Deliveries, the latest first; by `state`: waiting, sending, sent, dead."""
        state = self.words("state")
        if state and state not in outbox.STATES:
            raise BadRequest(f"state: must be one of {', '.join(outbox.STATES)}")
        _, limit = self.page()
        self.send({"deliveries": await outbox.listed(self.ctx, state, limit=limit)})


class Again(AlertHandler):
    """Dead letters."""

    @allow(*READERS)
    async def post(self, key: str) -> None:
        """Try a dead letter anew, under its old key."""
        await self.managing()
        await outbox.again(self.ctx, key)
        self.send({})


class Sources(AlertHandler):
    """Where alerts come from."""

    @allow(*READERS)
    async def get(self) -> None:
        """Every configured source and how it is."""
        self.send({"sources": await sources.standings(self.ctx)})


class Targets(AlertHandler):
    """Where notices go."""

    @allow(*READERS)
    async def get(self) -> None:
        """Every configured target, whether it is public, and how many deliveries are in which state."""
        self.send({"targets": await outbox.standings(self.ctx)})


ROUTES = [
    Route("/alert_notices", Notices, "alerts"),
    Route("/alert_notices/{notice_id:any}", OneNotice, "alerts"),
    Route("/alert_notices/{notice_id:any}/skymap", NoticeMap, "alerts"),
    Route("/alert_deliveries", Deliveries, "alerts"),
    Route("/alert_deliveries/{key:any}/actions/retry", Again, "alerts"),
    Route("/alert_sources", Sources, "alerts"),
    Route("/alert_targets", Targets, "alerts"),
]
