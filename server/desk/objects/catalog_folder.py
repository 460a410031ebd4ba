"""Files of catalogues: in the catalogue folder of this installation, or sent along."""

from __future__ import annotations

import asyncio
import base64
import binascii
from pathlib import Path

from server.common.errors import BadRequest
from server.desk.common.fits_files import MOST_BYTES
from server.rest.context import Context

__all__ = ["local_file", "sent_or_local"]


def local_file(ctx: Context, name: str) -> Path | None:
    """A file of the catalogue folder; None when it is not there, or the name leads elsewhere."""
    if "/" in name or "\\" in name or "\0" in name:
        return None
    path = Path(ctx.settings.data) / ctx.settings.catalogs.folder / name
    return path if path.is_file() else None


async def sent_or_local(ctx: Context, file_name: str | None, file_data: str | None) -> bytes:
    """The bytes of a file that is named, or of one that was sent in base64. Raises BadRequest."""
    if (file_name is None) == (file_data is None):
        raise BadRequest("file_name, file_data: give one of them")
    if file_data is not None:
        return await asyncio.to_thread(_decoded, file_data)
    path = local_file(ctx, file_name or "")
    if path is None:
        raise BadRequest(f"file_name: there is no file {file_name!r} in the catalogue folder")
    if path.stat().st_size > MOST_BYTES:
        raise BadRequest(f"file_name: {file_name!r} is larger than {MOST_BYTES >> 20} MB")
    return await asyncio.to_thread(path.read_bytes)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("file_data: must be in base64") from None
