"""Deleting and replacing a scan: it is marked, it does not start any more, and its workers stop."""

from __future__ import annotations

from server.common.errors import BadRequest
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.manifests.manifests import Manifest
from server.scans.pixels.runs import Phase
from server.scans.results import results
from server.scans.run import backlog, finish

__all__ = ["REASON", "delete", "replace", "unwanted"]

REASON = "the scan was deleted"


async def delete(ctx: Context, scan_id: str, *, completed_too: bool) -> Manifest:
    """Abort and mark as deleted; what was found out stays readable. Raises NotFound, BadRequest."""
    await manifests.read(ctx, scan_id)
    if not completed_too and await results.is_final(ctx, scan_id) is not None:
        raise BadRequest("Attempted to delete a completed scan (must use `delete_completed_scan=True`)")
    manifest = await manifests.mark_deleted(ctx, scan_id)
    await backlog.remove(ctx, scan_id)
    await finish.give_up(ctx, scan_id, REASON, Phase.ABORTED)
    ctx.signals.notify(f"scan:{scan_id}")
    return manifest


async def replace(ctx: Context, scan_id: str, new_id: str) -> None:
    """Have users who ask for a scan be sent on to another; its results are of no use any more."""
    manifest = await manifests.touch(ctx, scan_id, replaced_by_scan_id=new_id)
    if manifest is not None:
        await finish.give_up(ctx, scan_id, unwanted(manifest), Phase.ABORTED)


def unwanted(manifest: Manifest) -> str:
    """Why a scan needs no more results; "" when it does."""
    if manifest.is_deleted:
        return REASON
    return f"the scan was replaced by {manifest.replaced_by_scan_id}" if manifest.replaced_by_scan_id else ""
