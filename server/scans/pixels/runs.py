"""Runs: what our own scanner has to remember of a scan that it works for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from scanner.maps.levels import Progression
from scanner.maps.result import Method, ScanMetadata
from server.rest.context import Context
from server.scans.manifests.told import Told
from server.scans.pixels.cutting import Plan
from server.scans.pixels.timing import Drawn, Span, Timing

__all__ = ["Phase", "Prediction", "Run", "any_since", "change", "claim_tally", "create",
           "find", "latest_final", "measured_before", "note_drawn", "predict", "running", "stop", "unclosed"]


MOST_SPANS = 400
MOST_DRAWN = 30


class Phase(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    FINAL = "final"  # the map is complete and stored
    ABORTED = "aborted"  # its scan was deleted
    FAILED = "failed"  # given up; the reason says why


class Prediction(msgspec.Struct, frozen=True):
    """What was expected when a share of the pixels was done; seconds since the start."""

    share: float
    at: float
    total: float  # of the whole run, as predicted then


class Run(msgspec.Struct, kw_only=True):
    """The run of one scan; times are seconds since 1970."""

    scan_id: str
    dataset_id: str
    i3_event_id: str
    event: ScanMetadata
    reco: str  # as asked for
    nsides: str  # such as "8:0,64:12"
    threshold: float  # share of the pixels that must be in before the next ones are chosen
    max_pixel_reco_time: int  # seconds
    memory_gb: float
    disk_gb: float
    priority: float  # of the tasks
    username: str = ""  # of whoever asked for the scan
    clusters: list[str] = []  # of which it asked for workers
    computes: str = ""  # the reconstruction behind that name, for this event
    told: Told | None = None  # what the event tells of itself
    choice: dict[str, Any] = {}  # of `auto`: what it chose, why and how sure it is
    origin_scan_id: str = ""  # whose finished pixels are taken over, of a rescan
    phase: Phase = Phase.RUNNING
    reason: str = ""
    since: float = 0.0  # of the phase
    started: float = 0.0
    round: int = 0  # the latest that was planned, from 1
    plan: Plan | None = None
    is_cut: bool = True  # whether the plan's batches and tasks all exist
    is_closed: bool = False  # whether what follows from the end was done
    version: int = 0  # grows with everything that readers may want to see
    tallied: float = 0.0  # when the progress was last written
    summary: dict[str, Any] = {}  # of the final map
    costs: list[tuple[int, float]] = []  # nside, seconds per pixel: of a run before this one, then its own
    predictions: list[Prediction] = []
    trace: list[Span] = []  # the latest of what the server did for it
    timing: Timing | None = None  # when it is over
    drawn: list[Drawn] = []  # the first files that were made of the final map
    traced: dict[str, str] = {}  # the trace of its request, as headers name it

    @property
    def progression(self) -> Progression:
        return Progression.parse(self.nsides)

    @property
    def method(self) -> Method:
        return Method(self.reco, self.computes)


async def create(ctx: Context, run: Run) -> Run:
    """Store a run, unless its scan has one already; the one that is stored."""
    document = msgspec.to_builtins(run)
    with contextlib.suppress(DuplicateKeyError):
        await ctx.db.scan_runs.update_one({"scan_id": run.scan_id}, {"$setOnInsert": document}, upsert=True)
    return await find(ctx, run.scan_id) or run


async def running(ctx: Context) -> list[Run]:
    """All runs that are not over."""
    cursor = ctx.db.scan_runs.find({"phase": Phase.RUNNING.value})
    return [msgspec.convert(document, Run) async for document in cursor]


async def unclosed(ctx: Context) -> list[Run]:
    """Runs that are over, but not all that follows from it was done."""
    over = [phase.value for phase in Phase if phase is not Phase.RUNNING]
    cursor = ctx.db.scan_runs.find({"phase": {"$in": over}, "is_closed": False})
    return [msgspec.convert(document, Run) async for document in cursor]


async def any_since(ctx: Context, moment: float) -> bool:
    """Whether a run began or ended after that time."""
    query = {"phase": {"$in": [phase.value for phase in Phase]}, "since": {"$gt": moment}}  # as an index is
    return await ctx.db.scan_runs.find_one(query, {"_id": 1}) is not None


async def latest_final(ctx: Context, most: int) -> list[Run]:
    """The runs that got their final map last, the latest first."""
    cursor = ctx.db.scan_runs.find({"phase": Phase.FINAL.value}, sort=[("since", -1)], limit=most)
    return [msgspec.convert(document, Run) async for document in cursor]


async def measured_before(ctx: Context, reco: str) -> list[tuple[int, float]]:
    """Seconds per pixel by nside in the latest finished run of a reconstruction; none when there was none."""
    cursor = ctx.db.scan_runs.find({"reco": reco, "phase": Phase.FINAL.value}, {"costs": 1})
    async for document in cursor.sort([("since", -1)]).limit(1):
        return msgspec.convert(document.get("costs", []), list[tuple[int, float]])
    return []


async def find(ctx: Context, scan_id: str) -> Run | None:
    """The run of a scan, when our scanner works (or worked) for it."""
    return _from_document(await ctx.db.scan_runs.find_one({"scan_id": scan_id}))


async def change(ctx: Context, scan_id: str, condition: dict[str, Any],
                 spans: Sequence[Span] = (), **fields: Any) -> Run | None:
    """Set fields of a run that meets the condition, and add to its trace, as one step; the run then."""
    update = {"$inc": {"version": 1}, **({"$set": msgspec.to_builtins(fields)} if fields else {})}
    if spans:
        update["$push"] = {"trace": {"$each": msgspec.to_builtins(spans), "$slice": -MOST_SPANS}}
    document = await ctx.db.scan_runs.find_one_and_update(
        {"scan_id": scan_id, **condition}, update, return_document=ReturnDocument.AFTER)
    if document is not None:
        ctx.signals.notify(f"scan:{scan_id}")
    return _from_document(document)


async def claim_tally(ctx: Context, run: Run) -> bool:
    """Whether this server, and no other, is to write the progress now."""
    result = await ctx.db.scan_runs.update_one(
        {"scan_id": run.scan_id, "tallied": run.tallied}, {"$set": {"tallied": time.time()}})
    return bool(result.modified_count)


async def predict(ctx: Context, run: Run, prediction: Prediction) -> None:
    """Keep the first prediction at its share."""
    new = {"predictions.share": {"$ne": prediction.share}}
    await ctx.db.scan_runs.update_one(
        {"scan_id": run.scan_id, "phase": Phase.RUNNING.value, **new},
        {"$push": {"predictions": msgspec.to_builtins(prediction)}})


async def note_drawn(ctx: Context, scan_id: str, drawn: Drawn) -> None:
    """Keep how long a file of the final map took, of the first ones."""
    new = {"scan_id": scan_id, "drawn.name": {"$ne": drawn.name},
           f"drawn.{MOST_DRAWN - 1}": {"$exists": False}}
    await ctx.db.scan_runs.update_one(new, {"$push": {"drawn": msgspec.to_builtins(drawn)}})


async def stop(ctx: Context, scan_id: str, phase: Phase, reason: str) -> Run | None:
    """End a running run; None when there is none or it ended before."""
    running_one = {"phase": Phase.RUNNING.value}
    # of a failure somebody may want to hear
    mark: dict[str, Any] = {"unlogged": True} if phase is Phase.FAILED else {}
    return await change(ctx, scan_id, running_one, phase=phase, reason=reason, since=time.time(), **mark)


def _from_document(document: dict[str, Any] | None) -> Run | None:
    return None if document is None else msgspec.convert(document, Run)
