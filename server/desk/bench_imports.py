"""Measures what an import of galaxies costs: a file of any length in the format of GLADE+, and a table.

    python -m server.desk.bench_imports --rows 1000000 --json

A server and an embedded store run as processes of their own, in a temporary directory; the galaxies lie
evenly over the sky, in no order. The file is imported twice: the second time every galaxy is there already.
`server_seconds` and `store_seconds` are what these computed, which other programs do not change;
`glade_minutes` is both for the 22.5 million rows of GLADE+ at the rate of the last tenth, when the store is
fullest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.request import Request, urlopen

import numpy as np
import psutil

from iceprod.tokens import encode, read_secret
from server.benching import memory, start_server, start_store

__all__ = ["main", "run"]

GLADE_ROWS = 22_500_000
AT_ONCE = 10_000
PERIOD = 0.5  # seconds between looks at how far it is


@dataclass(frozen=True)
class ImportCost:
    """What one import cost."""

    name: str
    rows: int
    outcome: str
    wall_seconds: float
    server_seconds: float  # of the processor
    store_seconds: float
    glade_minutes: float  # of the processor, see above


def run(rows: int, table: int) -> dict[str, Any]:
    """Import and measure; the figures, with what they were measured on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        folder = Path(directory)
        (folder / "server" / "catalogs").mkdir(parents=True)
        with (folder / "server" / "catalogs" / "GLADE+.txt").open("w") as file:
            _write(file, rows)
        url, store = start_store(stack, folder)
        port, server = start_server(stack, folder, url)
        token = encode(read_secret(folder / "server" / "secret"), "bench", ["admin"], groups=["bench"])
        desk = _Desk(f"http://127.0.0.1:{port}", token, server, store)
        found = [desk.imported("table", "/api/galaxy_catalog/ascii",
                               {"catalogName": "bench", "catalogData": _table(table)}),
                 desk.imported("GLADE+", "/api/galaxy_catalog/glade", {}),
                 desk.imported("GLADE+ again", "/api/galaxy_catalog/glade", {})]
        return {"machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
                           f"{platform.release()}, Python {platform.python_version()}",
                "load": os.getloadavg()[0], "megabytes": memory(server, store),
                "store_megabytes": sum(path.stat().st_size for path in (folder / "store").iterdir()) >> 20,
                "imports": [asdict(item) for item in found]}


class _Desk:
    """The desk's API, as far as it is needed, with the processes that serve it."""

    def __init__(self, url: str, token: str, *processes: psutil.Process) -> None:
        self.url, self.token, self.processes = url, token, processes

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the desk answers to a GET, or to a POST of a body."""
        data = None if body is None else json.dumps(body).encode()
        asked = Request(self.url + path, data, {"Authorization": f"Bearer {self.token}"})
        with urlopen(asked, timeout=600) as answer:
            return json.load(answer)["data"]

    def imported(self, name: str, path: str, body: dict[str, Any]) -> ImportCost:
        """Have something imported, and wait for its end."""
        begun, before = time.monotonic(), self._computed()
        self.ask(path, body)
        marks = [(0, 0.0)]
        while True:
            job = self.ask("/api/catalogs/imports")[0]
            server, store = (after - one for after, one in zip(self._computed(), before, strict=True))
            marks.append((int(job["progress"].get("rows", 0)), server + store))
            if not job["status"].startswith(("pending", "running")):
                break
            time.sleep(PERIOD)
        cost = ImportCost(name, marks[-1][0], job["status"], round(time.monotonic() - begun, 1),
                          round(server, 2), round(store, 2), _minutes(marks))
        print(cost, file=sys.stderr)
        return cost

    def _computed(self) -> list[float]:
        return [sum(process.cpu_times()[:2]) for process in self.processes]


def _minutes(marks: Sequence[tuple[int, float]]) -> float:
    """Processor time for all of GLADE+ in minutes, at the rate of the last tenth."""
    rows, seconds = marks[-1]
    first = next(mark for mark in marks if mark[0] >= 0.9 * rows or mark is marks[-2])
    return round((seconds - first[1]) / max(rows - first[0], 1) * GLADE_ROWS / 60, 1)


def _galaxies(rows: int, seed: int) -> Iterator[tuple[int, float, float, float]]:
    """Number, place (degrees) and distance (Mpc)."""
    random = np.random.default_rng(seed)
    for start in range(0, rows, AT_ONCE):
        size = min(AT_ONCE, rows - start)
        columns = (random.uniform(0, 360, size), np.degrees(np.arcsin(random.uniform(-1, 1, size))),
                   random.uniform(1, 2000, size))
        yield from zip(range(start, start + size), *(column.tolist() for column in columns), strict=True)


def _write(file: TextIO, rows: int) -> None:
    """Lines as GLADE+ has them, with the columns that most of its galaxies have."""
    for number, ra, dec, distance in _galaxies(rows, seed=4):
        cells = ["null"] * 40
        cells[0], cells[7], cells[8], cells[9] = str(number), "G", f"{ra:.8f}", f"{dec:.8f}"
        cells[10], cells[18], cells[35] = f"{distance % 7 + 12:.3f}", f"{distance % 5 + 10:.3f}", "1.25"
        cells[27], cells[32], cells[33] = f"{distance / 4300:.6f}", f"{distance:.6f}", f"{distance / 20:.6f}"
        file.write(" ".join(cells) + "\n")


def _table(rows: int) -> str:
    lines = (f"bench {number},{ra:.6f},{dec:.6f},{distance:.3f},{distance / 4300:.6f},{distance % 7 + 12:.2f}"
             for number, ra, dec, distance in _galaxies(rows, seed=5))
    return "\n".join(["name,ra,dec,distmpc,redshift,magb", *lines])


def _text(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}, load {result['load']:.1f}; memory in MB: {result['megabytes']}, "
             f"store on disk {result['store_megabytes']} MB",
             f"{'':<14}{'rows':>10}{'server s':>10}{'store s':>10}{'wall s':>10}{'GLADE+ min':>12}"]
    lines += [f"{row['name']:<14}{row['rows']:>10}{row['server_seconds']:>10.2f}{row['store_seconds']:>10.2f}"
              f"{row['wall_seconds']:>10.1f}{row['glade_minutes']:>12.1f}  {row['outcome']}"
              for row in result["imports"]]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m server.desk.bench_imports", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the file (1000000)")
    parser.add_argument("--table", type=int, default=10_000, help="rows of the table (10000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    result = run(asked.rows, asked.table)
    print(json.dumps(result, indent=1) if asked.json else _text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
