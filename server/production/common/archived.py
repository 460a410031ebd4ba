"""Datasets whose jobs and tasks lie in a file: what remains of them here, and what is answered for the rest.

The dataset itself stays, with its configuration, its history and who may use it. Its field `archive` says
where the rest is; `archived` is true while the rest is not here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from server.common.errors import Conflict, Gone
from server.rest.context import Context

__all__ = ["COLLECTIONS", "Stub", "job_counts", "name_counts", "refuse_change", "refuse_reading"]

COLLECTIONS = ("log_parts", "log_errors", "logs", "task_stats", "dataset_files", "tasks", "jobs")
"""What goes into the file, in the order in which it is removed here: what names something goes before it."""

WRITING, REMOVING, ARCHIVED, RESTORING = "writing", "removing", "archived", "restoring"


class Stub(msgspec.Struct, frozen=True):
    """The field `archive` of a dataset."""

    state: str  # writing its file, removing what is in the file, archived; restoring
    file: str
    since: str
    run: str = ""  # which run of the command is at it
    documents: dict[str, int] = {}
    tasks: list[tuple[str, dict[str, int]]] = []  # names in their order, with the numbers by status
    jobs: dict[str, int] = {}


async def _stub(ctx: Context, dataset_id: str) -> Stub | None:
    found = await ctx.db.datasets.find_one({"dataset_id": dataset_id, "archive": {"$exists": True}},
                                           {"_id": 0, "archive": 1})
    return msgspec.convert(found["archive"], Stub) if found else None


async def refuse_change(ctx: Context, dataset_id: str) -> None:
    """Raise Conflict for a dataset that is archived, or is being archived or restored just now."""
    stub = await _stub(ctx, dataset_id)
    if stub is None:
        return
    if stub.state == ARCHIVED:
        raise Conflict(f"the dataset is archived in {stub.file}: `iceprod archive restore` brings it back")
    raise Conflict(f"the dataset is being archived or restored just now ({stub.state}, since {stub.since}); "
                   "if nobody is at it, let `iceprod archive` go on")


async def refuse_reading(ctx: Context, dataset_id: str) -> None:
    """Raise Gone for jobs, tasks and logs of a dataset that lie in a file."""
    stub = await _stub(ctx, dataset_id)
    if stub is not None and stub.state != WRITING:
        raise Gone(f"jobs and tasks of this dataset are archived in {stub.file}: `iceprod archive restore` "
                   "brings them back")


async def job_counts(ctx: Context, dataset_id: str) -> dict[str, int]:
    """How many jobs were in each status when the dataset was archived; nothing for one that was not."""
    stub = await _stub(ctx, dataset_id)
    return stub.jobs if stub else {}


async def name_counts(ctx: Context, dataset_id: str) -> dict[str, dict[str, int]]:
    """As `job_counts`, for tasks by name and status."""
    stub = await _stub(ctx, dataset_id)
    return dict(stub.tasks) if stub else {}


def fields(stub: Stub) -> dict[str, Any]:
    """What a dataset gets that is archived so."""
    return {"archive": msgspec.to_builtins(stub), "archived": stub.state in (REMOVING, ARCHIVED)}
