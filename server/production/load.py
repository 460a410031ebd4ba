"""Measures what a server does when there is more to do than it can.

    python -m server.production.load --seconds 10 --json

A server and an embedded store run as processes of their own; clients that ask for counts and tasks come
from another. Beside them, from here, go what must not wait: health, heartbeats and ends of tasks. All phases
are one after the other in one run, so that their ratios hold on any machine:

alone          nothing but what must not wait
sustainable    8 clients, each with its next question after the answer: so many a second the server can do
200 clients    200 of them
ten times      ten times the sustainable, on 200 connections, whether there are answers or not
one user       200 clients with one name; what another user's requests take is told, too
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pymongo

from iceprod.tokens import encode, read_secret
from server.benching import ROOT, start_server, start_store
from server.production.bench_fill import fill

__all__ = ["Phase", "main", "run"]

TASKS, DATASETS = 20_000, 20
CLIENTS, FEW = 200, 8
PILOTS = 8
ORDINARY = ("/datasets/{d}/tasks/{t}", "/datasets/{d}", "/datasets/{d}/task_counts/status",
            "/datasets/{d}/tasks?job_index=7")


@dataclass
class Phase:
    """What was asked, and what came of it; seconds."""

    name: str
    offered: float = 0.0  # ordinary requests a second that were sent
    answered: dict[str, float] = field(default_factory=dict)  # a second, by status
    p50: dict[str, float] = field(default_factory=dict)  # of what must not wait
    p99: dict[str, float] = field(default_factory=dict)
    worst: dict[str, float] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)  # of it, not answered with 200


# -- what must not wait


class Probe:
    """Asks the same again and again, with pauses, in a thread."""

    def __init__(self, port: int, name: str, ask: Callable[[], tuple[str, str, Any]], token: str,
                 pause: float) -> None:
        self.name, self.seconds, self.failed = name, list[float](), 0
        self._port, self._ask, self._token, self._pause = port, ask, token, pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join(60)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        while not self._over.wait(self._pause):
            method, path, body = self._ask()
            started = time.perf_counter()
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                answer.read()
                self.failed += answer.status != 200
            except (OSError, http.client.HTTPException):
                connection.close()
                self.failed += 1
            self.seconds.append(time.perf_counter() - started)
        connection.close()


def _measured(phase: Phase, probes: Sequence[Probe]) -> Phase:
    by_name: dict[str, list[float]] = {}
    for probe in probes:
        by_name.setdefault(probe.name, []).extend(probe.seconds)
        phase.failed[probe.name] = phase.failed.get(probe.name, 0) + probe.failed
    for name, seconds in by_name.items():
        ordered = sorted(seconds) or [float("nan")]
        phase.p50[name] = round(ordered[len(ordered) // 2], 4)
        phase.p99[name] = round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 4)
        phase.worst[name] = round(ordered[-1], 4)
    return phase


# -- a server with work


@dataclass
class Stand:
    """A server, and what the probes need."""

    port: int
    secret: str
    ids: list[tuple[str, str]]  # datasets, each with a task
    pilots: list[str]
    leased: Iterator[dict[str, Any]]  # tasks to end

    def token(self, user: str, *roles: str) -> str:
        return encode(self.secret, user, list(roles) or ["user"], groups=["users"])

    def call(self, method: str, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body), {
                "Authorization": f"Bearer {self.token('bench', 'admin', 'system')}"})
            answer = connection.getresponse()
            return json.loads(answer.read())

    def probes(self, other: bool) -> list[Probe]:
        """Health, heartbeats, ends of tasks; and another user's requests."""
        system = self.token("bench", "admin", "system")
        beats = [Probe(self.port, "heartbeat", lambda path=path: ("POST", path, {"tasks": []}),  # type: ignore
                       system, 0.1) for path in (f"/pilots/{pilot}/heartbeat" for pilot in self.pilots)]
        others = [Probe(self.port, "another user", lambda: ("GET", f"/datasets/{self.ids[0][0]}", None),
                        self.token("other"), 0.05)] if other else []
        return [Probe(self.port, "health", lambda: ("GET", "/healthz", None), "", 0.05), *beats,
                Probe(self.port, "task ends", self._end, system, 0.05), *others]

    def _end(self) -> tuple[str, str, Any]:
        task = next(self.leased)
        report = {"task_id": task["task_id"], "instance_id": task["instance_id"], "outcome": "complete",
                  "time_used": 1, "resources": {}, "site": "bench"}
        return "POST", "/task_actions/report_many", {"reports": [report]}


def _stand(stack: contextlib.ExitStack, folder: Path, seconds: float) -> Stand:
    url, _ = start_store(stack, folder)
    port, _ = start_server(stack, folder, url)
    client: pymongo.MongoClient[Any] = stack.enter_context(pymongo.MongoClient(url))
    ids = list(fill(client["bench"], TASKS, DATASETS))
    stand = Stand(port, read_secret(folder / "server" / "secret"), ids, [], iter(()))
    stand.pilots = [stand.call("POST", "/pilots", {
        "queue_host": "bench", "host": "bench", "site": "bench", "queue_version": "1", "version": "1",
        "resources": {"cpu": 1}})["result"] for _ in range(PILOTS)]
    stand.leased = iter(_leased(stand, int(5 * 25 * seconds) + 100))
    return stand


def _leased(stand: Stand, count: int) -> list[dict[str, Any]]:
    """Tasks that run, as many as all phases can end."""
    found: list[dict[str, Any]] = []
    offer = {"cpu": 64, "memory": 1000.0, "disk": 1000.0, "time": 100.0}
    while len(found) < count:
        got = stand.call("POST", "/task_actions/queue_many", {
            "num": 100, "requirements": offer, "query_params": {}, "dataset_deprio": [], "start": True})
        if not isinstance(got, list):
            raise RuntimeError(f"there are {len(found)} tasks to lease, not {count}: {got}")
        found += got
    return found


# -- the crowd


async def _crowd(port: int, requests: Sequence[bytes], seconds: float, each: float) -> Counter[str]:
    """Many clients, one for each request; with `each` so many a second whether there are answers or not."""
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    await asyncio.gather(*(_client(port, request, end, each, counts) for request in requests))
    return counts


async def _client(port: int, request: bytes, end: float, each: float, counts: Counter[str]) -> None:
    while time.monotonic() < end:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            reading = asyncio.create_task(_read(reader, counts)) if each else None
            try:
                async with asyncio.timeout(max(0.0, end - time.monotonic())):
                    if each:
                        await _send(writer, request, each, counts)
                    while not each:
                        writer.write(request)
                        counts["sent"] += 1
                        await _answer(reader, counts)
            finally:
                if reading is not None:
                    reading.cancel()
                writer.close()


async def _send(writer: asyncio.StreamWriter, request: bytes, each: float, counts: Counter[str]) -> None:
    due = time.monotonic()
    while True:
        due += 1 / each
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.write(request)
        counts["sent"] += 1
        await writer.drain()


async def _read(reader: asyncio.StreamReader, counts: Counter[str]) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await _answer(reader, counts)


async def _answer(reader: asyncio.StreamReader, counts: Counter[str]) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin1").lower().split("\r\n")
    status = lines[0].split()[1]
    length = next((line for line in lines if line.startswith("content-length:")), None)
    if length is not None:
        await reader.readexactly(int(length.split(":")[1]))
    elif status not in ("204", "304"):
        while size := int(await reader.readline(), 16):  # chunks, as lists come
            await reader.readexactly(size + 2)
        await reader.readline()
    counts[status] += 1


def _requests(stand: Stand, clients: int, one_user: bool) -> list[bytes]:
    made = []
    for number in range(clients):
        dataset, task = stand.ids[number % len(stand.ids)]
        path = ORDINARY[number % len(ORDINARY)].replace("{d}", dataset).replace("{t}", task)
        token = stand.token("greedy" if one_user else f"user{number}")
        made.append(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return made


def _ask(stand: Stand, clients: int, seconds: float, rate: float, one_user: bool) -> Counter[str]:
    """Let a crowd ask, in a process of its own; what came of it."""
    wanted = {"port": stand.port, "seconds": seconds, "each": rate / clients,
              "requests": [one.decode() for one in _requests(stand, clients, one_user)]}
    answer = subprocess.run([sys.executable, "-m", "server.production.load", "--crowd"], cwd=ROOT,
                            input=json.dumps(wanted), capture_output=True, text=True, check=True)
    return Counter(json.loads(answer.stdout))


# -- phases


def _phase(stand: Stand, name: str, seconds: float, clients: int = 0, rate: float = 0.0,
           one_user: bool = False) -> Phase:
    phase, probes = Phase(name), stand.probes(one_user)
    for probe in probes:
        probe.start()
    if clients:
        counts = _ask(stand, clients, seconds, rate, one_user)
        phase.offered = round(counts.pop("sent") / seconds, 1)
        phase.answered = {status: round(count / seconds, 1) for status, count in sorted(counts.items())}
    else:
        time.sleep(seconds)
    for probe in probes:
        probe.end()
    time.sleep(1.0)  # until the server has its places again
    return _measured(phase, probes)


def run(seconds: float) -> dict[str, Any]:
    """All phases, each of them so long; the figures, with what they were measured on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        stand = _stand(stack, Path(directory), seconds)
        alone = _phase(stand, "alone", seconds)
        usual = _phase(stand, "sustainable", seconds, FEW)
        sustainable = usual.answered.get("200", 0.0)
        phases = [alone, usual, _phase(stand, "200 clients", seconds, CLIENTS),
                  _phase(stand, "ten times", seconds, CLIENTS, 10 * sustainable),
                  _phase(stand, "one user", seconds, CLIENTS, 0.0, True)]
    return {"machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
                       f"{platform.release()}, Python {platform.python_version()}",
            "load": os.getloadavg()[0], "seconds": seconds, "phases": [asdict(phase) for phase in phases]}


def _table(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}, load {result['load']:.1f}: {result['seconds']:g} s each",
             f"{'':<14}{'asked/s':>9}{'200/s':>8}{'429/s':>8}{'503/s':>8}   p99 in seconds (not answered)"]
    for row in result["phases"]:
        given = [f"{row['answered'].get(status, 0.0):>8.0f}" for status in ("200", "429", "503")]
        told = ", ".join(f"{name} {value:.3f} ({row['failed'][name]})" for name, value in row["p99"].items())
        lines.append(f"{row['name']:<14}{row['offered']:>9.0f}{''.join(given)}   {told}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m server.production.load", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase (10)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--crowd", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.crowd:
        wanted = json.load(sys.stdin)
        requests = [one.encode() for one in wanted["requests"]]
        print(json.dumps(asyncio.run(_crowd(wanted["port"], requests, wanted["seconds"], wanted["each"]))))
        return 0
    result = run(asked.seconds)
    print(json.dumps(result, indent=1) if asked.json else _table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
