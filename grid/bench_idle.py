"""``iceprod bench idle`` (``python -m grid.bench_idle``): what an installation with nothing to do costs.

It starts an installation of its own with pilots of one core, waits until they wait for tasks, and watches for
some seconds: the processor time of every process, and how often its threads wake up. Looking costs the
watched nothing: the kernel counts (proc(5): the times of a process, and the times that a thread gave up its
core by itself, which is once for every time that it woke up). What the server sent to its database
meanwhile, by command, tells what its own wake-ups are for; the two looks at that are not left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from grid.bench import Bench, until
from iceprod.client import Client, ClientError

__all__ = ["IdleFigures", "Part", "main", "run"]

_PARTS = {"server.embedded": "store", "server": "server", "grid.pilot": "pilot", "grid": "grid",
          "iceprod.supervisor": "supervisor", "scanner.worker": "pixel worker"}
_COMMAND = re.compile(r'^iceprod_database_commands_total\{command="(\w+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """One process: the share of a core that it took, and how often its threads woke up, the busiest first."""

    name: str
    core: float
    wakes: float  # a second
    threads: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class IdleFigures:
    """An installation at rest; `commands` are those that the server sent to its database, a second."""

    pilots: int
    seconds: float
    core: float
    wakes: float
    parts: list[Part]
    commands: dict[str, float]


@dataclass(frozen=True)
class _Look:
    """A process as the kernel has counted it so far."""

    seconds: float  # of a processor
    wakes: dict[int, int]  # by thread

    @staticmethod
    def at(process: psutil.Process) -> _Look:
        wakes = {}
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                words = (thread / "status").read_text().split()
                wakes[int(thread.name)] = int(words[words.index("voluntary_ctxt_switches:") + 1])
        times = process.cpu_times()
        return _Look(times.user + times.system, wakes)

    def part(self, name: str, before: _Look, seconds: float) -> Part:
        """What became of it since another look, so many seconds ago."""
        woke = sorted(((wakes - before.wakes.get(thread, 0)) / seconds
                       for thread, wakes in self.wakes.items()), reverse=True)
        return Part(name, round((self.seconds - before.seconds) / seconds, 5), round(sum(woke), 2),
                    [round(rate, 2) for rate in woke if rate])


def _name_of(process: psutil.Process) -> str:
    """Which part a process is."""
    words = process.cmdline()
    return next((_PARTS[word] for word in words if word in _PARTS), " ".join(words[:3]) or process.name())


def _looks(processes: Iterable[psutil.Process]) -> dict[psutil.Process, _Look]:
    """A look at each that is still there: some only look how programs can be started here, and end."""
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                found[process] = _Look.at(process)
    return found


def _commands(client: Client) -> dict[str, float]:
    """Commands that the server sent to its database so far, by name."""
    return {name: float(number) for name, number in _COMMAND.findall(client.get("/metrics").decode())}


def _number_waiting(client: Client) -> int:
    """Pilots that could take a task: before, they prepare for pixels, which is work."""
    known = client.get("/pilots", {"keys": "pilot_id|resources_available"})
    return sum(bool((pilot.get("resources_available") or {}).get("slots")) for pilot in known.values())


def measure(bench: Bench, pilots: int, seconds: float, settle: float) -> IdleFigures:
    """Watch a running installation for so many seconds, once its pilots have waited for `settle`."""
    until(lambda: _number_waiting(bench.client) >= pilots)
    time.sleep(settle)
    commands = _commands(bench.client)
    supervisor = psutil.Process(bench.supervisor)
    processes = [supervisor, *supervisor.children(recursive=True)]
    before, began = _looks(processes), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    parts = [look.part(_name_of(process), before[process], took)
             for process, look in _looks(before).items()]
    spent = {name: round((number - commands.get(name, 0.0)) / took, 2)
             for name, number in _commands(bench.client).items() if number > commands.get(name, 0.0)}
    return IdleFigures(pilots, round(took, 1), round(sum(part.core for part in parts), 5),
                       round(sum(part.wakes for part in parts), 1),
                       sorted(parts, key=lambda part: part.core, reverse=True),
                       dict(sorted(spent.items(), key=lambda item: -item[1])))


def run(pilots: int, seconds: float, settle: float) -> dict[str, Any]:
    """Measure an installation of its own; a document with the figures and what the machine is."""
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        bench = Bench(Path(root), pilots)
        try:
            figures = measure(bench, pilots, seconds, settle)
        finally:
            bench.close()
    machine = {"cores": os.cpu_count(), "python": platform.python_version(),
               "load": [round(load, 2) for load in os.getloadavg()]}
    return {"machine": machine, **asdict(figures)}


def _text(result: dict[str, Any]) -> Iterator[str]:
    yield (f"{result['pilots']} pilots, {result['seconds']:g} s with nothing to do: "
           f"{result['core']:.2%} of a core, {result['wakes']:g} wake-ups a second")
    for part in result["parts"]:
        threads = " ".join(f"{rate:g}" for rate in part["threads"][:8])
        yield (f"{part['name']:<14} {part['core']:>7.2%} of a core  {part['wakes']:>6g} wake-ups/s  "
               f"({threads})")
    said = ", ".join(f"{name} {rate:g}" for name, rate in result["commands"].items())
    yield f"database commands a second: {said or 'none'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="iceprod bench idle", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pilots", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to watch")
    parser.add_argument("--settle", type=float, default=20.0, help="how long to let it come to rest before")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if given.pilots < 0 or given.seconds <= 0 or given.settle < 0:
        parser.error("--pilots and --settle must be 0 or more, --seconds more than 0")
    if not Path("/proc/self/status").exists():
        parser.error("needs /proc, where the kernel tells what processes do")
    try:
        result = run(given.pilots, given.seconds, given.settle)
    except (ClientError, TimeoutError, psutil.NoSuchProcess, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=1) if given.json else "\n".join(_text(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
