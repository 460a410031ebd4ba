"""Importing galaxies: tables that users send, and the file of GLADE+ from this machine or its web page."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import BinaryIO

import msgspec

from server.common.errors import BadRequest
from server.desk.common import blobs, jobs
from server.desk.common.access import Visitor
from server.desk.common.jobs import Job
from server.desk.objects import galaxies
from server.desk.objects.catalog_folder import local_file
from server.desk.objects.galaxy_text import Galaxy, GalaxyTextError, glade_galaxy, read_table
from server.desk.outside.calls import Call, ServiceError, check_address, stream
from server.rest.context import Context

__all__ = ["SERVICES", "add_table", "start_glade"]

GLADE_FILE = "GLADE+.txt"
CATALOG = "GLADE"
_LINES = 2000  # stored at once
_PIECE = 1 << 20
_RESUMES = 20  # of a download whose connection breaks


# -- tables


async def add_table(ctx: Context, who: Visitor, catalog: str, text: str) -> int:
    """Check a table and have it stored; how many galaxies it has. Raises BadRequest."""
    try:
        found = await asyncio.to_thread(read_table, text)
    except GalaxyTextError as error:
        raise BadRequest(str(error)) from None
    unique = uuid.uuid4().hex  # two jobs of one table do not share, and remove, one blob
    key = await blobs.put(ctx, await asyncio.to_thread(msgspec.msgpack.encode, (unique, found)))
    await jobs.add(ctx, who, "galaxies", {"catalog": catalog, "blob": key, "rows": len(found)})
    return len(found)


async def _store_table(ctx: Context, job: Job) -> str:
    """Store the rows from where the job stands."""
    catalog, key, count = (job.payload[name] for name in ("catalog", "blob", "rows"))
    done, new = (int(job.progress.get(name, 0)) for name in ("rows", "new"))
    if done < count:  # else the blob may be gone already
        data = await blobs.get(ctx, key)
        _, found = await asyncio.to_thread(msgspec.msgpack.decode, data, type=tuple[str, list[Galaxy]])
    while done < count:
        some = found[done:done + _LINES]
        new, done = new + await galaxies.store(ctx, catalog, some), done + len(some)
        await jobs.advance(ctx, job, rows=done, new=new, of=count)
    await blobs.remove(ctx, key)
    return f"completed: {new} new galaxies, {count - new} brought up to date"


# -- GLADE+


async def start_glade(ctx: Context, who: Visitor, file_name: str | None, file_url: str | None) -> None:
    """Have GLADE+ imported: the named file, the address, the local file, or the public address.

    Raises BadRequest.
    """
    if file_name and file_url:
        raise BadRequest("file_name, file_url: give one of them, not both")
    if file_url:
        _check_suffix(file_url.partition("?")[0], "file_url")
        check_address(ctx, file_url, "file_url")
    elif file_name:
        _check_suffix(file_name, "file_name")
        if local_file(ctx, file_name) is None:
            raise BadRequest(f"file_name: there is no file {file_name!r} in the catalogue folder")
    elif local_file(ctx, GLADE_FILE) is not None:
        file_name = GLADE_FILE
    else:
        file_url = ctx.settings.catalogs.glade_url
    await jobs.add(ctx, who, "glade", {"file_name": file_name, "file_url": file_url})


def _check_suffix(name: str, field: str) -> None:
    if not name.endswith(".txt"):
        raise BadRequest(f"{field}: must end in .txt")


async def _import_glade(ctx: Context, job: Job) -> str:
    """Read lines from where the job stands, and store them a few thousand at a time."""
    size = _size(ctx, job)
    offset, new, rows = (int(job.progress.get(name, 0)) for name in ("offset", "new", "rows"))
    async for some, end in _batches(_lines(ctx, job, offset), offset):
        new += await galaxies.store(ctx, CATALOG, some)
        rows, offset = rows + len(some), end
        await jobs.advance(ctx, job, offset=offset, new=new, rows=rows, bytes=size)
    return f"completed: {new} new galaxies, {rows - new} brought up to date"


def _size(ctx: Context, job: Job) -> int | None:
    """Bytes of the whole file, where it is here."""
    path = local_file(ctx, job.payload.get("file_name") or "")
    return path.stat().st_size if path else None


async def _batches(lines: AsyncIterator[bytes], offset: int) -> AsyncIterator[tuple[list[Galaxy], int]]:
    """Galaxies by some thousand lines, and the offset behind them. Raises BadRequest."""
    some: list[bytes] = []
    async for line in lines:
        some.append(line)
        offset += len(line)
        if len(some) == _LINES:
            yield await asyncio.to_thread(_galaxies, some), offset
            some = []
    if some:
        yield await asyncio.to_thread(_galaxies, some), offset


def _galaxies(lines: list[bytes]) -> list[Galaxy]:
    try:
        found = [glade_galaxy(text) for line in lines if (text := line.decode("utf8", "replace").strip())]
    except GalaxyTextError as error:
        raise BadRequest(f"not a file of GLADE+: {error}") from None
    return list({galaxy.name: galaxy for galaxy in found if galaxy}.values())


async def _lines(ctx: Context, job: Job, offset: int) -> AsyncIterator[bytes]:
    """Whole lines with their ends, from an offset in bytes."""
    name = job.payload.get("file_name")
    pieces = _of_file(ctx, name, offset) if name else _of_web(ctx, job.payload["file_url"], offset)
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > _PIECE:
            raise BadRequest("not a file of GLADE+: it has a line of more than 1 MB")
    if rest:
        yield rest


async def _of_file(ctx: Context, name: str, offset: int) -> AsyncIterator[bytes]:
    path = local_file(ctx, name)
    if path is None:
        raise BadRequest(f"file_name: the file {name!r} is not there any more")
    file: BinaryIO = await asyncio.to_thread(path.open, "rb")
    with file:
        file.seek(offset)
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


async def _of_web(ctx: Context, address: str, offset: int) -> AsyncIterator[bytes]:
    """The file behind an address; a broken connection is taken up where it broke."""
    limit = ctx.settings.catalogs.max_file_mb << 20
    for _ in range(_RESUMES):
        before = offset
        try:
            async for piece in stream(ctx, Call("The catalogue's server", address, offset=offset), limit):
                offset += len(piece)
                yield piece
            return
        except ServiceError:
            if offset == before:
                raise
    raise ServiceError("The catalogue's server breaks off again and again")


SERVICES = [jobs.service("galaxies", _store_table), jobs.service("glade", _import_glade)]
