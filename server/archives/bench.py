"""Measures what a task costs in documents, bytes and writes, from its making to its archive.

    python -m server.archives.bench --tasks 5000 --log-bytes 2000 --json

A server and an embedded store run as processes of their own, in a temporary directory. A dataset is
submitted, its tasks are leased and reported with statistics and what they printed; at last it is archived.
After each step stand what the database holds and what the store's process wrote: all figures are of one task,
and but for the processor's they do not depend on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pymongo

from iceprod.tokens import encode, read_secret
from server.archives.archiving import archive
from server.benching import memory, start_server, start_store

__all__ = ["Step", "main", "run"]

AT_ONCE = 100
NAMES = ("generate", "propagate", "detector", "filter", "analyse")
PATIENCE = 600.0
OFFER = {"cpu": 64, "memory": 1000.0, "disk": 1000.0, "time": 100.0}
WORDS = ("event", "pulse", "track", "module", "string", "reading", "writing", "energy", "frame", "done")


@dataclass(frozen=True)
class Step:
    """What one task added, in a step of its life."""

    name: str
    documents: float
    bytes: float  # of the store's file
    written_bytes: float  # to the disk, by the store
    writes: float  # calls of the operating system, by the store
    cpu_ms: float  # server and store


class _Meter:
    """Looks at the database and at processes after each step."""

    def __init__(self, db: Any, tasks: int, server: psutil.Process, store: psutil.Process) -> None:
        self._db, self._tasks, self._server, self._store = db, tasks, server, store
        self._last = self._look()

    def _look(self) -> dict[str, float]:
        wrote = self._store.io_counters()
        return {"documents": sum(self.documents().values()),
                "bytes": self._db.command("dbStats")["storageSize"],
                "written_bytes": wrote.write_bytes, "writes": wrote.write_count,
                "cpu_ms": 1000 * sum(sum(one.cpu_times()[:2]) for one in (self._server, self._store))}

    def documents(self) -> dict[str, int]:
        """How many documents there are, by collection."""
        counted = {name: self._db[name].count_documents({})
                   for name in sorted(self._db.list_collection_names())}
        return {name: number for name, number in counted.items() if number}

    def step(self, name: str) -> Step:
        """What the step that is over added."""
        now = self._look()
        more = {key: round((now[key] - self._last[key]) / self._tasks, 3) for key in now}
        self._last = now
        return Step(name, **more)


@dataclass(frozen=True)
class _Api:
    port: int
    token: str

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body), {"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path} answers {answer.status}: {text[:500]!r}")
            return json.loads(text)


def run(tasks: int, log_bytes: int) -> dict[str, Any]:
    """Let tasks live; the figures, with what they were measured on."""
    jobs = max(1, tasks // len(NAMES))
    tasks = jobs * len(NAMES)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        folder = Path(directory)
        url, store = start_store(stack, folder)
        port, server = start_server(stack, folder, url)
        client: pymongo.MongoClient[Any] = stack.enter_context(pymongo.MongoClient(url))
        db = client["bench"]
        api = _Api(port, encode(read_secret(folder / "server" / "secret"), "bench", ["admin", "system"]))
        empty, meter = memory(server, store), _Meter(db, tasks, server, store)
        dataset = _submit(api, jobs)
        _wait(lambda: db.tasks.count_documents({"dataset_id": dataset}) == tasks)
        steps = [meter.step("made")]
        held = list(_leased(api, tasks))
        steps.append(meter.step("leased"))
        _report(api, held, log_bytes)
        _wait(lambda: api("GET", f"/datasets/{dataset}")["status"] == "complete")
        steps.append(meter.step("ended"))
        documents, full = meter.documents(), memory(server, store)
        archived = _archive(db, dataset, folder)
        steps.append(meter.step("archived"))
        return {"machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
                           f"{platform.release()}, Python {platform.python_version()}",
                "load": os.getloadavg()[0], "tasks": tasks, "log_bytes": log_bytes, "documents": documents,
                "megabytes_before": empty, "megabytes_after": full,
                "archive_bytes": round(archived / tasks, 1), "steps": [asdict(step) for step in steps]}


def _archive(db: Any, dataset_id: str, folder: Path) -> int:
    """Archive the dataset as the command does; the size of the file."""
    return archive(db, dataset_id, folder).bytes


def _submit(api: _Api, jobs: int) -> str:
    config = {"version": 3.2, "description": "bench", "tasks": [
        {"name": name, "requirements": {"cpu": 1, "memory": 2.0 + number},
         "trays": [{"modules": [{"src": "/bin/true", "args": "$(job)"}]}]}
        for number, name in enumerate(NAMES)]}
    dataset = api("POST", "/datasets", {
        "description": "bench", "group": "users", "jobs_submitted": jobs,
        "tasks_submitted": jobs * len(NAMES), "tasks_per_job": len(NAMES)})["result"]
    api("PUT", f"/config/{dataset}", config)
    return str(dataset)


def _leased(api: _Api, tasks: int) -> Iterable[dict[str, Any]]:
    found = 0
    while found < tasks:
        got = api("POST", "/task_actions/queue_many", {
            "num": AT_ONCE, "requirements": OFFER, "query_params": {}, "dataset_deprio": [], "start": True})
        if not isinstance(got, list):
            raise RuntimeError(f"{found} of {tasks} tasks could be leased: {got}")
        found += len(got)
        yield from got


def _report(api: _Api, held: Sequence[dict[str, Any]], log_bytes: int) -> None:
    chance = random.Random(1)
    for start in range(0, len(held), AT_ONCE):
        api("POST", "/task_actions/report_many", {"reports": [
            {"task_id": task["task_id"], "instance_id": task["instance_id"], "outcome": "complete",
             "time_used": 3600 * chance.random(), "resources": {"cpu": 1, "memory": chance.random()},
             "site": "bench", "stats": {"events": chance.randint(1, 10**6), "seconds": chance.random()},
             "logs": {"stdout": _text(chance, log_bytes)}} for task in held[start:start + AT_ONCE]]})


def _text(chance: random.Random, size: int) -> str:
    """Lines as programs print them."""
    lines = (f"{number:06} {' '.join(chance.choices(WORDS, k=6))} {chance.random():.6f}\n"
             for number in itertools.count())
    text = "".join(itertools.islice(lines, 1 + size // 50))
    return text[:size]


def _wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError("it did not come to an end")
        time.sleep(0.5)


def _table(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}, load {result['load']:.1f}: {result['tasks']} tasks, each printed "
             f"{result['log_bytes']} bytes; of one task:",
             f"{'':<10}{'documents':>11}{'bytes':>9}{'written':>9}{'writes':>8}{'CPU ms':>8}"]
    lines += [f"{row['name']:<10}{row['documents']:>11.2f}{row['bytes']:>9.0f}{row['written_bytes']:>9.0f}"
              f"{row['writes']:>8.2f}{row['cpu_ms']:>8.2f}" for row in result["steps"]]
    return "\n".join([*lines, f"its archive: {result['archive_bytes']:.0f} bytes",
                      f"memory in MB: {result['megabytes_before']} empty, {result['megabytes_after']} full"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m server.archives.bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=5000, help="how many (5000: they are made at once)")
    parser.add_argument("--log-bytes", type=int, default=2000, help="that each task prints (2000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    result = run(asked.tasks, asked.log_bytes)
    print(json.dumps(result, indent=1) if asked.json else _table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
