"""The sites that work for scans: how many workers were asked of each, and what their grids say of them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from iceprod.ids import now, timestamp
from iceprod.requirements import class_key
from server.rest.context import Context
from server.scans.pixels import runs
from server.scans.pixels.runs import Run

__all__ = ["asked", "extra_slots", "known", "site_states"]

OUTSTANDING = ("waiting", "queued", "processing")
REMEMBERED = timedelta(days=1)  # a site is known so long after its grid was heard of
SITE_CAP = 100  # workers of a grid's site in debug mode


async def known(ctx: Context) -> dict[str, int]:
    """The clusters that a scan may name, with their worker caps: of the settings, and the grids' sites."""
    heard = {"site": {"$gt": ""}, "last_update": {"$gt": timestamp(now() - REMEMBERED)}}
    sites = sorted({grid["site"] async for grid in ctx.db.grids.find(heard, {"site": 1})})
    return {**dict.fromkeys(sites, SITE_CAP), **ctx.settings.scans.clusters}


async def asked(ctx: Context, scan_id: str) -> Counter[str]:
    """Workers that were asked of each site: with the request, and added since."""
    request = await ctx.db.scan_requests.find_one(
        {"$or": [{"scan_id": scan_id}, {"rescan_ids": scan_id}]}, {"request_clusters": 1})
    counts: Counter[str] = Counter()
    for name, number in (request or {}).get("request_clusters", []):
        counts[name] += number
    shown = {"cluster_location": 1, "n_workers": 1}
    async for added in ctx.db.scan_taskforces.find({"scan_id": scan_id}, shown):
        counts[added["cluster_location"]] += added["n_workers"]
    return counts


async def extra_slots(ctx: Context, site: str) -> Counter[str]:
    """Slots that running scans asked of a site, beyond those that their outstanding batches will get."""
    extra: Counter[str] = Counter()
    for run in await runs.running(ctx):
        wanted = (await asked(ctx, run.scan_id))[site]
        if wanted:
            query = {"dataset_id": run.dataset_id, "status": {"$in": list(OUTSTANDING)}}
            extra[_class_of(run)] += max(0, wanted - await ctx.db.tasks.count_documents(query, limit=wanted))
    return +extra


def _class_of(run: Run) -> str:
    return class_key({"cpu": 1, "memory": run.memory_gb, "disk": run.disk_gb, "kind": "pixels"})


async def site_states(ctx: Context, names: list[str]) -> dict[str, dict[str, Any]]:
    """What the living grids of some sites report: `statuses` of their jobs and `top_errors`, by site."""
    states: dict[str, dict[str, Any]] = {}
    query = {"site": {"$in": names}, "alive": True}
    async for grid in ctx.db.grids.find(query, {"site": 1, "statuses": 1, "top_errors": 1}):
        if isinstance(grid.get("statuses"), dict):
            states[grid["site"]] = {"statuses": grid["statuses"], "top_errors": grid.get("top_errors") or {}}
    return states
