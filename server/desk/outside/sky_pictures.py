"""Pictures of a part of the sky from a survey, in the projection of the desk's maps.

The service speaks the interface of CDS's hips2fits (`catalogs.images_url`). ``ZEA`` is the zenithal
equal-area projection (Calabretta & Greisen 2002, section 5.1.7), which is Lambert's; at its centre a degree
in the picture is one on the sky, and up to 15° from there it is so within 0.3 %.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from pymongo.asynchronous.database import AsyncDatabase

from server.common.errors import NotFound
from server.desk.outside.calls import Call, ServiceError, fetch
from server.rest.context import Context

__all__ = ["LARGEST", "Cut", "cut_out"]

LARGEST = 30.0  # degrees across
_PIXELS = 800  # each way
_KEPT = 32 << 20  # bytes that stay in memory
_MAGIC = b"\xff\xd8\xff"  # of JPEG

_asking = asyncio.Semaphore(4)
_kept: WeakKeyDictionary[AsyncDatabase, LRUCache[Cut, bytes]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Cut:
    """A square part of the sky: its centre and how far it is across, in degrees."""

    ra: float
    dec: float
    across: float


async def cut_out(ctx: Context, cut: Cut) -> bytes:
    """A picture (JPEG), north up and east left; those last asked for stay in memory.

    Raises NotFound where the installation wants none, ServiceError.
    """
    if not ctx.settings.catalogs.sky_pictures:
        raise NotFound("this installation asks for no pictures of the sky (catalogs.sky_pictures)")
    kept = _kept.setdefault(ctx.db, LRUCache(_KEPT, getsizeof=len))
    if cut not in kept:
        async with _asking:
            data = await fetch(ctx, _call(ctx, cut))
        if not data.startswith(_MAGIC):
            raise ServiceError("The image service answers no picture")
        if len(data) <= _KEPT:
            kept[cut] = data
        return data
    return kept[cut]


def _call(ctx: Context, cut: Cut) -> Call:
    settings = ctx.settings.catalogs
    query = {"hips": settings.sky_survey, "width": str(_PIXELS), "height": str(_PIXELS),
             "fov": f"{cut.across:.6f}", "ra": f"{cut.ra:.7f}", "dec": f"{cut.dec:.7f}", "projection": "ZEA",
             "coordsys": "icrs", "format": "jpg"}
    return Call("The image service", settings.images_url, query)
