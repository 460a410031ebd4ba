"""``iceprod bench tasks`` (``python -m grid.bench``): tasks a second from making them to their end.

Everything is measured end to end on this machine: an installation of its own (store, server, everything
durable as in production), a dataset whose jobs have one task each, and pilots as processes.

``empty``    tasks of a configuration without programs: the pilot makes and removes a directory, starts no
             process, and reports. Nearest to a no-op function of the peers that run functions in processes
             that stay (Parsl).
``true``     tasks that run /bin/true: three processes each, as every real task.
``open``     the same without isolation: what the walls around a program cost.
``sleep``    tasks that run ``sleep 0.1``.
``claim``    the time of a claim by REST with so many tasks waiting.
``made``     so many empty tasks are made, and not run.

The pilots register first, and are then stopped (SIGSTOP) while the tasks are made. The rate counts from the
moment when they go on to the last end in the books. Making the tasks is measured by itself; `life` is the
rate over both. `commands` are commands that the server sent to its database while tasks ran, `cpu` the
processor milliseconds of each kind of process (with the processes that it started), both per task.
Peers run their own no-op tasks in the same run, where their packages are installed (see `grid.bench_peers`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from grid.bench_peers import PEERS, measure
from iceprod.client import Client, ClientError, Refused

__all__ = ["Bench", "ClaimFigures", "MakeFigures", "TaskFigures", "Wish", "main", "run", "until"]

KINDS: dict[str, list[dict[str, Any]]] = {
    "empty": [], "true": [{"src": "/bin/true"}], "open": [{"src": "/bin/true"}],
    "sleep": [{"src": "/bin/sleep", "args": ["0.1"]}]}
OPEN = "open"
FRACTION = {"empty": 1.0, "true": 0.2, OPEN: 0.2, "sleep": 0.05}
"""How many tasks of each kind, as a part of the number of empty ones."""
_PATIENCE = 900.0
_LOOK_SECONDS = 0.5  # looks cost the server commands, too
_SETTLE_SECONDS = 1.0  # from a pilot's registration until it asks for tasks
_CLAIMS = 200
_PROCESSES = {"server.embedded": "store", "server": "server", "grid.pilot": "pilots"}


@dataclass(frozen=True)
class TaskFigures:
    """One kind of task: rates in tasks a second, costs per task."""

    kind: str
    tasks: int
    pilots: int
    rate: float
    life: float
    make_rate: float
    commands: float
    cpu: dict[str, float] = field(default_factory=dict)  # milliseconds


@dataclass(frozen=True)
class MakeFigures:
    """Tasks that were made."""

    tasks: int
    seconds: float
    rate: float  # a second
    cpu: dict[str, float] = field(default_factory=dict)  # microseconds of a task


@dataclass(frozen=True)
class ClaimFigures:
    """A claim of one task, in milliseconds."""

    waiting: int
    median: float
    p95: float


@dataclass(frozen=True)
class Wish:
    """What is measured."""

    tasks: int = 20_000
    pilots: int = 8
    kinds: Sequence[str] = tuple(KINDS)
    waiting: Sequence[int] = ()  # claims are timed with so many tasks waiting
    made: Sequence[int] = ()
    peers: Sequence[str] = ()
    peer_tasks: int = 1_000
    servers: int = 1


class Bench:
    """An installation, without pilots if not told otherwise, and what is asked of it."""

    def __init__(self, root: Path, pilots: int = 0, servers: int = 1) -> None:
        self.data = root / "data"
        self.environment = {**os.environ, "XDG_STATE_HOME": str(root / "state"),
                            "ICEPROD__LOGGING__LEVEL": "WARNING", "ICEPROD__PILOTS__CORES": "1"}
        self._run("up", "--data", str(self.data), "--port", "0", "--no-open", "--pilots", str(pilots),
                  "--servers", str(servers))
        running = json.loads((self.data / "up.json").read_text())
        self.supervisor = int(running["pid"])
        self.token = self.data / "bench-token"
        self.token.write_text(self.token_of("admin,user,system,pilot"))
        self.client = Client(running["url"], self.token.read_text(), timeout=120.0)

    def close(self) -> None:
        self.client.close()
        self._run("down", "--data", str(self.data))

    def _run(self, *words: str) -> str:
        return subprocess.run([sys.executable, "-m", "iceprod", *words], env=self.environment, check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def token_of(self, roles: str) -> str:
        """A token with these roles."""
        return self._run("token", "--data", str(self.data), "--user", "bench", "--roles", roles).strip()

    # -- making tasks

    def make(self, kind: str, count: int, site: str = "") -> str:
        """A dataset of so many tasks, ready to run; its id."""
        requirements = {"cpu": 1, "memory": 0.1, "disk": 0.1, "time": 0.1} | ({"site": site} if site else {})
        config = {"version": 3, "tasks": [{"name": kind, "requirements": requirements,
                                           "trays": [{"modules": KINDS[kind]}] if KINDS[kind] else []}]}
        dataset = {"description": f"bench {kind}", "group": "users", "jobs_submitted": count,
                   "tasks_per_job": 1, "tasks_submitted": count, "status": "suspended"}
        dataset_id = str(self.client.post("/datasets", dataset)["result"])
        self.client.put(f"/config/{dataset_id}", config)
        self.client.put(f"/datasets/{dataset_id}/status", {"status": "processing"})
        request = self.client.post("/actions/materialization", {"dataset_id": dataset_id, "num": count})
        path = f"/actions/materialization/{request['result']}"
        until(lambda: self.client.get(path).get("status") in ("complete", "error"))
        until(lambda: sum(self.counts(dataset_id).values()) >= count)
        return dataset_id

    def counts(self, dataset_id: str) -> dict[str, int]:
        found: dict[str, int] = self.client.get(f"/datasets/{dataset_id}/task_counts/status")
        return found

    # -- measuring

    def commands(self) -> float:
        """Commands that the server sent to its database so far."""
        text = self.client.get("/metrics").decode()
        return sum(map(float, re.findall(r"^iceprod_database_commands_total(?:{.*})? (\S+)$", text, re.M)))

    def processor_ms(self, pilots: Sequence[subprocess.Popen[bytes]]) -> dict[str, float]:
        """Processor time so far, of store, server and pilots."""
        supervisor = psutil.Process(self.supervisor)
        roots = [*supervisor.children(), *(psutil.Process(pilot.pid) for pilot in pilots)]
        times: dict[str, float] = dict.fromkeys(_PROCESSES.values(), 0.0)
        for root in roots:
            module = next((word for word in root.cmdline() if word in _PROCESSES), "")
            if module:
                times[_PROCESSES[module]] += sum(map(_milliseconds, [root, *root.children(recursive=True)]))
        return times

    @contextlib.contextmanager
    def pilots(self, count: int, isolation: str) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Pilots of one core each, registered, and stopped."""
        before = len(self.client.get("/pilots", {"keys": "pilot_id"}))
        argv = [sys.executable, "-m", "grid.pilot", "--server", self.client.url, "--token-file",
                str(self.token), "--cores", "1", "--memory", "1", "--no-pixels", "--site", "bench",
                "--isolation", isolation]
        with tempfile.TemporaryDirectory() as work, open(os.devnull, "wb") as nowhere:
            children = [subprocess.Popen([*argv, "--directory", work], stderr=nowhere) for _ in range(count)]
            try:
                until(lambda: len(self.client.get("/pilots", {"keys": "pilot_id"})) >= before + count)
                time.sleep(_SETTLE_SECONDS)
                _signal(children, signal.SIGSTOP)
                yield children
            finally:
                _signal(children, signal.SIGCONT)
                _signal(children, signal.SIGTERM)
                for child in children:
                    child.wait(30)

    def tasks(self, kind: str, count: int, pilots: int) -> TaskFigures:
        """Make tasks and run them."""
        with self.pilots(pilots, "off" if kind == OPEN else "auto") as children:
            began = time.monotonic()
            dataset_id = self.make(kind, count)
            make_seconds = time.monotonic() - began
            commands, cpu = self.commands(), self.processor_ms(children)
            started = time.time()
            _signal(children, signal.SIGCONT)
            until(lambda: self.counts(dataset_id).get("complete", 0) >= count)
            spent, after = self.commands() - commands, self.processor_ms(children)
        seconds = self.last_end(dataset_id) - started
        return TaskFigures(
            kind, count, pilots, rate=round(count / seconds, 1),
            life=round(count / (make_seconds + seconds), 1), make_rate=round(count / make_seconds, 1),
            commands=round(spent / count, 3),
            cpu={name: round((value - cpu[name]) / count, 3) for name, value in after.items()})

    def last_end(self, dataset_id: str) -> float:
        """When the last task ended, in seconds since the epoch."""
        tasks = self.client.get(f"/datasets/{dataset_id}/tasks", {"keys": "status_changed"})
        last = max(task["status_changed"] for task in tasks.values())
        return datetime.fromisoformat(last).replace(tzinfo=UTC).timestamp()

    def made(self, count: int) -> MakeFigures:
        """Make tasks, which nobody runs."""
        began, cpu = time.monotonic(), self.processor_ms([])
        self.make("empty", count)
        seconds, after = time.monotonic() - began, self.processor_ms([])
        return MakeFigures(count, round(seconds, 1), round(count / seconds, 1),
                           {name: round(1000 * (after[name] - cpu[name]) / count, 1)
                            for name in ("store", "server")})

    def claims(self, waiting: int) -> ClaimFigures:
        """Claim and hand back with so many tasks waiting (those that are there count)."""
        missing = waiting - self.client.get("/task_counts/status").get("waiting", 0)
        if missing > 0:
            self.make("empty", missing, site="claims")
        offer = {"cpu": 1, "memory": 4.0, "disk": 10.0, "time": 10.0, "site": "claims"}
        took = []
        for _ in range(_CLAIMS):
            began = time.perf_counter()
            [task] = self.client.post("/task_actions/queue_many", {"num": 1, "requirements": offer})
            took.append(1000 * (time.perf_counter() - began))
            path = f"/tasks/{task['task_id']}/task_actions/evict"
            self.client.post(path, {"instance_id": task["instance_id"]})
        took.sort()
        return ClaimFigures(waiting, round(took[_CLAIMS // 2], 3), round(took[int(0.95 * _CLAIMS)], 3))


def _milliseconds(process: psutil.Process) -> float:
    """Processor time of a process and of those that it waited for."""
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return 1000 * (times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _signal(children: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for child in children:
        child.send_signal(number)


def until(what: Callable[[], Any]) -> Any:
    """Wait until something is so; what it gave then. Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(ClientError):
            if found := what():
                return found
        if time.monotonic() > deadline:
            raise TimeoutError("the measurement did not come to its end")
        time.sleep(_LOOK_SECONDS)


def run(wish: Wish) -> dict[str, Any]:
    """Measure everything; a document with the figures and what the machine is."""
    result: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(),
                    "load": [round(load, 2) for load in os.getloadavg()]}}
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        bench = Bench(Path(root), servers=wish.servers)
        try:
            until(lambda: bench.client.get("/healthz")["servers"]["here"] == wish.servers)
            counts = {kind: max(20, int(wish.tasks * FRACTION[kind])) for kind in wish.kinds}
            result["tasks"] = [asdict(bench.tasks(*kind, wish.pilots)) for kind in counts.items()]
            result["claims"] = [asdict(bench.claims(number)) for number in sorted(wish.waiting)]
            result["made"] = [asdict(bench.made(number)) for number in wish.made]
        finally:
            bench.close()
    result["peers"] = [measure(name, wish.peer_tasks) for name in wish.peers]
    result["machine"]["load_after"] = [round(load, 2) for load in os.getloadavg()]
    return result


def _text(result: dict[str, Any]) -> Iterator[str]:
    for row in result["tasks"]:
        cpu = ", ".join(f"{name} {value:.2f}" for name, value in row["cpu"].items())
        yield (f"{row['kind']:<8} {row['tasks']:>7} tasks  {row['rate']:>8.1f}/s  "
               f"made {row['make_rate']:.0f}/s  life {row['life']:.0f}/s  "
               f"{row['commands']:.2f} commands/task  CPU ms/task: {cpu}")
    for row in result["claims"]:
        yield f"claim    {row['waiting']:>7} waiting  median {row['median']:.2f} ms  95 % {row['p95']:.2f} ms"
    for row in result["made"]:
        cpu = ", ".join(f"{name} {value:.1f}" for name, value in row["cpu"].items())
        yield f"made     {row['tasks']:>7} tasks  {row['rate']:>8.1f}/s  {row['seconds']} s  µs/task: {cpu}"
    for row in result["peers"]:
        rate = f"{row['rate']:.1f}/s" if row.get("rate") else f"not measured: {row['reason']}"
        rate += f"  life {row['life']:.0f}/s" if row.get("life") else ""
        rate += f"  CPU ms/task: {row['cpu']:.2f}" if row.get("cpu") else ""
        yield f"{row['peer']:<12} {row.get('version', ''):<10} {row.get('tasks', 0):>6} tasks  {rate}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="iceprod bench tasks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", type=int, default=Wish.tasks, help="empty tasks to run")
    parser.add_argument("--pilots", type=int, default=Wish.pilots)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--waiting", type=int, nargs="*", default=[1_000, 10_000, 100_000],
                        help="claims are timed with so many tasks waiting")
    parser.add_argument("--made", type=int, nargs="*", default=[],
                        help="make so many tasks, and do not run them")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--peer-tasks", type=int, default=Wish.peer_tasks)
    parser.add_argument("--servers", type=int, default=Wish.servers, help="processes of the server")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if min([given.servers, *given.made]) < 1:
        parser.error("--servers and --made must be 1 or more")
    try:
        result = run(Wish(given.tasks, given.pilots, given.kinds, given.waiting, given.made, given.peers,
                          given.peer_tasks, given.servers))
    except (ClientError, Refused, TimeoutError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=1) if given.json else "\n".join(_text(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
