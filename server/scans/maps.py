"""The sky map of a scan as far as it is known."""

from __future__ import annotations

from server.context import Context
from server.scans import results
from server.scans.results import Result

__all__ = ["result_of"]


async def result_of(ctx: Context, scan_id: str) -> Result | None:
    """The result of a scan; partial while it runs, None before the first pixel."""
    return await results.read(ctx, scan_id)
