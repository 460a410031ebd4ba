"""Measures how fast galaxies are imported: a table as users send it, and a file in the format of GLADE+.

    python -m server.desk.bench_imports --rows 1000000 --json

An embedded store runs as a process of its own, in a temporary directory; the importer runs here. The rows
lie evenly over the sky. `processor_seconds` is what importer and store computed together, which other
programs do not change; `glade_hours` are the processor time and the time on the clock, extrapolated to the
22.5 million rows of GLADE+.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil

from config.settings import Database, Settings
from server.benching import start_store
from server.desk.common.access import Visitor
from server.desk.common.jobs import INDEXES as JOBS
from server.desk.objects import galaxies, galaxy_imports
from server.rest.context import Context
from server.store.database import connect, ensure_indexes

__all__ = ["main", "run"]

GLADE_ROWS = 22_500_000
TABLE_ROWS = 10_000
_AT_ONCE = 10_000


def run(rows: int) -> dict[str, Any]:
    """Import and measure; the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        url, store = start_store(stack, Path(directory))
        settings = msgspec.structs.replace(Settings(), data=directory)
        return asyncio.run(_measured(settings, url, store, rows))


async def _measured(settings: Settings, url: str, store: psutil.Process, rows: int) -> dict[str, Any]:
    db = connect(Database(url=url, name="bench"))
    await ensure_indexes(db, [*galaxies.INDEXES, *JOBS])
    ctx, who = Context(settings, db, "s" * 48), Visitor(1, "bench")
    _write_glade(Path(settings.data), settings.catalogs.folder, rows)
    table = "name,ra,dec,distmpc,magb\n" + "".join(
        f"table-{number},{ra:.6f},{dec:.6f},{number % 400 + 1},17.5\n"
        for number, ra, dec in _places(TABLE_ROWS, 1))
    found: dict[str, Any] = {"rows": rows, "load": os.getloadavg()[0]}
    for name in ("table", "table_again"):
        found[name] = await _timed(store, _import_table(ctx, who, table))
    for name in ("glade", "glade_again"):
        found[name] = await _timed(store, _import_glade(ctx, who))
    share = GLADE_ROWS / rows / 3600
    found["glade_hours"] = {name: round(found["glade"][name] * share, 2)
                            for name in ("processor_seconds", "seconds")}
    found["stored"] = await db.desk_galaxies.estimated_document_count()
    await db.client.close()
    return found


async def _import_table(ctx: Context, who: Visitor, table: str) -> None:
    await galaxy_imports.add_table(ctx, who, "bench", table)
    await galaxy_imports.SERVICES[0].run(ctx)


async def _import_glade(ctx: Context, who: Visitor) -> None:
    await galaxy_imports.start_glade(ctx, who, galaxy_imports.GLADE_FILE, None)
    await galaxy_imports.SERVICES[1].run(ctx)


async def _timed(store: psutil.Process, task: Awaitable[None]) -> dict[str, float]:
    started, spent = time.monotonic(), time.process_time() + _processor(store)
    await task
    return {"seconds": round(time.monotonic() - started, 2),
            "processor_seconds": round(time.process_time() + _processor(store) - spent, 2)}


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _write_glade(data: Path, folder: str, rows: int) -> None:
    (data / folder).mkdir(exist_ok=True)
    with (data / folder / galaxy_imports.GLADE_FILE).open("w") as file:
        for number, ra, dec in _places(rows, 2):
            file.write(f"{number} null null null null null null G {ra:.8f} {dec:.8f} 17.31 0.1 null null "
                       "null null null null 14.12 0.1 null null null null null null null 0.03 1 0 1 null "
                       f"{number % 400 + 0.25} 12.1 1 0.75 0.1 null null null\n")


def _places(count: int, seed: int) -> Iterator[tuple[int, float, float]]:
    """Numbered directions that lie evenly over the sky."""
    random = np.random.default_rng(seed)
    for start in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - start)
        dec = np.degrees(np.arcsin(random.uniform(-1, 1, size))).tolist()
        yield from zip(range(start, start + size), random.uniform(0, 360, size).tolist(), dec, strict=True)


def _text(found: dict[str, Any]) -> str:
    lines = [f"{'':<22}{'processor s':>12}{'seconds':>10}"]
    names = {"table": f"table of {TABLE_ROWS}", "table_again": "the same again",
             "glade": f"GLADE+, {found['rows']}", "glade_again": "the same again"}
    lines += [f"{text:<22}{found[name]['processor_seconds']:>12.2f}{found[name]['seconds']:>10.2f}"
              for name, text in names.items()]
    hours = found["glade_hours"]
    return "\n".join([*lines, f"GLADE+ whole, in hours {hours['processor_seconds']:>11.2f}"
                      f"{hours['seconds']:>10.2f}   (load {found['load']:.1f})"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m server.desk.bench_imports", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the file of GLADE+ (1000000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    result = run(asked.rows)
    print(json.dumps(result, indent=1) if asked.json else _text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
