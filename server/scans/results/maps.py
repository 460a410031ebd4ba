"""The sky map of a scan as far as it is known: from the stored result, or from the batches that are in."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from pymongo.asynchronous.database import AsyncDatabase

from scanner.maps.result import ResultError, ScanResult
from server.common.errors import NotFound
from server.rest.context import Context
from server.scans.pixels import batches, runs
from server.scans.pixels.tables import joined
from server.scans.results import results
from server.scans.results.results import Result

__all__ = ["latest", "result_of", "result_text", "tables_of"]

SCANS_KEPT = 8

Tables = dict[int, tuple[int, np.ndarray]]  # by sequence number: nside and rows


class _Kept:
    """Batch results of the scans last asked for; a stored one never changes, so it is read once."""

    def __init__(self) -> None:
        self._scans: OrderedDict[str, Tables] = OrderedDict()

    def of(self, scan_id: str) -> Tables:
        tables = self._scans.setdefault(scan_id, {})
        self._scans.move_to_end(scan_id)
        while len(self._scans) > SCANS_KEPT:
            self._scans.popitem(last=False)
        return tables


_kept: WeakKeyDictionary[AsyncDatabase, _Kept] = WeakKeyDictionary()


async def tables_of(ctx: Context, scan_id: str, seqs: Iterable[int] | None = None) -> dict[int, np.ndarray]:
    """Results by nside, sorted by pixel: of those of the named batches (or of all) that are in."""
    wanted = await batches.done(ctx, scan_id) if seqs is None else list(seqs)
    kept = _kept.setdefault(ctx.db, _Kept()).of(scan_id)
    new = [seq for seq in wanted if seq not in kept]
    if new:
        kept.update(await batches.tables(ctx, scan_id, new))
    return joined(kept[seq] for seq in wanted if seq in kept)


async def result_of(ctx: Context, scan_id: str) -> Result | None:
    """The result of a scan; partial while it runs, None before the first pixel."""
    stored = await results.read(ctx, scan_id)
    if stored is not None:
        return stored
    known = await _partial(ctx, scan_id)
    if known is None:
        return None
    return Result(scan_id, msgspec.Raw(await asyncio.to_thread(result_text, known)), False)


async def latest(ctx: Context, scan_id: str) -> tuple[ScanResult, bool]:
    """The map of a scan and whether it is final. Raises NotFound while there is none that can be read."""
    stored = await results.read(ctx, scan_id)
    if stored is not None:
        try:
            return await asyncio.to_thread(_parse, bytes(stored.skyscan_result)), stored.is_final
        except ResultError as error:
            raise NotFound(f"the result of this scan is no sky map: {error}") from None
    known = await _partial(ctx, scan_id)
    if known is None:
        raise NotFound("no pixel of this scan is in yet")
    return known, False


async def _partial(ctx: Context, scan_id: str) -> ScanResult | None:
    run = await runs.find(ctx, scan_id)
    tables = await tables_of(ctx, scan_id) if run else {}
    return ScanResult(tables, run.event, False, run.method) if run and tables else None


def result_text(result: ScanResult) -> bytes:
    """A result as JSON text."""
    return msgspec.json.encode(result.to_json())


def _parse(text: bytes) -> ScanResult:
    return ScanResult.from_json(msgspec.json.decode(text))
