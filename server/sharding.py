"""How collections are divided among the shards of a MongoDB cluster, and what queries and indexes make of it.

Only the large ones are divided; all others stay whole on the database's first shard. The shard key is chosen
first for the rule that must hold (what must be unique), then for the reader. `docs/decisions/sharding.md` has
the reasons, the commands, and the queries that ask one shard or all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from server.store.database import Index

__all__ = ["ALL_SHARDS", "SHARD_KEYS", "asks_one_shard", "commands", "fields_of", "on_shards"]

ShardKey = list[tuple[str, int | str]]

SHARD_KEYS: dict[str, ShardKey] = {
    "tasks": [("dataset_id", 1), ("job_index", 1), ("task_index", 1)],
    "jobs": [("dataset_id", 1), ("job_index", 1)],
    "task_stats": [("dataset_id", 1), ("task_id", 1)],
    "dataset_files": [("dataset_id", 1), ("task_id", 1)],
    "logs": [("log_id", "hashed")],
    "log_parts": [("log_id", "hashed")],
    "log_errors": [("log_id", "hashed")],
    "pixel_batches": [("scan_id", "hashed"), ("seq", 1)],
    "results": [("scan_id", "hashed")],
    "result_versions": [("scan_id", "hashed")],
    "desk_blobs": [("key", "hashed")],
}
"""Ids of scans begin with the time, so they are hashed: else all new ones would go to the last shard."""

ALL_SHARDS: dict[str, dict[str, str]] = {
    "tasks": {
        "task_id": "a pilot's claims, beats and ends; a task's page by its id alone",
        "status": "claims by class; counts of all tasks",
        "due": "the repair of what was left undone",
        "job_id": "the end of a job's last task",
        "depends": "what waits for a task that has ended",
        "pilot_id": "the end of a pilot", "evicted_by": "the end of a pilot",
    },
    "jobs": {"job_id": "the end of a job's last task"},
    "task_stats": {"task_id": "a task's statistics by its id alone"},
    "dataset_files": {"task_id": "a task's files, when it begins"},
    "logs": {"dataset_id": "the list of a dataset's or a task's logs", "timestamp": "forgetting old ones",
             "task_id": "the list of a task's logs"},
    "log_errors": {"dataset_id": "the errors of a dataset, grouped"},
    "pixel_batches": {"task_id": "what a pilot reconstructs"},
    "results": {"is_final": "what is made of maps that are new"},
}
"""What asks all shards, by the field that each of them finds it by, in an index."""


def on_shards(indexes: Iterable[Index]) -> list[Index]:
    """The indexes of a cluster: a shard knows its own documents alone, so fewer of them can be unique.

    Those that do not begin with the shard key are of ids that never come twice by themselves (`iceprod.ids`).
    """
    return [replace(index, unique=index.unique and _sees_to(index)) for index in indexes]


def _sees_to(index: Index) -> bool:
    """Whether equal entries of an index are on the same shard."""
    fields = [field for field, _ in SHARD_KEYS.get(index.collection, [])]
    return [field for field, _ in index.keys][:len(fields)] == fields


def asks_one_shard(collection: str, query: Mapping[str, Any]) -> bool:
    """Whether a router needs to ask one shard (or the few that have what an `$in` names), not all of them.

    The first field of the shard key decides. A large dataset lies on several shards, its first jobs on one
    and so on: these are asked then, and no others.
    """
    first, _ = SHARD_KEYS[collection][0]
    if first in query:
        return _names_values(query[first])
    branches = query.get("$or") or query.get("$and") or ()
    matching = [asks_one_shard(collection, branch) for branch in branches]
    return bool(matching) and (all(matching) if "$or" in query else any(matching))


def fields_of(query: Mapping[str, Any]) -> set[str]:
    """The fields that a query has conditions on."""
    inner = [fields_of(part) for name in ("$and", "$or") for part in query.get(name, ())]
    return {name for name in query if not name.startswith("$")}.union(*inner)


def _names_values(condition: object) -> bool:
    is_operators = isinstance(condition, Mapping) and any(str(name).startswith("$") for name in condition)
    return not is_operators or not {"$eq", "$in"}.isdisjoint(condition)  # type: ignore[arg-type]


def commands(database: str) -> list[str]:
    """What an administrator types into mongosh, once, before the first server starts."""
    lines = [f'sh.enableSharding("{database}")']
    for collection, key in SHARD_KEYS.items():
        fields = ", ".join(f"{field}: {way if isinstance(way, int) else repr(way)}" for field, way in key)
        lines.append(f'sh.shardCollection("{database}.{collection}", {{{fields}}})')
    return lines
