"""The periodic service that writes what ends taught, and forgets what is old."""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.production.failures import parking, quarantine, tallies
from server.rest.context import Context
from server.services.leader import Service

__all__ = ["SERVICES", "tend"]


FORGET_SECONDS = 600.0  # between two looks at what is old, while nothing ends

_forgot: WeakKeyDictionary[AsyncDatabase, float] = WeakKeyDictionary()


async def tend(ctx: Context) -> int:
    """Write the tallies of this process, look at suspects, and forget; how many documents went."""
    await quarantine.judge_suspects(ctx)
    _forgot[ctx.db] = time.monotonic()
    return await tallies.clean(ctx) + await quarantine.clean(ctx) + await parking.clean(ctx)


async def anything_new(ctx: Context) -> bool:
    """Whether ends were counted that are not written yet, or it is time to forget."""
    is_late = time.monotonic() - _forgot.get(ctx.db, float("-inf")) > FORGET_SECONDS
    return is_late or not tallies.of(ctx).is_empty


SERVICES = [Service("tend tallies", lambda ctx: ctx.settings.services.repair_seconds, tend,
                    needed=anything_new)]
