"""What others hear of datasets: their ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind

__all__ = ["INDEXES", "KIND"]

INDEXES = [events.unlogged("datasets")]


async def _read(ctx: Context, row: Mapping[str, Any]) -> Event:
    of_it = {"dataset_id": row["dataset_id"]}
    failed = await ctx.db.jobs.count_documents({**of_it, "status": "errors"})
    of_scan = await ctx.db.scan_runs.find_one(of_it, {"_id": 1}) is not None
    facts = {"status": row["status"], "dataset": row["dataset"], "dataset_id": row["dataset_id"],
             "description": row["description"][:500], "username": row["username"], "group": row["group"],
             "jobs": row["jobs_submitted"], "failed_jobs": failed, "of_scan": of_scan, "ended": row["ended"]}
    return events.made(KIND.name, row["dataset_id"], datetime.fromisoformat(row["ended"]), facts)


KIND = register_kind(Kind("dataset_ended", {
    "status": "complete or errors; another when it was changed since", "dataset": "its number",
    "dataset_id": "its id", "description": "its submitter's words", "username": "its owner",
    "group": "its group", "jobs": "how many it has", "failed_jobs": "how many of these ended in errors",
    "of_scan": "whether a scan made it", "ended": "when"}, Source("datasets", _read, version="ended")))
