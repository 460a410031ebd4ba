"""What the benchmarks of the server share: a store and a server of their own, and how long answers take."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pymongo
from pymongo.errors import PyMongoError

__all__ = ["Measurement", "measure", "memory", "start_server", "start_store"]

ROOT = Path(__file__).parents[1]
START_SECONDS = 600
COOKIE = "iceprod_session"


@dataclass(frozen=True)
class Measurement:
    """How long one kind of request took, in milliseconds, and how long its answers are, in bytes.

    `cpu_ms` is what server and store computed for one of them, which other programs do not change.
    """

    name: str
    path: str
    requests: int
    bytes: int
    first_ms: tuple[float, float]  # median, 99th percentile
    total_ms: tuple[float, float]
    cpu_ms: float


# -- processes


def start_store(stack: contextlib.ExitStack, folder: Path) -> tuple[str, psutil.Process]:
    """An embedded store that ends with the stack; its address and its process."""
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


def start_server(stack: contextlib.ExitStack, folder: Path, database: str,
                 more: Mapping[str, str] | None = None) -> tuple[int, psutil.Process]:
    """A server on that database, with more variables in its environment; its port and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "server", "--data", str(folder / "server"), "--port", str(port),
               "--database", database]
    # the services rest, so that it is the requests alone that are measured
    settings = {"ICEPROD__DATABASE__NAME": "bench", "ICEPROD__LEASES__SWEEP_SECONDS": "86400",
                "ICEPROD__SERVICES__REPAIR_SECONDS": "86400", "ICEPROD__LOGGING__LEVEL": "WARNING"}
    process = _process(stack, command, folder / "server.log", settings | dict(more or {}))

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200

    _wait(answers, process)
    return port, process


def _process(stack: contextlib.ExitStack, command: Sequence[str], log: Path,
             variables: dict[str, str]) -> psutil.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ICEPROD__")}
    environment |= variables
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


def memory(*processes: psutil.Process) -> dict[str, float]:
    """What a server and a store hold, in MB."""
    return {name: round(process.memory_info().rss / 1e6, 1)
            for name, process in zip(("server", "store"), processes, strict=False)}


# -- measuring


def measure(port: int, token: str, name: str, paths: Sequence[str],
            processes: Sequence[psutil.Process]) -> Measurement:
    """Ask for each of the paths in turn. Raises RuntimeError when one is not answered with 200."""
    before = _cpu_seconds(processes)
    headers = {"Authorization": f"Bearer {token}", "Cookie": f"{COOKIE}={token}"}  # of the API, of pages
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    first, total, size = [], [], 0
    with contextlib.closing(connection):
        for asked in paths:
            started = time.perf_counter()
            connection.request("GET", asked, headers=headers)
            answer = connection.getresponse()
            first.append(1000 * (time.perf_counter() - started))
            size = len(answer.read())
            total.append(1000 * (time.perf_counter() - started))
            if answer.status != 200:
                raise RuntimeError(f"{asked} answers {answer.status}")
    cpu = 1000 * (_cpu_seconds(processes) - before) / len(paths)
    return Measurement(name, paths[0], len(paths), size, _percentiles(first), _percentiles(total),
                       round(cpu, 2))


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _percentiles(values: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    ordered = sorted(values)
    return (round(ordered[len(ordered) // 2], 2), round(ordered[min(len(ordered) - 1,
                                                                    int(0.99 * len(ordered)))], 2))
