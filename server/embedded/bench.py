"""Measures claims: how many tasks a second clients can take from so many that wait.

    python -m server.embedded bench --json --sizes 0 1000 10000 100000 1000000

A claim is a find_one_and_update of the waiting task with the highest priority. The embedded store runs in
a process of its own on a unix socket, with everything durable as in production; nx-27017 likewise, where
it is installed, and mongomock (in this process, nothing durable).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pymongo
from pymongo.errors import PyMongoError

from server.embedded.serving import unix_url

SIZES = (0, 1_000, 10_000, 100_000, 1_000_000)
PEERS = ("embedded", "nx-27017", "mongomock")
_MOST_OF_PEERS = 100_000  # larger collections take the others too long to fill
_SECONDS = 5.0  # of one measurement
_MOST_CLAIMS = 5_000
_CLIENTS = 8
_BATCH = 5_000
_START_SECONDS = 30

Claim = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Claims by so many clients at once, from so many waiting tasks."""

    peer: str
    waiting: int
    clients: int
    claims: int
    claims_per_second: float
    milliseconds: float  # between asking and answer, median
    cpu_milliseconds: float | None  # of the server, per claim; None where there is no server


def run(sizes: Sequence[int] = SIZES, peers: Sequence[str] = PEERS) -> dict[str, Any]:
    """Measure all peers that are installed at all sizes.

    Returns {"machine": …, "versions": {peer: version}, "missing": [peer], "measurements": [Measurement…]}.
    """
    found: list[Measurement] = []
    missing = []
    for peer in peers:
        if _version(peer) is None:
            missing.append(peer)
            continue
        for size in sizes:
            if peer == "embedded" or size <= _MOST_OF_PEERS:
                found += _measure_size(peer, size)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "versions": {peer: _version(peer) for peer in peers if peer not in missing},
        "missing": missing,
        "measurements": [asdict(item) for item in found],
    }


def _version(peer: str) -> str | None:
    if peer == "embedded":
        return "this"
    if peer == "nx-27017" and _nx() is None:
        return None
    try:
        return importlib.metadata.version(peer)
    except importlib.metadata.PackageNotFoundError:
        return "unknown" if peer == "nx-27017" else None


def _nx() -> str | None:
    """The nx-27017 program: of this environment, of PATH, or $NX_27017."""
    beside = Path(sys.executable).with_name("nx-27017")
    return os.environ.get("NX_27017") or (str(beside) if beside.exists() else shutil.which("nx-27017"))


@contextlib.contextmanager
def _opened(peer: str) -> Iterator[tuple[Any, psutil.Process | None]]:
    """A client of a fresh, empty database, and the server's process."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        if peer == "mongomock":
            import mongomock

            yield mongomock.MongoClient(), None
            return
        command, url = (_embedded if peer == "embedded" else _nx_server)(Path(directory))
        client: pymongo.MongoClient[Any]
        with _process(command, Path(directory)) as process, pymongo.MongoClient(url) as client:
            _wait(client)
            yield client, psutil.Process(process.pid)


def _embedded(directory: Path) -> tuple[list[str], str]:
    path = directory / "s.sock"
    command = [sys.executable, "-m", "server.embedded", "serve", "--data", str(directory / "data")]
    return [*command, "--socket", str(path)], unix_url(path)


def _nx_server(directory: Path) -> tuple[list[str], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [_nx() or "", "--db", str(directory / "nx.db"), "-p", str(port)]
    command += ["--log-file", str(directory / "nx.log"), "--pid-file", str(directory / "nx.pid")]
    return command, f"mongodb://127.0.0.1:{port}"


@contextlib.contextmanager
def _process(command: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(client: pymongo.MongoClient[Any]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with pymongo.timeout(1):
                client.admin.command("ping")
            return
        except PyMongoError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def task(number: int) -> dict[str, Any]:
    """A waiting task as the server stores it."""
    return {
        "task_id": f"{number:032x}", "dataset_id": f"{number % 50:032x}", "job_id": f"{number // 10:032x}",
        "task_index": number % 10, "job_index": number // 10, "name": "generate", "depends": [],
        "requirements": {"cpu": 1, "gpu": 0, "memory": 2.0, "disk": 10.0, "time": 1.0}, "status": "waiting",
        "status_changed": "2026-11-20T07:57:30.521127", "failures": 0, "evictions": 0, "walltime": 0.0,
        "walltime_err": 0.0, "walltime_err_n": 0, "site": "", "instance_id": "",
        "priority": number * 7919 % 100_003 / 100_003,
    }  # fmt: skip


def _measure_size(peer: str, size: int) -> Iterator[Measurement]:
    with _opened(peer) as (client, process):
        tasks = client["bench"]["tasks"]
        tasks.create_index("task_id", unique=True)
        tasks.create_index([("status", 1), ("priority", -1)])
        for start in range(0, size, _BATCH):
            tasks.insert_many([task(number) for number in range(start, min(start + _BATCH, size))])
        for clients in (1, _CLIENTS) if process else (1,):
            yield _measure(peer, size, clients, _claimer(tasks), process)


def _claimer(tasks: Any) -> Claim:
    """A claim that keeps the number of waiting tasks nearly what it was."""

    def claim() -> Any:
        return tasks.find_one_and_update(
            {"status": "waiting"},
            {"$set": {"status": "queued", "site": "CHTC", "instance_id": os.urandom(16).hex()}},
            sort=[("priority", -1)], projection={"_id": False}, return_document=True,
        )  # fmt: skip

    return claim


def _measure(peer: str, size: int, clients: int, claim: Claim, process: psutil.Process | None) -> Measurement:
    claim()
    most = min(_MOST_CLAIMS, size // 3 or _MOST_CLAIMS)
    durations: list[float] = []
    end = time.monotonic() + _SECONDS

    def work() -> None:
        while len(durations) < most and time.monotonic() < end:
            started = time.perf_counter()
            claim()
            durations.append(time.perf_counter() - started)

    before, started = _cpu(process), time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, number = time.perf_counter() - started, len(durations)
    cpu = None if process is None else round(1000 * (_cpu(process) - before) / number, 3)
    middle = sorted(durations)[number // 2]
    return Measurement(peer, size, clients, number, round(number / seconds, 1), round(1000 * middle, 3), cpu)


def _cpu(process: psutil.Process | None) -> float:
    """Seconds of processor time that a server has used."""
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        result["machine"],
        f"{'peer':<10}{'waiting':>9}{'clients':>9}{'claims/s':>10}{'ms':>9}{'CPU ms':>9}",
    ]
    for item in result["measurements"]:
        cpu = "" if item["cpu_milliseconds"] is None else f"{item['cpu_milliseconds']:.3f}"
        lines.append(
            f"{item['peer']:<10}{item['waiting']:>9}{item['clients']:>9}{item['claims_per_second']:>10.0f}"
            f"{item['milliseconds']:>9.2f}{cpu:>9}"
        )
    lines += [f"{name}: not installed" for name in result["missing"]]
    return "\n".join(lines)
