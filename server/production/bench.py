"""Measures how long the API takes to answer with many tasks in the database.

    python -m server.production.bench --tasks 1000000 --datasets 100 --json

A server and an embedded store run as processes of their own, in a temporary directory. The tasks are written
to the store beforehand, in the states of a production that is under way. One client then asks for counts,
summaries and lists, each time of another dataset. `first_ms` is the time until the answer begins, `total_ms`
until it is there; memory is what both processes hold before and after.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pymongo

from iceprod.ids import new_id, timestamp
from iceprod.tokens import encode, read_secret
from server.benching import measure, memory, start_server, start_store
from server.production.common.access import default_rules
from server.production.tasks.task_store import NewTask, new_task

__all__ = ["fill", "main", "run"]

NAMES = ("generate", "propagate", "detector", "filter", "analyse")
STATES = ("complete", "complete", "complete", "waiting", "waiting", "idle", "idle", "processing", "queued",
          "failed")
ROUNDS = 100
INSERT_AT_ONCE = 2000

QUERIES = {
    "datasets": "/datasets?keys=dataset|status",
    "dataset summaries": "/dataset_summaries/status",
    "task counts": "/datasets/{d}/task_counts/status",
    "task counts by name": "/datasets/{d}/task_counts/name_status",
    "task counts of all": "/task_counts/status",
    "task summaries": "/datasets/{d}/task_summaries/status",
    "job counts": "/datasets/{d}/job_counts/status",
    "job summaries": "/datasets/{d}/job_summaries/status",
    "one task": "/datasets/{d}/tasks/{t}",
    "one job's tasks": "/datasets/{d}/tasks?job_index=7",
    "failed tasks": "/datasets/{d}/tasks?status=failed&keys=name|reason",
    "tasks": "/datasets/{d}/tasks?keys=name|status",
    "jobs": "/datasets/{d}/jobs",
    "first 100 waiting": "/tasks?status=waiting&sort=priority=-1&limit=100",
}


def run(tasks: int, datasets: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Fill a store and measure; the figures, with what they were measured on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        folder = Path(directory)
        url, store = start_store(stack, folder)
        port, server = start_server(stack, folder, url)
        client: pymongo.MongoClient[Any] = stack.enter_context(pymongo.MongoClient(url))
        started = time.monotonic()
        ids = list(fill(client["bench"], tasks, datasets))
        filled = time.monotonic() - started
        token = encode(read_secret(folder / "server" / "secret"), "bench", ["admin", "system"])
        before = memory(server, store)
        found = [measure(port, token, name, _paths(path, ids, rounds), (server, store))
                 for name, path in QUERIES.items()]
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
                       f"{platform.release()}, Python {platform.python_version()}",
            "load": os.getloadavg()[0], "tasks": tasks, "datasets": datasets,
            "fill_seconds": round(filled, 1), "megabytes_before": before,
            "megabytes_after": memory(server, store), "measurements": [asdict(item) for item in found],
        }


# -- tasks


def fill(db: Any, tasks: int, datasets: int) -> Iterator[tuple[str, str]]:
    """Write the tasks; the id of each dataset and of one of its tasks."""
    per_job = len(NAMES)
    jobs = max(1, tasks // datasets // per_job)
    for number in range(1, datasets + 1):
        dataset_id = new_id()
        db.datasets.insert_one({
            "dataset_id": dataset_id, "dataset": number, "description": "bench", "group": "users",
            "jobs_submitted": jobs, "tasks_submitted": jobs * per_job, "tasks_per_job": per_job,
            "priority": 0.5, "debug": False, "jobs_immutable": False, "always_active": False,
            "status": "processing", "truncated": False, "start_date": timestamp(), "username": "bench"})
        db.auths.insert_one({"dataset_id": dataset_id, **default_rules("users", "bench")})
        last = ""
        for start in range(0, jobs, INSERT_AT_ONCE // per_job):
            last = _fill_jobs(db, dataset_id, range(start, min(jobs, start + INSERT_AT_ONCE // per_job)))
        yield dataset_id, last


def _fill_jobs(db: Any, dataset_id: str, indexes: range) -> str:
    jobs, rows = [], []
    for index in indexes:
        job_id, over = new_id(), index % 2 == 1
        jobs.append({"job_id": job_id, "dataset_id": dataset_id, "job_index": index,
                     "status": "complete" if over else "processing", "status_changed": timestamp()})
        for number, name in enumerate(NAMES):
            spec = NewTask(index, name, {"cpu": 1, "memory": 2.0 + number, "time": 4.0}, number,
                           priority=(index * 7919 % 1000) / 1000,
                           status="complete" if over else STATES[(index + number) % len(STATES)])
            rows.append(new_task(dataset_id, job_id, spec))
    db.jobs.insert_many(jobs)
    db.tasks.insert_many(rows)
    db.task_classes.bulk_write([
        pymongo.UpdateOne({"_id": f"{dataset_id} {key}"}, {"$set": {
            "dataset_id": dataset_id, "class_key": key, "used": timestamp()}}, upsert=True)
        for key in {row["class_key"] for row in rows}])
    return str(rows[-1]["task_id"])


def _paths(path: str, ids: Sequence[tuple[str, str]], rounds: int) -> list[str]:
    """The path of each request: one dataset after the other."""
    return [path.replace("{d}", dataset_id).replace("{t}", task_id)
            for dataset_id, task_id in itertools.islice(itertools.cycle(ids), rounds)]


# -- command line


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['machine']}, load {result['load']:.1f}: {result['tasks']} tasks in {result['datasets']} "
        f"datasets, written in {result['fill_seconds']} s",
        f"memory in MB: {result['megabytes_before']} before, {result['megabytes_after']} after",
        f"{'':<22}{'bytes':>10}{'first p50':>11}{'p99 ms':>9}{'total p50':>11}{'p99 ms':>9}{'CPU ms':>9}",
    ]
    lines += [f"{row['name']:<22}{row['bytes']:>10}{row['first_ms'][0]:>11.1f}{row['first_ms'][1]:>9.1f}"
              f"{row['total_ms'][0]:>11.1f}{row['total_ms'][1]:>9.1f}"
              f"{row['cpu_ms']:>9.1f}" for row in result["measurements"]]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m server.production.bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="how many tasks (1000000)")
    parser.add_argument("--datasets", type=int, default=100, help="in how many datasets (100)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="requests of each kind (100)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    result = run(asked.tasks, asked.datasets, asked.rounds)
    print(json.dumps(result, indent=1) if asked.json else _table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
