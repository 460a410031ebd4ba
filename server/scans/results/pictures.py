"""Pictures of a scan, and its map as skyreader's .npz file."""

from __future__ import annotations

from server.rest.context import Context
from server.scans.results import files, maps

__all__ = ["VIEWS", "npz", "png"]

VIEWS = ("sky", "zoom")


async def png(ctx: Context, scan_id: str, view: str) -> tuple[bytes, bool]:
    """A picture of the sky or of the best fit's surroundings, and whether it is final. Raises NotFound."""
    levels = await files.usual_levels(ctx, scan_id)
    file = await files.make(ctx, scan_id, files.product(f"{view}.{levels.name}.png"))
    return file.content, file.is_final


async def npz(ctx: Context, scan_id: str) -> tuple[bytes, str]:
    """The map as skyreader's .npz file, and the name that skyreader gives it. Raises NotFound."""
    file = await files.make(ctx, scan_id, files.product("result.npz"))
    result, _ = await maps.latest(ctx, scan_id)
    return file.content, result.file_name("npz")
