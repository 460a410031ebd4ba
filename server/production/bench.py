"""Measures how long the API and the pages take to answer with many tasks in the database.

    python -m server.production.bench --tasks 1000000 --datasets 100 --json
    python -m server.production.bench --tasks 10000000 --keep DIR           fills DIR once, measures often
    python -m server.production.bench --database mongodb://…                a MongoDB; what it has stays there

A server and an embedded store run as processes of their own, in a temporary directory. The tasks are written
to the store beforehand, in the states of a production that is under way. One client then asks for counts,
summaries, lists and pages, each time of another dataset. `first_ms` is the time until the answer begins,
`total_ms` until it is there; memory is what both processes hold before and after (of a MongoDB: the server's
alone). The counters are proved first: `counted_seconds` is what that took.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pymongo

from config.settings import Database, Settings
from iceprod.tokens import encode, read_secret
from server import production
from server.benching import measure, memory, start_server, start_store
from server.production.bench_fill import fill, filled
from server.production.datasets import totals
from server.production.tasks import counting
from server.rest.context import Context
from server.store.database import connect, ensure_indexes

__all__ = ["Wish", "main", "run"]

ROUNDS = 100
PROVED = 10  # datasets whose counters are compared with a count
MOST_FETCHED = 20_000  # tasks of a dataset; lists of more are not asked for

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
    "100 tasks after one": "/datasets/{d}/tasks?limit=100&after={t}&keys=name|status",
    "first 100 waiting": "/tasks?status=waiting&sort=priority=-1&limit=100",
    "page: home": "/web/",
    "page: datasets": "/web/datasets",
    "page: dataset": "/web/datasets/{d}",
    "page: its errors": "/web/datasets/{d}/errors",
    "page: its tasks": "/web/datasets/{d}/tasks",
    "page: far down": "/web/datasets/{d}/tasks?page=201",
    "page: its failed tasks": "/web/datasets/{d}/tasks?status=failed",
    "page: its jobs": "/web/datasets/{d}/jobs",
    "page: a task": "/web/datasets/{d}/tasks/{t}",
    "page: sites": "/web/sites",
    "metrics": "/metrics",
}
LARGE = ("task summaries", "tasks", "jobs", "job summaries")  # their answers grow with the dataset


@dataclass(frozen=True)
class Wish:
    """How many tasks in how many datasets, where, and how often each request is made."""

    tasks: int
    datasets: int
    rounds: int = ROUNDS
    database: str = ""  # a MongoDB; empty: an embedded store
    keep: Path | None = None  # the folder of the store, which stays


def run(wish: Wish) -> dict[str, Any]:
    """Fill a database unless it is filled, and measure; the figures, with what they were measured on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        folder = Path(directory)
        url, store = _database(stack, wish, folder)
        client: pymongo.MongoClient[Any] = stack.enter_context(pymongo.MongoClient(url))
        ids, times = _prepared(client["bench"], url, wish)
        port, server = start_server(stack, folder, url)
        token = encode(read_secret(folder / "server" / "secret"), "bench", ["admin", "system"])
        processes = (server, store) if store else (server,)
        before = memory(*processes)
        asked = {name: path for name, path in QUERIES.items()
                 if name not in LARGE or wish.tasks <= MOST_FETCHED * wish.datasets}
        found = [measure(port, token, name, _paths(path, ids, wish.rounds), processes)
                 for name, path in asked.items()]
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
                       f"{platform.release()}, Python {platform.python_version()}",
            "load": os.getloadavg()[0], "tasks": wish.tasks, "datasets": wish.datasets, **times,
            "megabytes_before": before, "megabytes_after": memory(*processes),
            "measurements": [asdict(item) for item in found],
        }


def _database(stack: contextlib.ExitStack, wish: Wish, folder: Path) -> tuple[str, psutil.Process | None]:
    """The address of the database, and the store's process if it is one of ours."""
    if wish.database:
        return wish.database, None
    if wish.keep:
        wish.keep.mkdir(parents=True, exist_ok=True)
    return start_store(stack, wish.keep or folder)


def _prepared(db: Any, url: str, wish: Wish) -> tuple[list[tuple[str, str]], dict[str, float]]:
    """Datasets, each with a task; and how many seconds it took to write, index and count them."""
    started = time.monotonic()
    if db.tasks.find_one({}, {"_id": 1}) is None:
        ids = list(fill(db, wish.tasks, wish.datasets))
    else:
        ids = filled(db)
    written = time.monotonic()
    indexed, proved, wrong = asyncio.run(_index_and_count(url))
    if wrong:
        raise RuntimeError(f"counters of {wrong} datasets are not what a count says")
    return ids, {"fill_seconds": round(written - started, 1), "index_seconds": round(indexed - written, 1),
                 "count_seconds": round(proved - indexed, 1)}


async def _index_and_count(url: str) -> tuple[float, float, int]:
    """Make indexes, then counters; when each was done, and of how many datasets a count says otherwise."""
    db = connect(Database(url=url, name="bench"))
    ctx = Context(Settings(), db, "")
    await ensure_indexes(db, production.INDEXES)
    indexed, wrong = time.monotonic(), 0
    rows = await db.datasets.find({}, {"dataset_id": 1}).to_list()
    for row in rows:
        async with totals.making(ctx, row["dataset_id"]):  # so that there are some
            pass
        await totals.recount(ctx, row["dataset_id"])
    proved = time.monotonic()
    for row in rows[:PROVED]:
        counted = await counting.matching(ctx, {"dataset_id": row["dataset_id"]})
        wrong += await counting.of_dataset(ctx, row["dataset_id"]) != counted
    await db.client.close()
    return indexed, proved, wrong


def _paths(path: str, ids: Sequence[tuple[str, str]], rounds: int) -> list[str]:
    """The path of each request: one dataset after the other."""
    return [path.replace("{d}", dataset_id).replace("{t}", task_id)
            for dataset_id, task_id in itertools.islice(itertools.cycle(ids), rounds)]


# -- command line


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['machine']}, load {result['load']:.1f}: {result['tasks']} tasks in {result['datasets']} "
        f"datasets",
        f"seconds: {result['fill_seconds']} to write them, {result['index_seconds']} for indexes, "
        f"{result['count_seconds']} for counters",
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
    parser.add_argument("--database", default="", help="address of a MongoDB (default: an embedded store)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the store in DIR, filled once")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    result = run(Wish(asked.tasks, asked.datasets, asked.rounds, asked.database, asked.keep))
    print(json.dumps(result, indent=1) if asked.json else _table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
