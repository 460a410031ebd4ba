"""``iceprod bench wakes`` (``python -m grid.bench_wakes``): how soon a pilot that waits has a new task.

It starts an installation of its own with some processes of the server. Again and again a claim waits over a
connection of its own, and a task is made over another one, so that both are mostly with different processes.
Measured is the time from the answer to who made the task to the answer to the claim.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from grid.bench import Bench, until
from iceprod.client import Client, ClientError

__all__ = ["Wakes", "main", "run"]

_OFFER = {"cpu": 1, "gpu": 0, "memory": 4.0, "disk": 10.0, "time": 8.0, "site": "bench"}
_ENTER_SECONDS = 0.3  # until a claim waits


@dataclass(frozen=True)
class Wakes:
    """Milliseconds until a waiting claim had its task, with so many processes of the server."""

    servers: int
    rounds: int
    median_ms: float
    p95_ms: float
    most_ms: float


def _dataset(client: Client, rounds: int) -> tuple[str, list[str]]:
    """A dataset with a job for each round, and no task."""
    made = client.post("/datasets", {"description": "bench wakes", "group": "users", "jobs_submitted": rounds,
                                     "tasks_per_job": 1, "tasks_submitted": rounds})
    dataset_id = str(made["result"])
    jobs = [str(client.post("/jobs", {"dataset_id": dataset_id, "job_index": index})["result"])
            for index in range(rounds)]
    return dataset_id, jobs


def _one(bench: Bench, task: dict[str, Any]) -> float:
    """Seconds from the answer to who made a task to that of the claim that waited for it."""
    token, came = bench.token.read_text(), list[float]()

    def claim() -> None:
        with Client(bench.client.url, token, timeout=120.0) as client:
            client.post("/task_actions/queue_many", {"num": 1, "requirements": _OFFER, "wait": 20})
            came.append(time.monotonic())

    waiting = threading.Thread(target=claim)
    waiting.start()
    time.sleep(_ENTER_SECONDS)
    with Client(bench.client.url, token, timeout=120.0) as client:
        client.post("/tasks", task)
        made = time.monotonic()
    waiting.join()
    if not came:
        raise ClientError("a claim that waited had no task after 20 s")
    return max(0.0, came[0] - made)


def run(servers: int, rounds: int) -> dict[str, Any]:
    """Measure an installation of its own; a document with the figures and what the machine is."""
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        bench = Bench(Path(root), servers=servers)
        try:
            until(lambda: bench.client.get("/healthz")["servers"]["here"] == servers)
            dataset_id, jobs = _dataset(bench.client, rounds)
            took = [1000 * _one(bench, {
                "dataset_id": dataset_id, "job_id": job, "job_index": index, "task_index": 0, "name": "t",
                "depends": [], "requirements": {"cpu": 1, "memory": 1.0}, "status": "waiting"})
                for index, job in enumerate(jobs)]
        finally:
            bench.close()
    figures = Wakes(servers, rounds, round(median(took), 1), round(quantiles(took, n=20)[-1], 1),
                    round(max(took), 1))
    machine = {"cores": os.cpu_count(), "python": platform.python_version(),
               "load": [round(load, 2) for load in os.getloadavg()]}
    return {"machine": machine, **asdict(figures)}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="iceprod bench wakes", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--servers", type=int, default=3, help="processes of the server")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if given.servers < 1 or given.rounds < 2:
        parser.error("--servers must be 1 or more, --rounds 2 or more")
    try:
        result = run(given.servers, given.rounds)
    except (ClientError, TimeoutError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=1) if given.json else
          "{servers} processes, {rounds} rounds: a claim that waits has its task after {median_ms:g} ms "
          "(median), {p95_ms:g} ms (95 %), {most_ms:g} ms at most".format(**result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
