"""Short names for what has a long id: its number, ``5.17.0`` for a task, or how its id begins.

A dataset and a scan have numbers, which `list` and `scans` show. ``5.17`` is job 17 of dataset 5, ``5.17.0``
its first task, ``5.0-99`` its first hundred jobs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.transport import Client

__all__ = ["Selection", "dataset_of", "scan_of", "selection_of", "task_of"]

_SHORT = re.compile(r"(?P<dataset>[^.\s]+)(\.(?P<first>\d{1,9})(-(?P<last>\d{1,9}))?)?(\.(?P<task>\d{1,9}))?")
_ID_LENGTH = 32
_MOST_JOBS = 10_000  # of a range
_SHOWN = 4  # ids in a complaint


@dataclass(frozen=True)
class Selection:
    """A dataset, or some of its jobs, or one task of each of them."""

    dataset_id: str
    jobs: range | None = None
    task: int | None = None


def scan_of(client: Client, name: str) -> str:
    """The id of a scan that is called by its id, the beginning of it, or its number. Raises CommandError."""
    name = _bare(name)
    if len(name) >= _ID_LENGTH:
        return name
    wanted: dict[str, Any] = {"number": int(name)} if _is_number(name) else {
        "scan_id": {"$regex": f"^{_plain(name, 'scan')}"}}
    body = {"filter": wanted, "manifest_projection": ["scan_id"], "include_deleted": True, "limit": 20}
    found = client.post("/scans/find", body)["manifests"]
    return _one([row["scan_id"] for row in found], name, "scan", "scans")


def dataset_of(client: Client, name: str) -> str:
    """The id of a dataset that is called by its id, how that begins, or its number. Raises CommandError."""
    name = _bare(name)
    if len(name) >= _ID_LENGTH:
        return name
    query = {"keys": "dataset_id|dataset"} | ({"dataset": name} if _is_number(name) else {})
    ids = list(client.get("/datasets", query))
    if not _is_number(name):
        ids = [one for one in ids if one.startswith(_plain(name, "dataset"))]
    return _one(ids, name, "dataset", "list")


def selection_of(client: Client, name: str) -> Selection:
    """What a short name such as ``5``, ``5.17``, ``5.0-99`` or ``5.17.0`` selects. Raises CommandError."""
    found = _SHORT.fullmatch(_bare(name))
    if not found:
        raise CommandError(f"{name!r} is no dataset such as 5, nor jobs such as 5.17 or 5.0-99", USAGE)
    dataset_id = dataset_of(client, found["dataset"])
    if found["first"] is None:
        return Selection(dataset_id)
    first, last = int(found["first"]), int(found["last"] or found["first"])
    if not first <= last < first + _MOST_JOBS:
        raise CommandError(f"{name}: jobs must be FIRST-LAST, and {_MOST_JOBS} at most", USAGE)
    task = None if found["task"] is None else int(found["task"])
    return Selection(dataset_id, range(first, last + 1), task)


def task_of(client: Client, name: str) -> str:
    """The id of a task that is called by its id, or as in ``5.17.0``. Raises CommandError."""
    if "." not in name:
        return _bare(name)
    chosen = selection_of(client, name)
    if chosen.jobs is None or len(chosen.jobs) != 1:
        raise CommandError(f"{name}: a task is DATASET.JOB.TASK, as in 5.17.0", USAGE)
    found = client.get(f"/datasets/{chosen.dataset_id}/tasks",
                       {"job_index": chosen.jobs[0], "keys": "task_id|task_index"})
    ids = [task["task_id"] for task in found.values() if task["task_index"] == (chosen.task or 0)]
    if not ids:
        dataset = name.partition(".")[0]
        raise CommandError(f"there is no task {name}; `iceprod tasks {dataset}` lists those there are", USAGE)
    return str(ids[0])


def _one(ids: list[str], name: str, kind: str, command: str) -> str:
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise CommandError(f"there is no {kind} {name!r}; `iceprod {command}` lists those there are", USAGE)
    shown = ", ".join(sorted(ids)[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
    raise CommandError(f"several {kind}s begin with {name!r}: {shown}", USAGE)


def _is_number(name: str) -> bool:
    return bool(re.fullmatch(r"\d{1,9}", name))


def _plain(name: str, kind: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z-]+", name):
        raise CommandError(f"{name!r} is no {kind}: give its number, its id or how that begins", USAGE)
    return name


def _bare(name: str) -> str:
    """The name without the mark of a table that had no room for all of it."""
    return name.strip().removesuffix("…")
