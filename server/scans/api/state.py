"""The one word that says where a scan stands, and the rule that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from server.scans.manifests.manifests import UNREQUESTED, Manifest

__all__ = ["FINAL", "Deactivated", "Stage", "deactivation", "scan_state", "stage"]

FINAL = "SCAN_HAS_FINAL_RESULT"
GRACE = 60.0  # seconds from the final result until the workers are told to stop


class Stage(StrEnum):
    """How far a scan came."""

    PRESTARTUP = "PRESTARTUP"  # nobody works for it
    STARTUP = "WAITING_ON_SCANNER_SERVER_STARTUP"  # workers are requested, nothing was heard of them
    FIRST_PIXEL = "WAITING_ON_FIRST_PIXEL_RECO"  # it runs, no pixel is in
    PARTIAL = "PARTIAL_RESULT_GENERATED"  # pixels come in


class Deactivated(StrEnum):
    """Why nobody works for a scan any more."""

    ABORTED = "ABORTED"
    FINISHED = "FINISHED"


def stage(manifest: Manifest) -> Stage:
    """How far a scan came, by its manifest."""
    if manifest.ewms_workflow_id == UNREQUESTED:
        return Stage.PRESTARTUP
    if manifest.progress is None:
        return Stage.STARTUP
    return Stage.PARTIAL if _rate(manifest.progress) else Stage.FIRST_PIXEL


def scan_state(manifest: Manifest, final: bool, stopped: Deactivated | None) -> str:
    """SkyDriver's `scan_state`."""
    if final:
        return FINAL
    reached = stage(manifest)
    running = "IN_PROGRESS" if reached in (Stage.FIRST_PIXEL, Stage.PARTIAL) else "PENDING"
    if manifest.ewms_workflow_id is None:  # from before there were workflows: nobody works for it any more
        return f"STOPPED__{reached}"
    return f"{stopped or running}__{reached}"


def deactivation(manifest: Manifest, finished: float | None, aborted: bool, now: float) -> Deactivated | None:
    """Whether the workers stopped: deleted or given up before the final result, or a while after it."""
    if finished is not None:
        over = manifest.is_deleted or now - finished >= GRACE
        return Deactivated.FINISHED if over else None
    has_workers = manifest.ewms_workflow_id is not None
    return Deactivated.ABORTED if has_workers and (aborted or manifest.is_deleted) else None


def _rate(progress: Mapping[str, Any]) -> Any:
    return (progress.get("processing_stats") or {}).get("rate")
