"""What lists say of scans, one line each: read for many at once, and never from their results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from server.rest.context import Context
from server.scans.api.state import deactivation, scan_state
from server.scans.manifests import manifests
from server.scans.manifests.manifests import Manifest
from server.scans.pixels.runs import Phase
from server.scans.results import sketches
from server.scans.results.sketches import Sketch
from server.web.common.overview import event_name

__all__ = ["STATES", "Line", "kind_of", "lines_of"]

STATES = {"final": "final map", "running": "running", "waiting": "waiting", "ended": "ended without a map"}
"""What people ask for, and its words."""
_KINDS = {"SCAN_HAS_FINAL_RESULT": "final", "FINISHED": "final", "IN_PROGRESS": "running",
          "PENDING": "waiting"}


@dataclass(frozen=True)
class Line:
    """A scan in a list."""

    manifest: Manifest
    number: int | None
    state: str
    reco: str
    sketched: float  # when its map became final, of one that has a picture; else 0
    mjd: float
    area: float | None  # of the 90 % region, square degrees
    found: dict[str, Any] = field(default_factory=dict)  # best fit and areas, as far as the scan is over

    @property
    def scan_id(self) -> str:
        return self.manifest.scan_id

    @property
    def event(self) -> str:
        return event_name(self.manifest)

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        return str((self.manifest.progress or {}).get("summary", ""))

    @property
    def title(self) -> str:
        """Its number, or what there is of it."""
        return f"Scan {self.number}" if self.number is not None else f"Scan {self.scan_id[:12]}"


def kind_of(state: str) -> str:
    """Which of STATES a scan's state is."""
    return _KINDS.get(state.split("__")[0], "ended")


async def lines_of(ctx: Context, found: Sequence[Manifest]) -> list[Line]:
    """The lines of scans, in their order."""
    ids = [manifest.scan_id for manifest in found]
    numbers, sketched, runs = await asyncio.gather(
        manifests.numbers(ctx, ids), sketches.find_many(ctx, ids), _runs(ctx, ids))
    finished = await _finished(ctx, [one for one in ids if one not in sketched])
    finished |= {scan_id: sketch.finished for scan_id, sketch in sketched.items()}
    return [_line(manifest, numbers.get(manifest.scan_id), sketched.get(manifest.scan_id),
                  runs.get(manifest.scan_id, {}), finished.get(manifest.scan_id)) for manifest in found]


async def _runs(ctx: Context, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    shown = {"_id": 0, "scan_id": 1, "computes": 1, "phase": 1, "summary": 1}
    cursor = ctx.db.scan_runs.find({"scan_id": {"$in": list(ids)}}, shown)
    return {document["scan_id"]: document async for document in cursor}


async def _finished(ctx: Context, ids: Sequence[str]) -> dict[str, float]:
    """When maps became final, of those that have no sketch yet."""
    if not ids:
        return {}
    cursor = ctx.db.results.find({"scan_id": {"$in": list(ids)}, "is_final": True},
                                 {"_id": 0, "scan_id": 1, "finished": 1})
    return {document["scan_id"]: float(document.get("finished", 0.0)) async for document in cursor}


def _line(manifest: Manifest, number: int | None, sketch: Sketch | None, run: dict[str, Any],
          finished: float | None) -> Line:
    gave_up = run.get("phase") in (Phase.ABORTED.value, Phase.FAILED.value)
    stopped = deactivation(manifest, finished, gave_up, time.time())
    found = sketch.summary if sketch else run.get("summary") or {}
    mjd = sketch.mjd if sketch else (manifest.event_metadata or {}).get("mjd")
    return Line(manifest, number, scan_state(manifest, finished is not None, stopped),
                run.get("computes") or (sketch.reco if sketch else ""), sketch.finished if sketch else 0.0,
                float(mjd) if isinstance(mjd, int | float) else 0.0,
                sketch.area if sketch else found.get("area_90_deg2"), found)
