"""``iceprod bench pilots`` (``python -m grid.bench_pilots``): what thousands of pilots cost one server.

An installation of its own (store, server, everything durable as in production) and pilots of one core, each
over a connection of its own. They are the pilot's own code (see `grid.crowd`) but run nothing: a task is held
until it is told to end. What they go through is a scenario:

``steady``   all wait for tasks and there are none (rest); all hold one and say no more than that they live
             (beats); tasks end and others are claimed, so many a second (work)
``restart``  the server is killed while all work (before), until all were heard of (killed), and after that
``return``   a site loses its network (away), less long than leases last; all its pilots come back at once,
             until all were heard of (back), and after that
``both``     one after the other

Processor times are those of server and store; that of a heartbeat is all that is spent while pilots do no
more, divided by their number. A claim takes from the request to the answer that brings tasks. A lease is lost
when the task was taken from a pilot that held it, a report when the server does not know of an end that its
pilot told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import msgspec

from grid.bench import Bench
from grid.bench_scenarios import SCENARIOS, Plan, play
from grid.crowd.driving import Crowds, NoCrowd
from iceprod.client import ClientError

__all__ = ["main", "run"]

_OF_A_PROCESS = 5_000  # pilots
_SITE_PART = 0.3  # of all pilots are at the site that comes back
_FILES = 200  # of a process, besides connections


def run(plan: Plan) -> dict[str, Any]:
    """Measure; a document with the figures and what the machine is.

    Raises ClientError, NoCrowd, OSError, TimeoutError.
    """
    _raise_limit(plan.pilots)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(),
               "load": [round(load, 2) for load in os.getloadavg()]}
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        bench = Bench(Path(root))
        try:
            token_file = Path(root) / "token"
            token_file.write_text(bench.token_of("pilot"))
            crowds = Crowds(bench.client.url, token_file, -(-plan.pilots // _OF_A_PROCESS))
            try:
                figures = play(plan, bench, crowds)
            finally:
                crowds.close()
        finally:
            bench.close()
    machine["load_after"] = [round(load, 2) for load in os.getloadavg()]
    return {"machine": machine, **msgspec.to_builtins(plan), **msgspec.to_builtins(figures)}


def _raise_limit(pilots: int) -> None:
    """Have a file for each connection, and our children, too. Raises OSError when the system has too few."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < pilots + _FILES:
        raise OSError(f"{pilots} pilots need as many open files; the limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _text(result: dict[str, Any]) -> Iterator[str]:
    yield (f"{result['pilots']} pilots, a heartbeat every {result['heartbeat_seconds']:g} s; "
           f"all registered after {result['joined_seconds']:.0f} s")
    yield from map(_phase_text, result["phases"])
    if result["scenario"] == "steady":
        yield (f"CPU     a heartbeat {result['beat_ms']:.2f} ms, "
               f"a report and a claim {result['turn_ms']:.2f} ms")
    yield f"lost    {result['lost_leases']} leases, {result['lost_reports']} reports"
    yield (f"server  {result['cpu_per_pilot_hour']:.2f} s of CPU for a pilot's hour; at most "
           f"{result['server_files']} files, {result['server_mb']:.0f} MB, "
           f"{result['server_kb_per_pilot']:.0f} kB for a pilot")
    yield f"pilots  {result['pilot_kb']:.0f} kB each"


def _phase_text(phase: dict[str, Any]) -> str:
    refused = ", ".join(f"{why} {number}" for why, number in phase["refused"].items())
    return (f"{phase['name']:<7} {phase['seconds']:>4.0f} s  server {100 * phase['server_core']:.1f} % and "
            f"store {100 * phase['store_core']:.1f} % of a core (pilots {100 * phase['pilots_core']:.0f} %)  "
            f"{phase['beats']} heartbeats  {phase['claims'] / phase['seconds']:.1f} claims/s  "
            f"median {phase['claim_p50_ms']:.0f} ms  99 % {phase['claim_p99_ms']:.0f} ms  "
            f"next task 99 % {phase['turn_p99_ms']:.0f} ms"
            + (f"  not answered: {refused}" if refused else ""))


def _plan(given: argparse.Namespace) -> Plan:
    away = given.scenario in ("return", "both")
    site_pilots = given.site_pilots or int(_SITE_PART * given.pilots)
    return Plan(given.scenario, given.pilots, given.seconds, given.rate,
                site_pilots if away else 0, given.away if away else 0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="iceprod bench pilots", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scenario", choices=SCENARIOS, default="steady")
    parser.add_argument("--pilots", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    parser.add_argument("--rate", type=float, default=50.0, help="tasks that end a second")
    parser.add_argument("--site-pilots", type=int, default=0,
                        help="of the site that comes back (default: three tenths of all)")
    parser.add_argument("--away", type=float, default=90.0, help="seconds that the site is away")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if min(given.pilots, given.seconds, given.rate) <= 0 or given.away < 0:
        parser.error("--pilots, --seconds and --rate have to be more than 0")
    if not 0 <= given.site_pilots < given.pilots:
        parser.error("--site-pilots has to be less than --pilots")
    try:
        result = run(_plan(given))
    except (ClientError, NoCrowd, OSError, TimeoutError, CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=1) if given.json else "\n".join(_text(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
