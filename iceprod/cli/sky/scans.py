"""``iceprod scans``: which scans there are, and how far they are."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import click

from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.tables import print_table, share
from iceprod.client import Client

__all__ = ["scans"]

_DAY = 86400.0
_TITLES = ("number", "scan_id", "started (UTC)", "run", "event", "state", "pixels", "RA (deg)", "Dec (deg)")
_FIELDS = ["scan_id", "timestamp", "event_metadata", "is_deleted"]


@click.command()
@click.option("--days", type=click.FloatRange(0), default=7.0, show_default=True, help="Not older than that.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def scans(days: float, limit: int, as_json: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    """List scans, the newest last: their events, states, and best fits so far."""
    wanted = {"filter": {"timestamp": {"$gt": time.time() - days * _DAY}}, "manifest_projection": _FIELDS}
    with connect(server, token, data) as client:
        found = client.post("/scans/find", wanted, patience=10)["manifests"]
        found.sort(key=lambda manifest: manifest["timestamp"])
        rows = [_row(client, manifest) for manifest in found[-limit:]]
    if as_json:
        print(json.dumps({"scans": rows}))
        return 0
    print_table(_TITLES, [
        (row["number"], row["scan_id"], row["started"], row["run_id"], row["event_id"], row["state"],
         share(row["pixels"], row["pixels_total"]), row["ra_deg"], row["dec_deg"]) for row in rows],
        f"there is no scan of the last {days:g} days")
    return 0


def _row(client: Client, manifest: dict[str, Any]) -> dict[str, Any]:
    progress = client.get(f"/scan/{manifest['scan_id']}/progress", patience=10)
    event, best = manifest.get("event_metadata") or {}, progress["best_fit"] or {}
    started = datetime.fromtimestamp(manifest["timestamp"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    return {"number": progress.get("number"), "scan_id": manifest["scan_id"], "started": started,
            "run_id": event.get("run_id"), "event_id": event.get("event_id"), "state": progress["state"],
            "pixels": progress["pixels_done"], "pixels_total": progress["pixels_total"],
            "ra_deg": best.get("ra_deg"), "dec_deg": best.get("dec_deg"),
            "is_final": progress["is_final"]}
