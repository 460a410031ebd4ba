"""Measures the way of alerts: from the receipt of an event to its published map.

    iceprod bench alert --events DIR [--json]

An installation of its own runs in a temporary directory, with pilots and one target, a folder. Each event is
handed in when the one before is published; the first warms the pilots up and is not counted. Figures are
percentiles of seconds from the receipt; beside them stands where these went, step by step, and what load the
machine had meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from iceprod.cli.common.replaying import Stored, play, stored_alerts, wait_for_report
from iceprod.client import Client
from iceprod.finding import find_client
from server.alerts.way.accounts import WORDS
from server.scans.pixels.timing import STEPS

__all__ = ["main", "run"]

PATIENCE = 600.0  # seconds for one event


def run(events: Path, rounds: int, pilots: int, second: str = "") -> dict[str, Any]:
    """Hand in each event so many times; the report. `second` names a second reconstruction."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder)
        _iceprod(root, "up", "--data", str(root / "data"), "--port", "0", "--pilots", str(pilots),
                 environment=_environment(root, second))
        try:
            with find_client(None, None, str(root / "data")) as client:
                return _measured(client, stored_alerts(events), rounds)
        finally:
            _iceprod(root, "down", "--data", str(root / "data"))


def _measured(client: Client, alerts: list[Stored], rounds: int) -> dict[str, Any]:
    _one(client, "warm-up", alerts[0])
    reports = [_one(client, f"bench-{number}-{place}", alert)
               for number in range(rounds) for place, alert in enumerate(alerts)]
    rows = [row for report in reports for row in report["events"]]
    accounts = [account for row in rows if (account := client.get(f"/alerts/{row['alert_id']}")["account"])]
    steps: dict[str, list[float]] = {}
    for row in rows:
        for step, seconds in row["seconds"].items():
            steps.setdefault(step, []).append(seconds)
    return {"alerts": len(rows), "load": os.getloadavg()[0], "cores": os.cpu_count(),
            "states": [row["state"] for row in rows],
            "seconds": {step: _spread(values) for step, values in steps.items()},
            "account": {part: _spread([one[part] for one in accounts]) for part in (accounts or [{}])[0]}}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "worst": max(values)}


def _one(client: Client, name: str, alert: Stored) -> dict[str, Any]:
    list(play(client, name, [alert]))
    report = wait_for_report(client, name, PATIENCE)
    end = time.monotonic() + 30
    while time.monotonic() < end and not all("published" in row["seconds"] for row in report["events"]
                                             if row["state"] == "done"):
        time.sleep(0.2)
        report = wait_for_report(client, name, PATIENCE)
    return report


def _environment(root: Path, second: str) -> dict[str, str]:
    steps = [{"reco": "track_mpe"}, *([{"reco": second, "nsides": "8:0,64:12"}] if second else [])]
    target = {"kind": "folder", "address": str(root / "out")}
    return {"ICEPROD__ALERTS__TARGETS": json.dumps({"bench": target}),
            "ICEPROD__ALERTS__RULES": json.dumps({"bench": {"steps": steps}})}


def _iceprod(root: Path, *words: str, environment: dict[str, str] | None = None) -> None:
    subprocess.run([sys.executable, "-m", "iceprod", *words], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, **(environment or {}), "XDG_STATE_HOME": str(root / "state")})


def main() -> int:
    """Print the figures as text or as JSON; 2 when there are no events."""
    parser = argparse.ArgumentParser(prog="iceprod bench alert", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=Path, required=True, metavar="DIR", help="folder of events")
    parser.add_argument("--rounds", type=int, default=3, help="[%(default)s]")
    parser.add_argument("--pilots", type=int, default=2, help="[%(default)s]")
    parser.add_argument("--second", default="", metavar="RECO", help="a second reconstruction, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    with contextlib.suppress(OSError):
        found = stored_alerts(options.events)
    if not found:
        print(f"iceprod bench alert: no events in {options.events}", file=sys.stderr)
        return 2
    figures = run(options.events, options.rounds, options.pilots, options.second)
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"{figures['alerts']} alerts, {figures['cores']} cores, load {figures['load']:.1f}")
    for step, one in figures["seconds"].items():
        print(f"  {step:<12} median {one['median']:6.2f} s   worst {one['worst']:6.2f} s")
    print("where the time to the first published map went")
    for part, one in figures["account"].items():
        words = STEPS.get(part) or WORDS.get(part, "nothing of these")
        print(f"  {part:<12} median {one['median']:6.3f} s   worst {one['worst']:6.3f} s   {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
