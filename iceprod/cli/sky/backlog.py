"""``iceprod backlog``: scans that wait for their start, and those that could not be started."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.naming import scan_of
from iceprod.cli.common.tables import print_table

__all__ = ["backlog"]

_TITLES = ("scan", "since (UTC)", "priority", "tries")


@click.command()
@click.option("--revive", metavar="SCAN", shell_complete=completing.scans,
              help="Try a scan again that could not be started.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
@server_options
def backlog(revive: str | None, as_json: bool, server: str | None, token: str | None,
            data: str | None) -> int:
    """Show which scans wait for their start, first to start first, and which were given up, and why."""
    with connect(server, token, data) as client:
        if revive is not None:
            client.post(f"/scan/{scan_of(client, revive)}/actions/revive", {})
        waiting = client.get("/scans/backlog")["entries"]
        given_up = client.get("/scans/dead-letters")["entries"]
    if as_json:
        print(json.dumps({"waiting": waiting, "given_up": given_up}))
        return 0
    print_table(_TITLES, [_row(entry) for entry in waiting], "no scan waits")
    if given_up:
        print("\ngiven up; try one again with `iceprod backlog --revive SCAN`")
        print_table((*_TITLES, "reason"),
                    [(*_row(entry), entry["reason"]) for entry in given_up], "")
    return 0


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    since = datetime.fromtimestamp(entry["timestamp"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    return entry["scan_id"], since, entry["priority"], entry["next_attempt"]
