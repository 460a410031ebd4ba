"""``iceprod sites`` and ``iceprod pilots``: where tasks run."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from typing import Any

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.tables import print_table
from iceprod.ids import now, timestamp

__all__ = ["pilots", "sites"]

_RESOURCES = ("cpu", "gpu", "memory", "disk")
_UNITS = {"memory": " GB", "disk": " GB"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def sites(as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """List sites: their pilots, what these offer and run, and what is quarantined or away."""
    with connect(server, token, data) as client:
        rows = _by_site(client.get("/pilots"))
        barred = client.get("/quarantine")["quarantine"]
        grids = sorted(_troubled(client.get("/grids")), key=lambda grid: grid["site"])
        tests = client.get("/site_tests")["sites"]
        away = [row for row in client.get("/breakers")["breakers"] if row["state"] == "open"]
    if as_json:
        print(json.dumps({"sites": rows, "quarantine": barred, "breakers": away, "grids": grids,
                          "tests": tests}))
        return 0
    print_table(("site", "pilots", "tasks", "cores", "GPUs", "memory (GB)", "disk (GB)"),
                [(row["site"], row["pilots"], row["tasks"], *(row["offered"][name] for name in _RESOURCES))
                 for row in rows], "no pilot is registered")
    for site, tested in tests.items():
        last = "passed" if tested["last"]["passed"] else f"did not: {tested['last']['reason']}"
        print(f"site {site}: passed {tested['passed']} of {tested['tests']} tests of the last week; the "
              f"last, at {tested['last']['time'][:19]} UTC, {last}")
    for grid in grids:
        if grid["trouble"]:
            print(f"site {grid['site']}: {grid['trouble']}")
        for host in grid["excluded_hosts"]:
            print(f"site {grid['site']}: no pilots to {host['host']} for {host['seconds'] / 60:.0f} min: "
                  f"{host['reason']}")
    for row in barred:
        until = f" until {row['until']} UTC" if row["state"] == "quarantined" else " (tried again)"
        print(f"{row['kind']} {row['name']}: {row['state']}{until}: {row['reason']}")
    for row in away:
        print(f"{row['resource']}: away since {row['since'][:19]} UTC, {row['parked_tasks']} tasks wait, "
              f"next probe {(row['next_probe'] or 'by hand')[:19]}: {row['reason']}")
    return 0


def _troubled(grids: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The grids that something is wrong with: silent ones, those that cannot start pilots, bad machines."""
    rows = []
    forgotten = timestamp(now() - timedelta(days=3))
    for grid in grids.values():
        last = str(grid.get("last_update", ""))
        if last < forgotten:
            continue
        silent = "" if grid.get("alive", True) else f"its grid is silent since {last[:19]} UTC"
        row = {"site": str(grid.get("site") or grid.get("host", "")),
               "trouble": silent or grid.get("trouble") or "",
               "excluded_hosts": [] if silent else grid.get("excluded_hosts") or []}
        if row["trouble"] or row["excluded_hosts"]:
            rows.append(row)
    return rows


def _by_site(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for pilot in found.values():
        groups[pilot.get("site") or "unknown"].append(pilot)
    return [{"site": site, "pilots": len(members),
             "tasks": sum(len(pilot.get("tasks") or ()) for pilot in members),
             "offered": {name: round(sum(pilot["resources"].get(name) or 0 for pilot in members), 1)
                         for name in _RESOURCES}}
            for site, members in sorted(groups.items())]


@click.command()
@click.option("--site", shell_complete=completing.sites, help="Of this site alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def pilots(site: str | None, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """List pilots: where they are, what they run, and when they were last heard of."""
    with connect(server, token, data) as client:
        found = list(client.get("/pilots", {"site": site} if site else None).values())
    found.sort(key=lambda pilot: (pilot.get("site") or "", pilot.get("host") or "", pilot["pilot_id"]))
    if as_json:
        print(json.dumps({"pilots": found}))
        return 0
    print_table(("pilot", "site", "resource", "host", "tasks", "free", "last heard of (UTC)"),
                [(pilot["pilot_id"], pilot.get("site", ""), pilot.get("resource", ""), pilot.get("host", ""),
                  len(pilot.get("tasks") or ()), _free(pilot), pilot["last_update"]) for pilot in found],
                "no pilot is registered")
    return 0


def _free(pilot: dict[str, Any]) -> str:
    free = pilot.get("resources_available") or pilot["resources"]
    return ", ".join(f"{name} {free[name]:g}{_UNITS.get(name, '')}" for name in _RESOURCES if free.get(name))
