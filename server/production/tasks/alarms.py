"""When the repair pass has to look: who leaves something for a later moment has it look then.

Nothing is right because of it, only soon: the process may die before. So the pass also looks every
`services.repair_seconds`, whoever left something.
"""

from __future__ import annotations

import asyncio
import math
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.rest.context import Context

__all__ = ["SIGNAL", "ring"]

SIGNAL = "due"

_set: WeakKeyDictionary[AsyncDatabase, set[int]] = WeakKeyDictionary()


def ring(ctx: Context, seconds: float) -> None:
    """Give the signal in so many seconds, or a little later: once in `leases.sweep_seconds` for all."""
    loop, step = asyncio.get_running_loop(), ctx.settings.leases.sweep_seconds
    moments, moment = _set.setdefault(ctx.db, set()), math.ceil((loop.time() + seconds) / step)
    if moment not in moments:
        moments.add(moment)
        loop.call_at(moment * step, _rings, ctx, moments, moment)


def _rings(ctx: Context, moments: set[int], moment: int) -> None:
    moments.discard(moment)
    ctx.signals.notify(SIGNAL)
