"""Pixels of a rescan that the scan before it has finished already: same event, reconstruction, nside, seed.

A pixel's result depends on nothing else, so it is taken over instead of being computed again. Failed fits
are not taken over. Every step may be repeated, and by several servers: what was filled in first stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from server.common.errors import NotFound
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.pixels import batches, runs
from server.scans.pixels.cutting import Cut
from server.scans.pixels.runs import Run

__all__ = ["Finished", "fill", "origin_of", "taken_over"]

LONGEST_LINE = 20  # rescans of rescans that are looked through for one that ever ran


@dataclass(frozen=True)
class Finished:
    """Pixels of one nside that are done, in ascending order: numbers, seeds (None: without) and rows."""

    pixels: np.ndarray
    seeds: np.ndarray | None
    rows: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[tuple[np.ndarray, np.ndarray | None, np.ndarray]]) -> Finished:
        """From batches of one nside, each with its pixels, seeds and rows in the same order."""
        pixels = np.concatenate([part[0] for part in parts])
        rows = np.concatenate([part[2] for part in parts])
        seeds = [part[1] for part in parts if part[1] is not None]
        order = np.argsort(pixels, kind="stable")
        together = np.concatenate(seeds)[order] if len(seeds) == len(parts) else None
        return cls(pixels[order], together, rows[order])


def taken_over(cut: Cut, finished: Finished) -> np.ndarray:
    """The rows of those pixels of a cut that are done with the same seeds; in no order in particular."""
    if (cut.seeds is None) != (finished.seeds is None) or not len(finished.pixels):
        return finished.rows[:0]
    place = np.searchsorted(finished.pixels, cut.pixels).clip(max=len(finished.pixels) - 1)
    same = finished.pixels[place] == cut.pixels
    same &= np.isfinite(finished.rows["llh"][place])
    if cut.seeds is not None and finished.seeds is not None:
        same &= _bits(cut.seeds) == _bits(finished.seeds[place])
    return finished.rows[place[same]]


def _bits(table: np.ndarray) -> np.ndarray:
    """Rows as plain bytes: NaN equals itself, and −0 is not 0."""
    return np.ascontiguousarray(table).view(f"S{table.dtype.itemsize}")


async def origin_of(ctx: Context, scan_id: str) -> str:
    """The nearest scan before a rescan that our workers worked for; "" when there is none."""
    for _ in range(LONGEST_LINE):
        try:
            scan_id = str((await manifests.read(ctx, scan_id)).classifiers.get("origin_scan_id") or "")
        except NotFound:
            return ""
        if not scan_id or await runs.find(ctx, scan_id) is not None:
            return scan_id
    return ""


async def fill(ctx: Context, run: Run, cuts: Sequence[Cut]) -> set[int]:
    """Enter what the origin of a run has; the sequence numbers of the batches that need no worker."""
    if not run.origin_scan_id or not cuts:
        return set()
    origin = await runs.find(ctx, run.origin_scan_id)
    if origin is None or (origin.i3_event_id, origin.reco) != (run.i3_event_id, run.reco):
        return set()
    known = await _finished(ctx, origin.scan_id, {cut.nside for cut in cuts})
    for cut in cuts:
        if cut.nside in known:
            rows = taken_over(cut, known[cut.nside])
            if len(rows):
                await batches.enter_known(ctx, run.scan_id, cut, rows)
    return await batches.whole(ctx, run.scan_id, [cut.seq for cut in cuts])


async def _finished(ctx: Context, scan_id: str, nsides: set[int]) -> Mapping[int, Finished]:
    """What a scan has of some nsides, by nside."""
    parts: dict[int, list[tuple[np.ndarray, np.ndarray | None, np.ndarray]]] = {}
    async for nside, pixels, seeds, rows in batches.finished(ctx, scan_id, nsides):
        parts.setdefault(nside, []).append((pixels, seeds, rows))
    return {nside: Finished.of(found) for nside, found in parts.items()}
