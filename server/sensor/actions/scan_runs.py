"""Runs that consist of scans: making them once, seeing how far they are, and their maps as samples."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanResult
from scanner.maps.skymap import SkyMap
from server.common.errors import BadRequest, NotFound
from server.rest.context import Context
from server.scans.results import maps, results
from server.scans.run import deletion, endings
from server.scans.run.creation import create_scan
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome
from server.sensor.common.sigmf import FLOATS

__all__ = ["MARK", "Ended", "abort", "ended", "make_scans", "map_outcome", "samples"]

MARK = "schedule_run"
"""The classifier by which a scan tells the run that made it."""
_DIGIT = 4096  # pixel numbers are two samples, as 32-bit floats count exactly to 2²⁴ only
_LAYOUT = ("n pixel numbers divided by 4096 (rounded down), n remainders, n probabilities that the source "
           "is in the pixel")


def mark_of(run: Acquisition) -> str:
    """Classifiers are short, so this is a digest."""
    return hashlib.sha256(f"{run.id}/{run.created}".encode()).hexdigest()[:24]


async def make_scans(ctx: Context, run: Acquisition, bodies: Iterable[dict[str, Any]]) -> list[str]:
    """Start a scan for each body, but not for events of which this run has one already; their ids.

    What was made before an error is deleted again.
    """
    mark = mark_of(run)
    query = {f"classifiers.{MARK}": mark}
    made = {row["i3_event_id"]: row["scan_id"]
            async for row in ctx.db.manifests.find(query, {"i3_event_id": 1, "scan_id": 1})}
    ids: list[str] = []
    for body in bodies:
        scan_id = made.get(body.get("i3_event_id"))
        if scan_id is None:
            marked = {**body, "classifiers": {**body.get("classifiers", {}), MARK: mark}}
            manifest, = await asyncio.gather(create_scan(ctx, marked, run.owner), return_exceptions=True)
            if isinstance(manifest, BaseException):
                await _delete(ctx, ids)
                raise manifest
            scan_id = manifest.scan_id
        ids.append(scan_id)
    await acquisitions.note_grid(ctx, run, {"scan_ids": ids})
    return ids


async def _delete(ctx: Context, ids: Iterable[str]) -> None:
    for scan_id in ids:
        try:
            await deletion.delete(ctx, scan_id, completed_too=False)
        except (BadRequest, NotFound):  # it is complete, or gone
            continue


async def abort(ctx: Context, run: Acquisition, _: str) -> None:
    """Delete the scans that are not complete."""
    await _delete(ctx, run.grid.get("scan_ids", ()))


@dataclass
class Ended:
    """Scans that are over: complete ones, and the others with the reasons."""

    complete: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


async def ended(ctx: Context, run: Acquisition) -> Ended | None:
    """How the scans of a run ended; None while one is at work."""
    found = Ended()
    for scan_id in run.grid.get("scan_ids", ()):
        if await results.is_final(ctx, scan_id) is not None:
            found.complete.append(scan_id)
        elif reason := await endings.failure_of(ctx, scan_id):
            found.failed[scan_id] = reason
        else:
            return None
    return found


# -- maps as samples


@dataclass(frozen=True)
class Samples:
    """Little-endian 32-bit floats, and what stands where."""

    data: bytes
    annotations: list[dict[str, Any]]
    nside: int  # the finest


def samples(found: Sequence[tuple[str, ScanResult]]) -> Samples:
    """The probability maps of scans, one block for each nside: pixel numbers (NESTED), then probabilities."""
    blocks: list[np.ndarray] = []
    notes: list[dict[str, Any]] = []
    start, finest = 0, 0
    for scan_id, result in found:
        skymap = SkyMap.from_results(result.pixels)
        posterior = Posterior.of(skymap, default_levels(result.method.reco))
        cells, probability = posterior.cells, posterior.probability
        for order in np.unique(cells.order):
            here = cells.order == order
            pixels, nside = cells.nested[here], 1 << int(order)
            block = np.concatenate([pixels // _DIGIT, pixels % _DIGIT, probability[here]]).astype("<f4")
            notes.append({"core:sample_start": start, "core:sample_count": len(block),
                          "core:comment": _LAYOUT, "grid:scan_id": scan_id, "grid:nside": nside,
                          "grid:ordering": "NESTED", "grid:pixels": len(pixels)})
            blocks.append(block)
            start, finest = start + len(block), max(finest, nside)
    data = np.concatenate(blocks).tobytes() if blocks else b""
    return Samples(data, notes, finest)


async def map_outcome(ctx: Context, ids: Sequence[str], detail: str, **facts: Any) -> Outcome:
    """Success with the maps of these scans as data."""
    found = [(scan_id, (await maps.latest(ctx, scan_id))[0]) for scan_id in ids]
    made = await asyncio.to_thread(samples, found)
    if len(ids) == 1:
        facts["scan_id"] = ids[0]
    return Outcome(detail=detail, data=made.data, datatype=FLOATS, annotations=made.annotations,
                   facts={**facts, "nside": made.nside, "ordering": "NESTED"})
