"""Where attempts run: the host and site of a pilot, kept in memory because neither ever changes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.rest.context import Context

__all__ = ["NOWHERE", "Place", "place_of"]

MOST_KEPT = 20_000


@dataclass(frozen=True)
class Place:
    """A host, and the site that it belongs to; empty where unknown."""

    host: str = ""
    site: str = ""

    def names(self) -> list[tuple[str, str]]:
        """The kinds and names by which it may be quarantined."""
        return [(kind, name) for kind, name in (("host", self.host), ("site", self.site)) if name]


NOWHERE = Place()

_kept: WeakKeyDictionary[AsyncDatabase, OrderedDict[str, Place]] = WeakKeyDictionary()


async def place_of(ctx: Context, pilot_id: str) -> Place:
    """Where a pilot runs; nowhere for one that nobody knows."""
    if not pilot_id:
        return NOWHERE
    kept = _kept.setdefault(ctx.db, OrderedDict())
    if pilot_id in kept:
        return kept[pilot_id]
    pilot = await ctx.db.pilots.find_one({"pilot_id": pilot_id}, {"host": 1, "site": 1})
    if pilot is None:
        return NOWHERE
    kept[pilot_id] = Place(_text(pilot.get("host")), _text(pilot.get("site")))
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
    return kept[pilot_id]


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
