"""What others hear of scans: final maps, and runs that were given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind
from server.scans.pixels.runs import Run

__all__ = ["INDEXES", "KIND"]

INDEXES = [events.unlogged("scan_runs")]


async def _read(ctx: Context, row: Mapping[str, Any]) -> Event:
    run = msgspec.convert(row, Run)
    best, event = run.summary.get("best_fit", {}), run.event
    facts = {"phase": run.phase.value, "reason": run.reason[:500], "scan_id": run.scan_id,
             "username": run.username, "reco": run.reco, "run_id": event.run_id, "event_id": event.event_id,
             "event_type": event.event_type, "ra_deg": best.get("ra_deg"), "dec_deg": best.get("dec_deg"),
             "area_50_deg2": run.summary.get("area_50_deg2"), "area_90_deg2": run.summary.get("area_90_deg2"),
             "ended": run.since}
    return events.made(KIND.name, run.scan_id, events.at(run.since), facts)


KIND = register_kind(Kind("scan_ended", {
    "phase": "final, or failed", "reason": "why", "scan_id": "which scan", "username": "who asked for it",
    "reco": "its reconstruction", "run_id": "of its event", "event_id": "of its event",
    "event_type": "of its event", "ra_deg": "of the best fit", "dec_deg": "of the best fit",
    "area_50_deg2": "of the 50 % region", "area_90_deg2": "of the 90 % region", "ended": "when"},
    Source("scan_runs", _read, version="since")))
