"""Drawing charts of follow-up: which files there are, and one drawing at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from server.common.errors import BadRequest, TooManyRequests

__all__ = ["KINDS", "check", "with_pen"]

KINDS = {"pdf": "application/pdf", "png": "image/png"}
_PEN = ThreadPoolExecutor(1, "report")  # fonts are shared
_MOST_AT_ONCE = 8  # charts that are drawn or wait for it

_waiting = 0


def check(kind: str) -> None:
    """Raise BadRequest unless there are such files."""
    if kind not in KINDS:
        raise BadRequest(f"output_format: must be one of {', '.join(KINDS)}, not {kind[:40]!r}")


async def with_pen(draw: Callable[..., bytes], *arguments: Any) -> bytes:
    """What a function draws, in the one thread that may. Raises TooManyRequests when many wait."""
    global _waiting
    if _waiting >= _MOST_AT_ONCE:
        raise TooManyRequests("many charts are being drawn; try again in a few seconds", 3)
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_PEN, draw, *arguments)
    finally:
        _waiting -= 1
