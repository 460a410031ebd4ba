"""How the scans do, for `/healthz`: how many wait and run, and since when nothing moved."""

from __future__ import annotations

import time
from typing import Any

from server.rest.context import Context
from server.scans.pixels import runs

__all__ = ["probe"]


async def probe(ctx: Context) -> dict[str, Any]:
    """Counts, and ages in seconds, null where there is nothing that could have an age.

    Progress is a result that was counted; of the running scans the one is told that moved last, and the one
    that has not moved for longest.
    """
    moment = time.time()
    idle = [moment - max(run.started, run.tallied) for run in await runs.running(ctx)]
    oldest = await ctx.db.scan_backlog.find_one({"reason": None}, {"timestamp": 1}, sort=[("timestamp", 1)])
    return {
        "running": len(idle),
        "waiting": await ctx.db.scan_backlog.count_documents({"reason": None}),
        "dead_letters": await ctx.db.scan_backlog.count_documents({"reason": {"$ne": None}}),
        "seconds_since_progress": round(min(idle), 1) if idle else None,
        "longest_without_progress_s": round(max(idle), 1) if idle else None,
        "oldest_waiting_s": round(moment - oldest["timestamp"], 1) if oldest else None}
