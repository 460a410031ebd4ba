"""Events in the sky and their sky maps: those of our scans, and those that come from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from server.desk.common.bodies import refuse_gaps, takes
from server.desk.common.dates import parse_date
from server.desk.maps import arrivals, events, localizations
from server.desk.maps.arrivals import EventBody
from server.desk.maps.tiles import DISTANCE_COLUMNS, Tiles
from server.desk.people.groups import shown
from server.desk.people.handler import DeskHandler, needs
from server.production.common.fields import check_storable
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

_HIDDEN = ("blob", "cells", "version", "unlogged")


class Events(DeskHandler):
    """Events in the sky."""

    def examine(self, document: Any) -> None:
        """Names may begin with $, as GCN's do: what is kept of a body has names of ours."""
        check_storable(document, names=False)

    @allow("any")
    async def get(self) -> None:
        """All events, the latest first, a page of them."""
        page = self.page(default=100, cap=500)
        total = await events.count(self.ctx)
        page.check(total)
        rows = [shown(row) for row in await events.newest(self.ctx, page.skip, page.size)]
        self.success({"events": rows, "totalMatches": total, "pageNumber": page.number,
                      "numPerPage": page.size})

    @needs("Manage GCNs")
    @takes(EventBody)
    async def post(self) -> None:
        """Add an event, or a sky map to one that is there."""
        sent = self.body()
        refuse_gaps(sent, "skymap")
        self.success(await arrivals.keep(self.ctx, arrivals.event_of(sent)))


class Event(DeskHandler):
    """One event."""

    @allow("any")
    async def get(self, dateobs: str) -> None:
        """An event with its localizations, the newest first."""
        event = await events.find(self.ctx, parse_date(dateobs, "dateobs"))
        rows = await localizations.of_event(self.ctx, event["dateobs"])
        self.success({**shown(event), "localizations": [_shown(row) for row in rows]})


class Localization(DeskHandler):
    """One sky map."""

    @allow("any")
    async def get(self, dateobs: str, name: str) -> None:
        """A sky map by its event's time and its name; with its tiles when asked for (include2DMap)."""
        row = await localizations.find(self.ctx, parse_date(dateobs, "dateobs"), name)
        answer = _shown(row)
        if self.query_bool("include2DMap"):
            tiles = await localizations.tiles_of(self.ctx, row)
            answer |= await asyncio.to_thread(_arrays, tiles)
        self.success(answer)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in ("_id", "name", *_HIDDEN)}
    return {"id": row["_id"], "localization_name": row["name"], "scan_id": None, **rest}


def _arrays(tiles: Tiles) -> dict[str, Any]:
    more = {name: [float(value) if np.isfinite(value) else None for value in column]
            for name, column in tiles.distance.items() if name in DISTANCE_COLUMNS}
    return {"uniq": tiles.uniq.tolist(), "probdensity": tiles.density.tolist(), **more}


ROUTES = [
    Route("/api/gcn_event", Events, "desk"),
    Route("/api/gcn_event/{dateobs:any}", Event, "desk"),
    Route("/api/localization/{dateobs:any}/name/{name:any}", Localization, "desk"),
]
