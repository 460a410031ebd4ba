"""``iceprod bench start`` (``python -m grid.bench_start``): how long it takes until work begins.

``nothing``     the interpreter alone, beside which all others are to be seen
``help``        ``iceprod --help``
``pilot``       what a pilot imports
``worker``      a pixel worker, until it says that it is ready
``first rows``  the same, until the rows of its first twelve pixels are there; code and tables are kept
``cold rows``   the same on a machine that keeps nothing: the fit is compiled first
``compile …``   each fit by itself, compiled where nothing is kept
``scan``        with ``--scan``: from the start of a pilot, for a scan that waits, to the final map
                and its pictures; code and tables are kept

Each in a process of its own, the best of `--rounds` (but what compiles: once). Processor seconds count what
the process started, too; they depend little on what else the machine does, wall seconds do. The ratio is of
processor seconds to those of ``nothing``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scanner.machine.entry import BUILDER
from scanner.recos.recos import FITS

__all__ = ["Start", "main"]

_PIXELS = list(range(0, 768, 64))


@dataclass(frozen=True)
class Start:
    """What one start cost, seconds."""

    what: str
    wall_s: float
    cpu_s: float
    ratio: float


@dataclass(frozen=True)
class _Spent:
    wall_s: float
    cpu_s: float


def starts(rounds: int, with_scan: bool, light: bool = False) -> Iterator[Start]:
    """All of them, in the order of the table; the light ones are those before anything is fitted."""
    with tempfile.TemporaryDirectory(prefix="iceprod-bench-") as name:
        folder = Path(name)
        kept = folder / "kept"
        nothing = _best(rounds, lambda: _run(["-c", "pass"], kept))

        def start(what: str, spent: _Spent) -> Start:
            ratio = round(spent.cpu_s / nothing.cpu_s, 1)
            return Start(what, round(spent.wall_s, 3), round(spent.cpu_s, 3), ratio)

        yield start("nothing", nothing)
        yield start("help", _best(rounds, lambda: _run(["-m", "iceprod", "--help"], kept)))
        yield start("pilot", _best(rounds, lambda: _run(["-c", "import grid.pilot.main"], kept)))
        yield start("worker", _best(rounds, lambda: _work(b"", kept)))
        if light:
            return
        request = _request(folder / "event.json")
        yield start("cold rows", _work(request, kept))
        yield start("first rows", _best(rounds, lambda: _work(request, kept)))
        for fit in FITS:
            yield start(f"compile {fit}", _run(["-m", BUILDER, fit], folder / f"none-{fit}"))
        if with_scan:
            yield start("scan", _scan(folder))


def _best(rounds: int, once: Callable[[], _Spent]) -> _Spent:
    return min((once() for _ in range(rounds)), key=lambda spent: spent.cpu_s)


def _environment(kept: Path) -> dict[str, str]:
    kept.mkdir(exist_ok=True)
    return {**os.environ, "NUMBA_CACHE_DIR": str(kept)}


@contextlib.contextmanager
def _spending(spent: list[_Spent]) -> Iterator[None]:
    """What all processes spent that were started and waited for inside."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    yield
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spent.append(_Spent(time.perf_counter() - began, cpu))


def _run(arguments: Sequence[str], kept: Path) -> _Spent:
    spent: list[_Spent] = []
    with _spending(spent):
        subprocess.run([sys.executable, *arguments], check=True, env=_environment(kept),
                       stdout=subprocess.DEVNULL)
    return spent[0]


def _request(event: Path) -> bytes:
    subprocess.run([sys.executable, "-m", "iceprod", "simulate", "--seed", "7", "--out", str(event)],
                   check=True, stdout=subprocess.DEVNULL)
    request = {"event_id": "e", "event": json.loads(event.read_bytes()), "reco_algo": "track", "nside": 8,
               "pixels": _PIXELS}
    return json.dumps(request).encode() + b"\n"


def _work(requests: bytes, kept: Path) -> _Spent:
    """A pixel worker from its start to its last answer."""
    spent: list[_Spent] = []
    with _spending(spent):
        done = subprocess.run([sys.executable, "-m", "scanner.worker"], check=True, env=_environment(kept),
                              input=requests, stdout=subprocess.PIPE)
    if requests and len(json.loads(done.stdout.splitlines()[-1]).get("rows", ())) != len(_PIXELS):
        raise RuntimeError(f"the worker answered {done.stdout[-200:]!r}")
    return spent[0]


def _scan(folder: Path) -> _Spent:
    """A scan that waits for its first pilot, from that pilot's start to the final map and its pictures."""
    data, event, token = folder / "data", folder / "event.json", folder / "token"
    variables = _environment(folder / "kept")

    def iceprod(*words: str | Path) -> str:
        return subprocess.run([sys.executable, "-m", "iceprod", *map(str, words)], check=True, env=variables,
                              stdout=subprocess.PIPE, text=True).stdout

    children: list[subprocess.Popen[bytes]] = []
    iceprod("up", "--data", data, "--port", "0", "--no-pilots", "--no-open", "--json")
    try:
        token.write_text(iceprod("token", "--data", data, "--user", "bench", "--roles", "pilot"))
        url = json.loads(iceprod("status", "--data", data, "--json"))["server"]
        scan = subprocess.Popen([sys.executable, "-m", "iceprod", "scan", str(event), "--data", str(data),
                                 "--json", "--out", str(folder)], env=variables, stdout=subprocess.DEVNULL)
        children.append(scan)
        while not _waiting(json.loads(iceprod("status", "--data", data, "--json"))) and scan.poll() is None:
            time.sleep(0.2)
        began = time.perf_counter()
        pilot = subprocess.Popen([sys.executable, "-m", "grid.pilot", "--server", url, "--token-file",
                                  str(token), "--site", "local", "--directory", str(folder)], env=variables)
        children.append(pilot)
        status = scan.wait()
        wall = time.perf_counter() - began
        pilot.terminate()
        _, _, used = os.wait4(pilot.pid, 0)
    finally:
        for child in children:
            child.kill()
        iceprod("down", "--data", data)
    if status:
        raise RuntimeError(f"the scan ended with status {status}")
    return _Spent(wall, used.ru_utime + used.ru_stime)


def _waiting(status: dict[str, Any]) -> bool:
    return any(status.get("tasks", {}).get(name, 0) for name in ("waiting", "queued"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="iceprod bench start", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many [%(default)s]")
    parser.add_argument("--light", action="store_true", help="only what fits and compiles nothing")
    parser.add_argument("--scan", action="store_true", help="also a scan, with a server of its own")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: must be at least 1")
    if options.light and options.scan:
        parser.error("--light leaves out what fits, so it does not go with --scan")
    found: list[Start] = []
    for one in starts(options.rounds, options.scan, options.light):
        found.append(one)
        if not options.json:
            print(f"{one.what:<20} wall {one.wall_s:7.3f} s   processor {one.cpu_s:7.3f} s"
                  f"   ratio {one.ratio:6.1f}", flush=True)
    if options.json:
        print(json.dumps({"load": os.getloadavg()[0], "starts": [asdict(one) for one in found]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
