"""Pictures of a scan, drawn off the event loop; those of final maps are kept."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict

from scanner.result import ScanResult
from scanner.skymap import EmptyMapError
from server.context import Context
from server.errors import NotFound
from server.scans import maps

__all__ = ["VIEWS", "npz", "png"]

VIEWS = ("sky", "zoom")
KEPT = 64

_final: OrderedDict[tuple[str, str], bytes] = OrderedDict()
_drawing = asyncio.Semaphore(1)  # pictures cost a second of CPU each; requests must not wait for them


async def png(ctx: Context, scan_id: str, view: str) -> tuple[bytes, bool]:
    """A picture of the sky or of the best fit's surroundings, and whether it is final. Raises NotFound."""
    if (scan_id, view) in _final:
        return _final[scan_id, view], True
    result, is_final = await maps.latest(ctx, scan_id)
    async with _drawing:
        try:
            picture = await asyncio.to_thread(_draw, result, view)
        except EmptyMapError as error:
            raise NotFound(str(error)) from None
    if is_final:
        _final[scan_id, view] = picture
        while len(_final) > KEPT:
            _final.popitem(last=False)
    return picture, is_final


async def npz(ctx: Context, scan_id: str) -> tuple[bytes, str]:
    """The map as skyreader's .npz file, and its name. Raises NotFound."""
    result, _ = await maps.latest(ctx, scan_id)
    file = io.BytesIO()
    await asyncio.to_thread(result.to_npz, file)
    return file.getvalue(), result.file_name("npz")


def _draw(result: ScanResult, view: str) -> bytes:
    from scanner.plots import plot_sky, plot_zoom  # matplotlib takes a second to load

    file = io.BytesIO()
    draw = plot_sky if view == "sky" else plot_zoom
    draw(result, file, file_format="png")
    return file.getvalue()
