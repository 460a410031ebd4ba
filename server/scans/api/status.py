"""The status of a scan, put together from manifest, result and run."""

from __future__ import annotations

import time
from typing import Any

from server.rest.context import Context
from server.scans.api.state import deactivation, scan_state
from server.scans.manifests import manifests
from server.scans.manifests.manifests import Manifest
from server.scans.pixels import runs
from server.scans.results import results
from server.scans.run.workers import workforce

__all__ = ["log_url", "state_of", "status_of"]


async def state_of(ctx: Context, manifest: Manifest) -> tuple[str, str | None, bool]:
    """`scan_state`, why its workers stopped (or None), and whether the final result is there."""
    finished = await results.is_final(ctx, manifest.scan_id)
    run = await runs.find(ctx, manifest.scan_id)
    gave_up = run is not None and run.phase in (runs.Phase.ABORTED, runs.Phase.FAILED)
    stopped = deactivation(manifest, finished, gave_up, time.time())
    return scan_state(manifest, finished is not None, stopped), stopped, finished is not None


async def status_of(ctx: Context, scan_id: str, host: str) -> dict[str, Any]:
    """SkyDriver's status document. Raises NotFound."""
    manifest = await manifests.read(ctx, scan_id)
    state, stopped, complete = await state_of(ctx, manifest)
    return {"scan_state": state, "is_deleted": manifest.is_deleted, "ewms_deactivated": stopped,
            "scan_complete": complete, "scanner_server_logs": {"url": log_url(ctx, host, scan_id)},
            "ewms_workforce": await workforce(ctx, manifest)}


def log_url(ctx: Context, host: str, scan_id: str) -> str:
    """Where people read what a scan did; `host` is how the caller reached us (scheme and name)."""
    return f"{ctx.settings.server.public_url or host}/web/scans/{scan_id}"
