"""Telescopes and instruments."""

from __future__ import annotations

from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.bodies import takes
from server.desk.observing import instruments
from server.desk.observing.instruments import InstrumentBody, TelescopeBody
from server.desk.people.groups import shown
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Telescopes(DeskHandler):
    """Telescopes."""

    @allow("any")
    async def get(self) -> None:
        """All telescopes, or those of one name."""
        self.success(self.cut(await instruments.telescopes(self.ctx, self.query("name"))))

    @needs(UPLOAD_DATA)
    @takes(TelescopeBody)
    async def post(self) -> None:
        """Add a telescope."""
        self.success({"id": await instruments.add_telescope(self.ctx, self.typed(TelescopeBody))})


class Telescope(DeskHandler):
    """One telescope."""

    @allow("any")
    async def get(self, telescope_id: str) -> None:
        """A telescope, by id."""
        number = self.number(telescope_id, "telescope_id")
        self.success(shown(await instruments.find_telescope(self.ctx, number)))


class Instruments(DeskHandler):
    """Instruments."""

    @allow("any")
    async def get(self) -> None:
        """All instruments, or those of one name."""
        self.success(self.cut(await instruments.instruments(self.ctx, self.query("name"))))

    @needs(UPLOAD_DATA)
    @takes(InstrumentBody)
    async def post(self) -> None:
        """Add an instrument to a telescope."""
        self.success({"id": await instruments.add_instrument(self.ctx, self.typed(InstrumentBody))})


class Instrument(DeskHandler):
    """One instrument."""

    @allow("any")
    async def get(self, instrument_id: str) -> None:
        """An instrument, by id."""
        number = self.number(instrument_id, "instrument_id")
        self.success(shown(await instruments.find_instrument(self.ctx, number)))


ROUTES = [
    Route("/api/telescope", Telescopes, "desk"),
    Route("/api/telescope/{telescope_id:any}", Telescope, "desk"),
    Route("/api/instrument", Instruments, "desk"),
    Route("/api/instrument/{instrument_id:any}", Instrument, "desk"),
]
