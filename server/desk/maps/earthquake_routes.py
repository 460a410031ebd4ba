"""Earthquakes that may have shaken a detector."""

from __future__ import annotations

from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.bodies import takes
from server.desk.maps import earthquakes
from server.desk.maps.earthquakes import EarthquakeBody
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Earthquakes(DeskHandler):
    """Earthquakes."""

    @needs(UPLOAD_DATA)
    @takes(EarthquakeBody)
    async def post(self) -> None:
        """Keep a notice of an earthquake, by fields or as QuakeML."""
        self.success({"id": await earthquakes.add(self.ctx, self.who, self.typed(EarthquakeBody))})


class Earthquake(DeskHandler):
    """One earthquake."""

    @allow("any")
    async def get(self, event_id: str) -> None:
        """An earthquake with its notices, newest first."""
        self.success(await earthquakes.find(self.ctx, event_id))


ROUTES = [
    Route("/api/earthquake", Earthquakes, "desk"),
    Route("/api/earthquake/{event_id:any}", Earthquake, "desk"),
]
