"""The route that tells which reconstructions our own pilots run."""

from __future__ import annotations

from scanner.recos.recos import ALIASES, RECOS
from server.rest.handler import Handler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Recos(Handler):
    """The reconstructions of our own pilots, with the other names that each answers to."""

    @allow("any")
    async def get(self) -> None:
        self.send({name: {"description": reco.description, "cost": reco.cost,
                          "aliases": [alias for alias, meant in ALIASES.items() if meant == name]}
                   for name, reco in RECOS.items()})


ROUTES = [Route("/recos", Recos, "scan")]
