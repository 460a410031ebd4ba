"""Benchmarks: how fast the hosts of the grid reconstruct pixels of the canary's event, by reconstruction."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from scanner.recos.recos import RECOS
from server.rest.context import Context
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome, failure
from server.sensor.actions import canary, scan_runs
from server.sensor.actions.actions import Action, register
from server.sensor.common.sigmf import DOUBLES

__all__ = ["Speed", "speeds"]

_NSIDES = {"4": 0}  # 192 pixels
_CHOOSES = "auto"  # is no reconstruction of its own
_LAYOUT = "pixels, wall seconds and CPU seconds of one host"


@dataclass
class Speed:
    """What one host did, in pixels and seconds."""

    pixels: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


async def speeds(ctx: Context, scan_id: str) -> dict[str, Speed]:
    """What each host did for a scan, by its name."""
    found: defaultdict[str, Speed] = defaultdict(Speed)
    shown = {"host": 1, "count": 1, "reused": 1, "seconds": 1, "cpu_seconds": 1}
    async for batch in ctx.db.pixel_batches.find({"scan_id": scan_id, "done": True}, shown):
        host = found[batch.get("host") or "unknown"]
        host.pixels += batch["count"] - batch.get("reused", 0)
        host.seconds += batch.get("seconds", 0.0)
        host.cpu_seconds += batch.get("cpu_seconds", 0.0)
    return dict(sorted(found.items()))


async def follow(ctx: Context, run: Acquisition) -> Outcome | None:
    """None while the scan is at work; then the table, a row of three numbers for each host."""
    ended = await scan_runs.ended(ctx, run)
    if ended is None:
        return None
    if ended.failed:
        return failure(next(iter(ended.failed.values())))
    hosts = await speeds(ctx, ended.complete[0])
    rows = np.array([[one.pixels, one.seconds, one.cpu_seconds] for one in hosts.values()], dtype="<f8")
    notes = [{"core:sample_start": 3 * place, "core:sample_count": 3, "core:label": host[:20],
              "core:comment": f"{host}: {_LAYOUT}"} for place, host in enumerate(hosts)]
    told = ", ".join(f"{host} {1000 * one.seconds / one.pixels:.3g} ms per pixel"
                     for host, one in hosts.items() if one.pixels)
    return Outcome(detail=told, data=rows.tobytes(), datatype=DOUBLES, annotations=notes,
                   facts={"scan_id": ended.complete[0]})


def _register(reco: str) -> None:
    async def start(ctx: Context, run: Acquisition) -> Outcome | None:
        await scan_runs.make_scans(ctx, run, [await canary.scan_request(ctx, run, reco, _NSIDES)])
        return None

    register(Action(f"benchmark/{reco}", f"""\
Measure how fast the hosts of the grid reconstruct with {reco}.

Scans the canary's event. The table is the run's data: pixels, wall seconds and CPU seconds of each host.""",
                    start=start, follow=follow, abort=scan_runs.abort))


for _reco in RECOS:
    if _reco != _CHOOSES:
        _register(_reco)
