"""``iceprod replay``: a night of stored alerts once more, through the whole way."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.replaying import play, stored_alerts, wait_for_report
from iceprod.cli.common.tables import print_table

__all__ = ["replay"]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--speed", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True,
              help="So many times faster than they came.")
@click.option("--longest-pause", type=click.FloatRange(0), default=60.0, show_default=True,
              help="Seconds between two alerts at most.")
@click.option("--name", help="Of the rehearsal [default: the time].")
@click.option("--wait", "patience", type=click.FloatRange(0), default=1800.0, show_default=True,
              help="Seconds to wait for the last map.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object: the report.")
@server_options
def replay(folder: Path, speed: float, longest_pause: float, name: str | None, patience: float, as_json: bool,
           server: str | None, token: str | None, data: str | None) -> int:
    """Play the alerts of DIR (JSON, VOEvents, FITS) through the whole way, and report.

    Their notices are marked as tests and never go to a public target; notices of others make no events on the
    desk. The report has latencies, decisions of the gate, and distances to the references.
    """
    name = name or datetime.now(UTC).strftime("rehearsal-%Y%m%d-%H%M%S")
    if not _NAME.fullmatch(name):
        raise CommandError("--name: up to 60 letters, digits and ._-", USAGE)
    alerts = stored_alerts(folder)
    if not alerts:
        raise CommandError(f"{folder}: no alerts (*.json, *.xml, *.fits) in it", USAGE)
    with connect(server, token, data) as client:
        for alert, answer in play(client, name, alerts, speed, longest_pause):
            told = answer if isinstance(answer, str) else f"{answer['state']} {answer['title']}"
            print(f"{alert.path.name}: {told}", file=sys.stderr if as_json else sys.stdout)
        report = wait_for_report(client, name, patience)
        if as_json:
            print(json.dumps(report))
        else:
            _show(report, f"{client.url}/web/alert_replays/{name}")
    return 0


def _show(report: dict[str, Any], address: str) -> None:
    print()
    rows = [(step.replace("_", " "), *(figures.get(share, "–") for share in ("p50", "p90", "p99")))
            for step, figures in report["latency_seconds"].items()]
    print_table(("seconds from receipt", "50 %", "90 %", "99 %"), rows, "")
    print()
    print_table(("check", "passed", "failed"),
                [(check, one["passed"], one["failed"]) for check, one in report["gate"].items()], "no map")
    print()
    print_table(("event", "state", "reco", "90 % (deg²)", "to online (deg)", "to truth (deg)"), [
        (row["title"], one["state"], one["reco"], *(_number(one[key]) for key in (
            "area_90_deg2", "to_online_deg", "to_truth_deg")))
        for row in report["events"] for one in row["revisions"]], "no event")
    if report["open"]:
        print(f"\n{report['open']} alerts are still at work")
    print(f"\nsee {address}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
