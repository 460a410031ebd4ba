"""Measures what the size of a store's file costs: starting, a check, a backup, a repair, and memory.

    python -m server.embedded bench --files 0.25 0.5 1 2

The file is full of tasks, small documents with three indexes: the dearest kind for all that is done by
document. Every figure is of a process of its own. A repair is that of a file that SQLite cannot read whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pymongo

from server.embedded.bench import task
from server.embedded.limits import file_size
from server.embedded.serving import unix_url
from server.embedded.storage.storage import FILE

SIZES = (0.25, 0.5, 1.0, 2.0)
_BATCH = 5_000
_INDEXES = ([("task_id", 1)], [("status", 1), ("priority", -1)])
_PAGE = 4096
_PATIENCE = 600  # seconds, for a start


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process."""

    seconds: float
    processor_seconds: float
    megabytes: float  # at most, of memory


@dataclass(frozen=True, slots=True)
class FileFigures:
    """What a file of that size costs."""

    gigabytes: float
    documents: int
    start: Cost  # until the first answer
    check: Cost
    backup: Cost  # a snapshot and its dump
    repair: Cost


def run(sizes: Sequence[float] = SIZES) -> list[FileFigures]:
    """Measure one file as it grows."""
    found, documents = list[FileFigures](), 0
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        for size in sorted(sizes):
            documents = _grow(root, documents, int(size * 2**30))
            found.append(_measure(root, documents))
            print(line(found[-1]), flush=True)
    return found


def line(figures: FileFigures) -> str:
    """The figures for people."""
    costs = {"start": figures.start, "check": figures.check, "backup": figures.backup,
             "repair": figures.repair}
    told = "   ".join(f"{name} {_told(cost)}" for name, cost in costs.items())
    return f"{figures.gigabytes:.2f} GB   {figures.documents:,} documents   {told}"


def _told(cost: Cost) -> str:
    return f"{cost.seconds:.1f} s (CPU {cost.processor_seconds:.1f} s) {cost.megabytes:.0f} MB"


def _measure(root: Path, documents: int) -> FileFigures:
    data = root / "data"
    size = file_size(data)[0]
    with _served(root) as (process, _, began):
        start = _so_far(process, began)
    check = _command("check", "--data", str(data))
    backup = _backup(root)
    return FileFigures(size / 2**30, documents, start, check, backup, _repair(root))


def _grow(root: Path, documents: int, size: int) -> int:
    """Add tasks until the file is so large; how many there are."""
    with _served(root) as (_, client, _):
        tasks = client["bench"]["tasks"]
        for keys in _INDEXES:
            tasks.create_index(keys)
        while file_size(root / "data")[0] < size:
            tasks.insert_many([task(number) for number in range(documents, documents + _BATCH)])
            documents += _BATCH
    return documents


def _backup(root: Path) -> Cost:
    """As `iceprod backup` does: a copy of one moment, and a dump of that."""
    began, processor, copy = time.monotonic(), time.process_time(), root / "copy"
    copy.mkdir()
    try:
        with contextlib.closing(sqlite3.connect(root / "data" / FILE)) as old, \
                contextlib.closing(sqlite3.connect(copy / FILE)) as new:
            old.backup(new)
        dumped = _command("dump", "--data", str(copy), "--out", str(root / "dump"))
    finally:
        shutil.rmtree(copy)
        shutil.rmtree(root / "dump", ignore_errors=True)
    return Cost(time.monotonic() - began, time.process_time() - processor + dumped.processor_seconds,
                dumped.megabytes)


def _repair(root: Path) -> Cost:
    """Of a copy in which one page is gone."""
    copy = root / "damaged"
    shutil.copytree(root / "data", copy)
    try:
        with (copy / FILE).open("r+b") as file:
            file.seek((copy / FILE).stat().st_size // _PAGE // 2 * _PAGE)
            file.write(bytes(_PAGE))
        return _command("check", "--repair", "--data", str(copy))
    finally:
        shutil.rmtree(copy)


def _command(*words: str) -> Cost:
    """Run one of the store's commands; what it took."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "server.embedded", *words], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{words[0]} ended with status {process.returncode}")
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextlib.contextmanager
def _served(root: Path) -> Iterator[tuple[subprocess.Popen[bytes], pymongo.MongoClient[Any], float]]:
    """The store's process, a client that has had an answer, and when it was started."""
    path, began = root / "s.sock", time.monotonic()
    words = ["serve", "--data", str(root / "data"), "--socket", str(path)]
    with (root / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "server.embedded", *words], stdout=log, stderr=log)
    try:
        with pymongo.MongoClient[Any](unix_url(path), serverSelectionTimeoutMS=_PATIENCE * 1000) as client:
            client.admin.command("ping")
            yield process, client, began
    finally:
        process.terminate()
        process.wait()


def _so_far(process: subprocess.Popen[bytes], began: float) -> Cost:
    seconds, running = time.monotonic() - began, psutil.Process(process.pid)
    times = running.cpu_times()
    return Cost(seconds, times.user + times.system, running.memory_info().rss / 2**20)
