"""``iceprod rescan`` and ``iceprod workers``: more for scans that there are."""

from __future__ import annotations

import json
from pathlib import Path

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.files import check_folder
from iceprod.cli.common.naming import scan_of
from iceprod.cli.sky.scan import finish

__all__ = ["rescan", "workers"]


@click.command()
@click.argument("scan_id", metavar="SCAN", shell_complete=completing.scans)
@click.option("--abort-first", is_flag=True, help="End the old scan before.")
@click.option("--replace", is_flag=True, help="Send users of the old scan on to the new one.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where files go.")
@server_options
def rescan(scan_id: str, abort_first: bool, replace: bool, as_json: bool, out: Path | None,
           server: str | None, token: str | None, data: str | None) -> int:
    """Scan an event once more, as SCAN_ID did, and follow the new scan to its end.

    Pixels that the old scan has finished are taken over.
    """
    body = {"abort_first": abort_first, "replace_scan": replace, "no_redirect": True}
    with connect(server, token, data) as client:
        scan_id = scan_of(client, scan_id)
        check_folder(out or Path())
        made = client.post(f"/scan/{scan_id}/actions/rescan", body)
        return finish(client, made["scan_id"], out, as_json)


@click.command()
@click.argument("scan_id", metavar="SCAN", shell_complete=completing.scans)
@click.argument("site", shell_complete=completing.sites)
@click.argument("number", type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def workers(scan_id: str, site: str, number: int, as_json: bool, server: str | None, token: str | None,
            data: str | None) -> int:
    """Ask SITE for NUMBER more workers for a running scan."""
    body = {"n_workers": number, "cluster_location": site}
    with connect(server, token, data) as client:
        scan_id = scan_of(client, scan_id)
        added = client.post(f"/scan/{scan_id}/actions/add-workers", body)
    print(json.dumps(added) if as_json else f"asked {site} for {number} more workers for scan {scan_id}")
    return 0
