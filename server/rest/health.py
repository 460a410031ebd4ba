"""What the parts of the server tell `/healthz` about themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pymongo.errors import PyMongoError

from server.rest.context import Context

__all__ = ["probes", "register_probe", "registered"]

SECONDS = 3.0  # for all of them together; whoever asks for health must not wait long

Probe = Callable[[Context], Awaitable[dict[str, Any]]]

_probes: dict[str, Probe] = {}


def register_probe(name: str, probe: Probe) -> None:
    """Let a part of the server tell how it does, under its name."""
    _probes[name] = probe


def registered() -> dict[str, Probe]:
    """The parts that tell how they do."""
    return dict(_probes)


async def probes(ctx: Context) -> dict[str, Any]:
    """What each part tells; an error's text for one that cannot tell now."""
    told = await asyncio.gather(*(_ask(ctx, probe) for probe in _probes.values()))
    return dict(zip(_probes, told, strict=True))


async def _ask(ctx: Context, probe: Probe) -> dict[str, Any]:
    try:
        return await asyncio.wait_for(probe(ctx), SECONDS)
    except (PyMongoError, TimeoutError) as error:
        return {"error": str(error) or type(error).__name__}
