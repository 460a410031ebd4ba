"""``iceprod watch`` and ``iceprod abort``: scans that run already."""

from __future__ import annotations

import json
from pathlib import Path

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.files import check_folder
from iceprod.cli.common.naming import scan_of
from iceprod.cli.sky.scan import finish

__all__ = ["abort", "watch"]


@click.command()
@click.argument("scan_id", metavar="SCAN", shell_complete=completing.scans)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where files go.")
@click.option("--timing", is_flag=True, help="Tell where the time went, too.")
@server_options
def watch(scan_id: str, as_json: bool, out: Path | None, timing: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    """Follow a scan to its end, as `iceprod scan` does."""
    with connect(server, token, data) as client:
        scan_id = scan_of(client, scan_id)
        check_folder(out or Path())
        client.get(f"/scan/{scan_id}/status")  # whether it is one, before anything is said of it
        return finish(client, scan_id, out, as_json, timing=timing)


@click.command()
@click.argument("scan_id", metavar="SCAN", shell_complete=completing.scans)
@click.option("--completed", is_flag=True, help="Delete a scan that has its final result, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def abort(scan_id: str, completed: bool, as_json: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    """End a scan before it is done; what it found so far stays readable."""
    with connect(server, token, data) as client:
        scan_id = scan_of(client, scan_id)
        client.delete(f"/scan/{scan_id}", body={"delete_completed_scan": completed})
    print(json.dumps({"scan_id": scan_id, "aborted": True}) if as_json else f"scan {scan_id} aborted")
    return 0
