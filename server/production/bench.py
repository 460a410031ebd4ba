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
import http.client
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pymongo
from pymongo.errors import PyMongoError

from iceprod.ids import new_id, timestamp
from iceprod.tokens import encode, read_secret
from server.production.access import default_rules
from server.production.task_store import NewTask, new_task

__all__ = ["Measurement", "main", "run"]

ROOT = Path(__file__).parents[2]
NAMES = ("generate", "propagate", "detector", "filter", "analyse")
STATES = ("complete", "complete", "complete", "waiting", "waiting", "idle", "idle", "processing", "queued",
          "failed")
ROUNDS = 100
INSERT_AT_ONCE = 2000
START_SECONDS = 120

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


@dataclass(frozen=True)
class Measurement:
    """How long one kind of request took, in milliseconds, and how long its answers are, in bytes."""

    name: str
    path: str
    requests: int
    bytes: int
    first_ms: tuple[float, float]  # median, 99th percentile
    total_ms: tuple[float, float]


def run(tasks: int, datasets: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Fill a store and measure; the figures, with what they were measured on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        folder = Path(directory)
        url, store = _store(stack, folder)
        port, server = _server(stack, folder, url)
        client: pymongo.MongoClient[Any] = stack.enter_context(pymongo.MongoClient(url))
        started = time.monotonic()
        ids = list(_fill(client["bench"], tasks, datasets))
        filled = time.monotonic() - started
        token = encode(read_secret(folder / "server" / "secret"), "bench", ["admin", "system"])
        before = _memory(server, store)
        found = [_measure(port, token, name, path, ids, rounds) for name, path in QUERIES.items()]
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
                       f"{platform.release()}, Python {platform.python_version()}",
            "load": os.getloadavg()[0], "tasks": tasks, "datasets": datasets,
            "fill_seconds": round(filled, 1), "megabytes_before": before,
            "megabytes_after": _memory(server, store), "measurements": [asdict(item) for item in found],
        }


# -- processes


def _store(stack: contextlib.ExitStack, folder: Path) -> tuple[str, psutil.Process]:
    path = folder / "s.sock"
    command = [sys.executable, "-m", "server.embedded", "serve", "--data", str(folder / "store"),
               "--socket", str(path)]
    process = _process(stack, command, folder / "store.log", {})
    url = "mongodb://" + str(path).replace("/", "%2F")

    def answers() -> bool:
        client: pymongo.MongoClient[Any]
        with pymongo.MongoClient(url, serverSelectionTimeoutMS=500) as client:
            return bool(client.admin.command("ping")["ok"])

    _wait(answers, process)
    return url, process


def _server(stack: contextlib.ExitStack, folder: Path, database: str) -> tuple[int, psutil.Process]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "server", "--data", str(folder / "server"), "--port", str(port),
               "--database", database]
    # the services rest, so that it is the requests alone that are measured
    settings = {"DATABASE__NAME": "bench", "LEASES__SWEEP_SECONDS": "86400",
                "SERVICES__REPAIR_SECONDS": "86400", "LOGGING__LEVEL": "WARNING"}
    process = _process(stack, command, folder / "server.log", settings)

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200

    _wait(answers, process)
    return port, process


def _process(stack: contextlib.ExitStack, command: Sequence[str], log: Path,
             settings: dict[str, str]) -> psutil.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ICEPROD__")}
    environment |= {f"ICEPROD__{name}": value for name, value in settings.items()}
    with log.open("wb") as file:
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    stack.callback(_end, child)
    return psutil.Process(child.pid)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(30)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait(answers: Any, process: psutil.Process) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.is_running():
        with contextlib.suppress(OSError, PyMongoError):
            if answers():
                return
        time.sleep(0.05)
    raise RuntimeError(f"{' '.join(process.cmdline()[1:4])} did not start")


def _memory(*processes: psutil.Process) -> dict[str, float]:
    return {name: round(process.memory_info().rss / 1e6, 1)
            for name, process in zip(("server", "store"), processes, strict=True)}


# -- tasks


def _fill(db: Any, tasks: int, datasets: int) -> Iterator[tuple[str, str]]:
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


# -- measuring


def _measure(port: int, token: str, name: str, path: str, ids: Sequence[tuple[str, str]],
             rounds: int) -> Measurement:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    first, total, size = [], [], 0
    with contextlib.closing(connection):
        for number in range(rounds):
            dataset_id, task_id = ids[number % len(ids)]
            asked = path.replace("{d}", dataset_id).replace("{t}", task_id)
            started = time.perf_counter()
            connection.request("GET", asked, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            first.append(1000 * (time.perf_counter() - started))
            size = len(answer.read())
            total.append(1000 * (time.perf_counter() - started))
            if answer.status != 200:
                raise RuntimeError(f"{asked} answers {answer.status}")
    return Measurement(name, path, rounds, size, _percentiles(first), _percentiles(total))


def _percentiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return (round(ordered[len(ordered) // 2], 2), round(ordered[min(len(ordered) - 1,
                                                                    int(0.99 * len(ordered)))], 2))


# -- command line


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['machine']}, load {result['load']:.1f}: {result['tasks']} tasks in {result['datasets']} "
        f"datasets, written in {result['fill_seconds']} s",
        f"memory in MB: {result['megabytes_before']} before, {result['megabytes_after']} after",
        f"{'':<22}{'bytes':>10}{'first p50':>11}{'p99 ms':>9}{'total p50':>11}{'p99 ms':>9}",
    ]
    lines += [f"{row['name']:<22}{row['bytes']:>10}{row['first_ms'][0]:>11.1f}{row['first_ms'][1]:>9.1f}"
              f"{row['total_ms'][0]:>11.1f}{row['total_ms'][1]:>9.1f}" for row in result["measurements"]]
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
