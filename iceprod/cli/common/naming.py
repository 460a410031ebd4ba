"""Short names for what has a long id: its number, ``5.17.0`` for a task, or how its id begins.

A dataset and a scan have numbers, which `list` and `scans` show. ``5.17`` is job 17 of dataset 5, ``5.17.0``
its first task, ``5.0-99`` its first hundred jobs. Digits are a number first; where nothing has that number
they are the beginning of an id. What several ids begin with is refused, and these are told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.transport import Client

__all__ = ["Selection", "dataset_of", "job_of", "scan_of", "selection_of", "task_of"]

_SHORT = re.compile(r"(?P<dataset>[^.\s]+)(\.(?P<first>\d{1,9})(-(?P<last>\d{1,9}))?)?(\.(?P<task>\d{1,9}))?")
_ID_LENGTH = 32
_MOST_JOBS = 10_000  # of a range
_SHOWN = 4  # ids in a complaint
_SHORTEST = 4  # beginning of a task's id

_Named = dict[str, str]  # what it is called in a list, by id


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
    found = _scans(client, {"number": int(name)}) if _is_number(name) else {}
    found = found or _scans(client, {"scan_id": {"$regex": f"^{_plain(name, 'scan')}"}})
    return _one(found, name, "scan", "scans")


def _scans(client: Client, wanted: dict[str, Any]) -> _Named:
    body = {"filter": wanted, "manifest_projection": ["scan_id", "event_metadata"], "include_deleted": True,
            "limit": 20}
    found = client.post("/scans/find", body)["manifests"]
    return {row["scan_id"]: _event(row.get("event_metadata") or {}) for row in found}


def _event(event: dict[str, Any]) -> str:
    return f"run {event['run_id']} event {event['event_id']}" if event else ""


def dataset_of(client: Client, name: str) -> str:
    """The id of a dataset that is called by its id, how that begins, or its number. Raises CommandError."""
    name = _bare(name)
    if len(name) >= _ID_LENGTH:
        return name
    keys = {"keys": "dataset_id|dataset|description"}
    rows = client.get("/datasets", {**keys, "dataset": name}) if _is_number(name) else {}
    if not rows:
        begins = _plain(name, "dataset")
        rows = {one: row for one, row in client.get("/datasets", keys).items() if one.startswith(begins)}
    labels = {one: f"{row.get('dataset')}, {row.get('description', '')}" for one, row in rows.items()}
    return _one(labels, name, "dataset", "list")


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


def job_of(client: Client, dataset_id: str, name: str) -> str:
    """The id of a job that is called by its number, its id, or how that begins. Raises CommandError."""
    name = _bare(name)
    if len(name) >= _ID_LENGTH:
        return name
    rows = client.get(f"/datasets/{dataset_id}/jobs", {"keys": "job_id|job_index"})
    named = {one: f"job {row['job_index']}" for one, row in rows.items()}
    found = {one: label for one, label in named.items() if _is_number(name) and label == f"job {name}"}
    begins = _plain(name, "job")
    return _one(found or {one: label for one, label in named.items() if one.startswith(begins)}, name, "job",
                f"tasks {dataset_id}")


def task_of(client: Client, name: str) -> str:
    """The id of a task that is called by its id, how that begins, or ``5.17.0``. Raises CommandError."""
    if "." not in name:
        return _by_beginning(client, _bare(name))
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


def _by_beginning(client: Client, name: str) -> str:
    if len(name) >= _ID_LENGTH:
        return name
    begins = _plain(name, "task")
    if len(begins) < _SHORTEST:
        raise CommandError(f"{name!r} is too short for a task: give {_SHORTEST} characters of its id at "
                           "least, or DATASET.JOB.TASK as in 5.17.0", USAGE)
    rows = client.get(f"/task_ids/{begins}")["tasks"]
    named = {row["task_id"]: f"{row['name']} of job {row['job_index']}, {row['status']}" for row in rows}
    return _one(named, name, "task", "tasks DATASET")


def _one(found: _Named, name: str, kind: str, command: str) -> str:
    """The only id. Raises CommandError, which tells the candidates when there are several."""
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise CommandError(f"there is no {kind} {name!r}; `iceprod {command}` lists those there are", USAGE)
    shown = [f"{one} ({label})" if label else one for one, label in sorted(found.items())[:_SHOWN]]
    more = ", …" if len(found) > _SHOWN else ""
    raise CommandError(f"several {kind}s begin with {name!r}: {', '.join(shown)}{more}", USAGE)


def _is_number(name: str) -> bool:
    """Whether it may be a number as lists show it."""
    return bool(re.fullmatch(r"0|[1-9]\d{0,8}", name))


def _plain(name: str, kind: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z-]+", name):
        raise CommandError(f"{name!r} is no {kind}: give its number, its id or how that begins", USAGE)
    return name


def _bare(name: str) -> str:
    """The name without the mark of a table that had no room for all of it."""
    return name.strip().removesuffix("…")
