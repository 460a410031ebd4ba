"""Files made of a scan's map, off the event loop; those of final maps are kept for a while."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scanner.maps.catalogue import Marks, Product, UnknownProduct, find_product, products_for
from scanner.maps.level_sets import LevelSet, LevelSetError, default_levels
from scanner.maps.result import ScanResult
from scanner.maps.skymap import EmptyMapError
from server.common.errors import NotFound
from server.rest.context import Context
from server.scans.manifests.told import Told
from server.scans.pixels import runs
from server.scans.pixels.timing import Drawn
from server.scans.results import maps, results, sketches

__all__ = ["File", "make", "offered", "product", "usual_levels"]

KEPT_BYTES = 64 << 20


@dataclass(frozen=True)
class File:
    """A product's content and the name to store it under."""

    content: bytes
    name: str
    is_final: bool


class _Shelf:
    """The files used last, as many as fit."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._files: OrderedDict[tuple[str, float, str], File] = OrderedDict()

    def get(self, key: tuple[str, float, str]) -> File | None:
        if key in self._files:
            self._files.move_to_end(key)
        return self._files.get(key)

    def put(self, key: tuple[str, float, str], file: File) -> None:
        if key not in self._files:
            self._used += len(file.content)
        self._files[key] = file
        while self._used > self._size:
            _, oldest = self._files.popitem(last=False)
            self._used -= len(oldest.content)


_shelf = _Shelf(KEPT_BYTES)
_making = asyncio.Semaphore(1)  # a picture costs a second of CPU; requests must not wait for many of them


def product(name: str) -> Product:
    """The product of a name. Raises NotFound."""
    try:
        return find_product(name)
    except UnknownProduct as error:
        raise NotFound(str(error)) from None


async def offered(ctx: Context, scan_id: str) -> list[Product]:
    """The products that fit the reconstruction of a scan, as far as it is known."""
    run = await runs.find(ctx, scan_id)
    return products_for(run.computes if run else "")


async def usual_levels(ctx: Context, scan_id: str) -> LevelSet:
    """The level set of a scan's regions where none is named, as far as its reconstruction is known."""
    run = await runs.find(ctx, scan_id)
    if run is not None:
        return default_levels(run.computes)
    try:
        return default_levels((await maps.latest(ctx, scan_id))[0].method.reco)
    except NotFound:
        return default_levels("")


def _make(wanted: Product, result: ScanResult, style: str, marks: Marks) -> bytes:
    return wanted.draw(result, style or "screen", marks) if wanted.draw else wanted.make(result)


async def _marks(ctx: Context, scan_id: str) -> Marks:
    """What pictures of a scan show beside its best fit: the online direction, and the truth if known."""
    told = await sketches.told_of(ctx, scan_id) or Told()
    truth = (told.truth.ra_deg, told.truth.dec_deg) if told.truth else None
    name = re.sub(r"[^A-Za-z0-9_]", "", told.online.name)[:40] if told.online else ""
    return Marks(truth, {f"online, {name}": (told.online.ra_deg, told.online.dec_deg)} if told.online else {})


async def make(ctx: Context, scan_id: str, wanted: Product, style: str = "") -> File:
    """A file of a scan's map as it is now; a picture in a style. Raises NotFound.

    That is while there is no map, or when the file does not fit it.
    """
    finished = await results.is_final(ctx, scan_id)
    style = style if wanted.draw else ""
    key = (scan_id, finished or 0.0, f"{wanted.name} {style}")
    if finished is not None and (kept := _shelf.get(key)):
        return kept
    result, is_final = await maps.latest(ctx, scan_id)
    if finished:  # else every server process would date it otherwise
        result = replace(result, made=datetime.fromtimestamp(finished, UTC))
    marks = await _marks(ctx, scan_id) if wanted.draw else Marks()
    async with _making:
        began = time.time()
        try:
            content = await asyncio.to_thread(_make, wanted, result, style, marks)
        except (EmptyMapError, LevelSetError) as error:
            raise NotFound(str(error)) from None
    seconds = round(time.time() - began, 3)
    file = File(content, wanted.file_name(result), is_final)
    if is_final and finished is not None:
        _shelf.put(key, file)
        await runs.note_drawn(ctx, scan_id, Drawn(wanted.name, seconds))
    return file
