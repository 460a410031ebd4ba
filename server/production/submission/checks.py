"""Whether a configuration may be taken: what is wrong with it by itself, and what no site here can offer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from iceprod.config_check import Finding, Offers, check_config, refused
from iceprod.ids import now, timestamp
from server.common.errors import BadRequest
from server.production.common.documents import Document
from server.rest.context import Context

__all__ = ["findings", "require", "shown"]

LATELY = timedelta(days=1)
"""A site or pilot that was heard of so recently counts."""

_LIMITS = {"cpu": "cores", "memory": "memory", "disk": "disk", "time": "hours"}  # of a site, by requirement


async def findings(ctx: Context, config: Any, jobs: int, dataset: Document | None = None) -> list[Finding]:
    """What is wrong with a configuration of so many jobs, errors first."""
    offers = await _offers(ctx)
    return await asyncio.to_thread(check_config, config, jobs, dataset, offers)


async def require(ctx: Context, config: Any, jobs: int, *, lenient: bool = False,
                  dataset: Document | None = None) -> None:
    """Raise BadRequest for a configuration that is not taken."""
    wrong = refused(await findings(ctx, config, jobs, dataset), lenient=lenient)
    if wrong:
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BadRequest(wrong[0].text + more)


def shown(one: Finding, name: str) -> Document:
    """A finding as JSON."""
    near = {"nearest": one.nearest} if one.nearest else {}
    return {"path": one.path, name: one.problem, "kind": one.kind.value, **near}


async def _offers(ctx: Context) -> Offers:
    """The most that sites say they offer to one task, and that pilots here have."""
    heard = {"last_update": {"$gt": timestamp(now() - LATELY)}}
    sites: dict[str, float] = {}
    async for grid in ctx.db.grids.find({**heard, "largest": {"$exists": True}}, {"largest": 1}):
        _raise(sites, {name: grid["largest"].get(key) for name, key in _LIMITS.items()})
    pilots: dict[str, float] = {}
    async for pilot in ctx.db.pilots.find(heard, {"resources": 1}):
        _raise(pilots, pilot.get("resources") or {})
    return Offers(sites, pilots)


def _raise(most: dict[str, float], offer: Document) -> None:
    for name, value in offer.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            most[name] = max(value, most.get(name, 0.0))
