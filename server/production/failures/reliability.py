"""The periodic service that writes what ends taught, and forgets what is old."""

from __future__ import annotations

from server.production.failures import parking, quarantine, tallies
from server.rest.context import Context
from server.services.leader import Service

__all__ = ["SERVICES", "tend"]


async def tend(ctx: Context) -> int:
    """Write the tallies of this process, look at suspects, and forget; how many documents went."""
    await quarantine.judge_suspects(ctx)
    return await tallies.clean(ctx) + await quarantine.clean(ctx) + await parking.clean(ctx)


SERVICES = [Service("tend tallies", lambda ctx: ctx.settings.services.repair_seconds, tend)]
