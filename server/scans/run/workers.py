"""Who works for a scan: SkyDriver's view of workforce and taskforces, and requests for more of them."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from server.common.errors import BadRequest, Unprocessable
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.manifests.manifests import UNREQUESTED, Manifest
from server.scans.pixels import runs
from server.scans.results import results
from server.scans.run import clusters

__all__ = ["add_workers", "taskforces", "workflow", "workforce"]

_STATES = {
    "processing": ("RUNNING", "Tasking"), "queued": ("RUNNING", "Starting"), "waiting": ("IDLE", "Pending"),
    "idle": ("IDLE", "Pending"), "complete": ("COMPLETED", "Done"), "failed": ("HELD", "FatalError"),
    "suspended": ("REMOVED", "Stopped"), "reset": ("IDLE", "Retrying")}
"""Task states as an HTCondor status with the pilot's own word; a task counts as one slot."""


def workflow(manifest: Manifest) -> dict[str, Any]:
    """Which workflow a scan has."""
    requested = manifest.ewms_workflow_id not in (None, UNREQUESTED)
    return {"workflow_id": manifest.ewms_workflow_id, "requested_ewms_workflow": requested,
            "eligible_for_ewms": manifest.ewms_workflow_id is not None, "ewms_address": manifest.ewms_address}


async def workforce(ctx: Context, manifest: Manifest) -> dict[str, Any]:
    """How many slots do what for a scan, and the most frequent errors; zeros for outside workers."""
    statuses: dict[str, Counter[str]] = {}
    run = await runs.find(ctx, manifest.scan_id)
    if run is not None:
        for status, number in (await _tasks(ctx, run.dataset_id)).items():
            condor, word = _STATES.get(status, ("IDLE", "Pending"))
            statuses.setdefault(condor, Counter())[word] += number
    errors = Counter(await _top_errors(ctx, run.dataset_id) if run else {})
    if run is not None and run.phase is runs.Phase.RUNNING:
        sites = await clusters.site_states(ctx, sorted(await clusters.asked(ctx, manifest.scan_id)))
        for site in sites.values():
            _add_jobs(statuses, site["statuses"])
            errors.update(site["top_errors"])
    return {"workflow_id": manifest.ewms_workflow_id, "statuses": {k: dict(v) for k, v in statuses.items()},
            "n_running": _running(statuses), "top_errors": dict(errors.most_common(10))}


async def _tasks(ctx: Context, dataset_id: str) -> dict[str, int]:
    """How many tasks of a dataset there are in which state."""
    stages: list[dict[str, Any]] = [
        {"$match": {"dataset_id": dataset_id}}, {"$group": {"_id": "$status", "number": {"$sum": 1}}}]
    groups = await (await ctx.db.tasks.aggregate(stages)).to_list()
    return {group["_id"]: group["number"] for group in groups}


def _running(statuses: dict[str, Counter[str]]) -> int:
    """Jobs that run, but for those whose pilot is over."""
    words = statuses.get("RUNNING", Counter())
    return words.total() - words["FatalError"] - words["Done"]


def _add_jobs(statuses: dict[str, Counter[str]], jobs: dict[str, dict[str, int]]) -> None:
    """Add a site's jobs that may yet work for the scan; those that do are counted by its tasks."""
    for condor, words in jobs.items():
        free = {word: number for word, number in words.items() if word != "Tasking"}
        if free:
            statuses.setdefault(condor, Counter()).update(free)


async def taskforces(ctx: Context, manifest: Manifest) -> list[dict[str, Any]]:
    """The groups of workers that were asked for, the oldest first."""
    run = await runs.find(ctx, manifest.scan_id)
    groups = [document async for document in ctx.db.scan_taskforces.find(
        {"scan_id": manifest.scan_id}, {"_id": 0, "scan_id": 0}).sort([("timestamp", 1)])]
    if run is None:
        return groups
    groups = [*await _asked_at_first(ctx, run), *groups]
    sites = await clusters.site_states(ctx, sorted({group["cluster_location"] for group in groups}))
    for group in groups:
        if site := sites.get(group["cluster_location"]):
            group |= {"phase": "condor-submit" if run.phase is runs.Phase.RUNNING else "condor-complete",
                      "compound_statuses": site["statuses"], "top_task_errors": site["top_errors"]}
    state = await workforce(ctx, manifest)
    phase = "condor-submit" if run.phase is runs.Phase.RUNNING else "condor-complete"
    own = {"taskforce_uuid": run.dataset_id, "phase": phase, "compound_statuses": state["statuses"],
           "top_task_errors": state["top_errors"]}
    return [own, *groups]


async def _asked_at_first(ctx: Context, run: runs.Run) -> list[dict[str, Any]]:
    """A taskforce for each site of ours that the request named."""
    request = await ctx.db.scan_requests.find_one(
        {"$or": [{"scan_id": run.scan_id}, {"rescan_ids": run.scan_id}]}, {"request_clusters": 1}) or {}
    wanted = request.get("request_clusters", [])
    sites = await clusters.site_states(ctx, [name for name, _ in wanted])
    return [{"taskforce_uuid": f"{run.dataset_id}-{number}", "cluster_location": name, "n_workers": count,
             "timestamp": run.started} for number, (name, count) in enumerate(wanted) if name in sites]


async def add_workers(ctx: Context, scan_id: str, workers: int, cluster: str) -> dict[str, Any]:
    """Ask for more workers. Raises NotFound, Unprocessable, BadRequest."""
    manifest = await manifests.read(ctx, scan_id)
    if manifest.is_deleted:
        raise Unprocessable("this scan has been deleted--cannot add workers")
    if manifest.ewms_workflow_id in (None, UNREQUESTED):
        raise Unprocessable("an EWMS workflow has not been assigned--cannot add workers")
    if await results.is_final(ctx, scan_id) is not None:
        raise Unprocessable("this scan has a final result--cannot add workers")
    known = await clusters.known(ctx)
    if cluster not in known:
        raise BadRequest(f"requested unknown cluster: {cluster} (available: {', '.join(known)})")
    taskforce = {"taskforce_uuid": f"TF-{uuid.uuid4().hex}", "n_workers": workers}
    await ctx.db.scan_taskforces.insert_one({
        **taskforce, "scan_id": scan_id, "cluster_location": cluster, "phase": "pre-launch",
        "timestamp": manifest.last_updated, "compound_statuses": {}, "top_task_errors": {}})
    return taskforce


async def _top_errors(ctx: Context, dataset_id: str) -> dict[str, int]:
    """The ten most frequent reasons why tasks of a dataset failed or came back."""
    stages: list[dict[str, Any]] = [
        {"$match": {"dataset_id": dataset_id, "reason": {"$nin": [None, ""]}}},
        {"$group": {"_id": "$reason", "number": {"$sum": 1}}}]
    reasons: Counter[str] = Counter()
    for group in await (await ctx.db.tasks.aggregate(stages)).to_list():
        reasons[str(group["_id"])[:200]] += group["number"]
    return dict(reasons.most_common(10))
