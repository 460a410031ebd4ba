"""How a scan ended that has no map."""

from __future__ import annotations

from server.common.errors import NotFound
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.pixels import runs
from server.scans.pixels.runs import Phase
from server.scans.run import deletion

__all__ = ["failure_of"]


async def failure_of(ctx: Context, scan_id: str) -> str:
    """Why there will be no map; empty while there may be one."""
    try:
        if (await manifests.read(ctx, scan_id)).is_deleted:
            return deletion.REASON
    except NotFound:
        return "the scan is gone"
    known = await runs.find(ctx, scan_id)
    if known is not None and known.phase in (Phase.FAILED, Phase.ABORTED):
        return known.reason
    buried = await ctx.db.scan_backlog.find_one({"scan_id": scan_id, "reason": {"$ne": None}}, {"reason": 1})
    return str(buried["reason"]) if buried else ""
