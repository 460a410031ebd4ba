"""Runs: what our own scanner has to remember of a scan that it works for."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

import msgspec
from pymongo import ReturnDocument

from server.context import Context

__all__ = ["Phase", "Plan", "Run", "change", "find", "find_by_dataset", "stop"]


class Phase(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    FINAL = "final"  # the map is complete and stored
    ABORTED = "aborted"  # its scan was deleted
    FAILED = "failed"  # given up; the reason says why


class Plan(msgspec.Struct, frozen=True):
    """How one round of pixels is cut into batches: everything needed to cut it again, the same way.

    The round's pixels follow from the results of all batches before `first`, but for those in `missing`,
    which were not in when it was planned.
    """

    first: int  # sequence number of the round's first batch
    count: int  # batches
    sizes: list[int]  # of the batches of each nside in turn: pixels in the first ones, pixels in the others
    missing: list[int] = []


class Run(msgspec.Struct, kw_only=True):
    """The run of one scan; times are seconds since 1970."""

    scan_id: str
    dataset_id: str
    reco: str
    nsides: str  # such as "8:0,64:12"
    threshold: float
    i3_event_id: str
    max_pixel_reco_time: int
    memory_gb: float = 1.0
    event: dict[str, Any] = {}  # metadata
    phase: Phase = Phase.RUNNING
    reason: str = ""
    since: float = 0.0  # of the phase
    started: float = 0.0
    round: int = 0  # the latest that was planned, from 1
    plan: Plan | None = None
    is_cut: bool = True  # whether the plan's batches and tasks all exist
    version: int = 0  # grows with everything that readers may want to see
    tallied: int = 0  # version of the progress in the manifest
    summary: dict[str, Any] = {}  # of the final map


async def find(ctx: Context, scan_id: str) -> Run | None:
    """The run of a scan, when our scanner works (or worked) for it."""
    return _from_document(await ctx.db.scan_runs.find_one({"scan_id": scan_id}))


async def find_by_dataset(ctx: Context, dataset_id: str) -> Run | None:
    """The run that a task of this dataset belongs to."""
    return _from_document(await ctx.db.scan_runs.find_one({"dataset_id": dataset_id}))


async def change(ctx: Context, scan_id: str, condition: dict[str, Any], **fields: Any) -> Run | None:
    """Set fields of a run that meets the condition, as one step; the run then, or None."""
    document = await ctx.db.scan_runs.find_one_and_update(
        {"scan_id": scan_id, **condition}, {"$set": msgspec.to_builtins(fields), "$inc": {"version": 1}},
        return_document=ReturnDocument.AFTER)
    if document is not None:
        ctx.signals.notify(f"scan:{scan_id}")
    return _from_document(document)


async def stop(ctx: Context, scan_id: str, phase: Phase, reason: str) -> Run | None:
    """End a running run; None when there is none or it ended before."""
    return await change(ctx, scan_id, {"phase": Phase.RUNNING}, phase=phase, reason=reason, since=time.time())


def _from_document(document: dict[str, Any] | None) -> Run | None:
    return None if document is None else msgspec.convert(document, Run)
