"""``iceprod grid --config site.yaml`` and the administrator's commands: list, pause, drain, limit, resume."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import click

from config.settings import Settings
from grid.base import GridError, PilotClass
from grid.condor.decide import Decision
from grid.condor.service import SiteService, hold_site
from grid.condor.site import Site, load_site
from grid.pilot.options import TokenFile
from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import FAILED, USAGE, CommandError
from iceprod.cli.common.tables import print_table
from iceprod.client import Client
from iceprod.installation import running_installations

__all__ = ["COMMANDS", "dry_run", "run_site"]


def run_site(path: Path, level: str = "INFO") -> int:
    """Run the grid of a site until SIGTERM; the exit status.

    Raises SettingsError, ClientError, CommandError.
    """
    site = load_site(path)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with hold_site(_directory(site)), _client(site) as client:
            service = SiteService(site, client, _directory(site))
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda number, frame: service.ending.set())
            service.run()
    except GridError as error:
        raise CommandError(str(error), FAILED) from None
    return 0


def dry_run(path: Path, *, as_json: bool = False) -> int:
    """Print what the grid would do now, and why; the exit status. Raises as `run_site`."""
    site = load_site(path)
    try:
        with _client(site) as client:
            service = SiteService(site, client, _directory(site))
            service.open()
            service.register(announce=False)
            service.look()
            decision = service.consider()
            if as_json:
                print(json.dumps(_document(site, service, decision)))
                return FAILED if service.told_trouble else 0
            _print(site, service, decision)
            if service.told_trouble:
                raise CommandError(f"the grid that runs has trouble: {service.told_trouble}", FAILED)
            return 0
    except GridError as error:
        raise CommandError(str(error), FAILED) from None


def _client(site: Site) -> Client:
    """A client of the site's server, with the grid's token. Raises CommandError."""
    if site.token_file:
        return Client(site.server, TokenFile(Path(site.token_file).expanduser()))
    if token := os.environ.get("ICEPROD_TOKEN"):
        return Client(site.server, token)
    for here in running_installations():
        running = here.running()
        if running and running.url.rstrip("/") == site.server:
            return Client(site.server, here.token(f"grid-{site.site}", "system"))
    raise CommandError("the site file names no token_file, which must hold a token of the role system; "
                       "make one with: iceprod token --user NAME --roles system", USAGE)


def _directory(site: Site) -> Path:
    base = Path(site.state).expanduser() if site.state else Path(Settings().data) / "condor" / site.site
    return base.absolute()


def _counts(service: SiteService) -> dict[str, int]:
    return dict(sorted(Counter(pilot.state for pilot in service.pilots).items()))


def _document(site: Site, service: SiteService, decision: Decision) -> dict[str, Any]:
    """What `_print` tells, for programs."""
    orders = [{"count": order.count, "cores": order.shape.cores, "memory_gb": order.shape.memory_gb,
               "disk_gb": order.shape.disk_gb, "gpus": order.shape.gpus,
               "lifetime_hours": order.shape.lifetime_hours} for order in decision.submit]
    return {"site": site.site, "schedd": service.schedd.name, "pilots": _counts(service), "submit": orders,
            "remove": list(decision.remove), "drain": list(decision.drain), "reasons": list(decision.reasons),
            "unserved": [{"waiting": one.waiting, "text": one.text, "why": one.why}
                         for one in decision.unserved], "trouble": service.told_trouble}


def _print(site: Site, service: SiteService, decision: Decision) -> None:
    present = ", ".join(f"{number} {state}" for state, number in _counts(service).items()) or "none"
    print(f"site {site.site} at {service.schedd.name} ({service.schedd.version})")
    print(f"pilots: {present}")
    for order in decision.submit:
        print(f"would submit {order.count} of {_shape(order.shape)}")
    for verb, ids in (("remove", decision.remove), ("drain", decision.drain)):
        if ids:
            print(f"would {verb} {len(ids)}: {', '.join(ids)}")
    if not (decision.submit or decision.remove or decision.drain):
        print("would do nothing")
    for reason in decision.reasons:
        print(f"because: {reason}")
    for one in decision.unserved:
        print(f"cannot serve {one.waiting} tasks {one.text}: {one.why}")


def _shape(shape: PilotClass) -> str:
    gpus = f", {shape.gpus} GPUs" if shape.gpus else ""
    return (f"{shape.cores} cores, {shape.memory_gb:g} GB memory, {shape.disk_gb:g} GB disk{gpus}, "
            f"{shape.lifetime_hours:g} h")


# -- what administrators do


_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command("list")
@_json_option
@server_options
def list_sites(as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Show all sites: their pilots, and what troubles them."""
    with connect(server, token, data) as client:
        grids = sorted(client.get("/grids").values(), key=lambda grid: str(grid.get("site", "")))
    if as_json:
        print(json.dumps({"grids": grids}))
    else:
        _print_sites(grids)
    return 0


def _site_row(grid: dict[str, Any]) -> tuple[Any, ...]:
    control, pilots = grid.get("control") or {}, grid.get("pilots")
    counts = (" ".join(f"{name}:{number}" for name, number in sorted(pilots.items()))
              if isinstance(pilots, dict) else str(pilots or ""))
    return (grid.get("site") or grid.get("host", ""), ",".join(grid.get("queues") or {}),
            control.get("state", "active") if grid.get("alive", True) else "silent", control.get("limit"),
            counts, str(grid.get("last_update", ""))[:19])


def _print_sites(grids: list[dict[str, Any]]) -> None:
    print_table(("site", "queue", "state", "limit", "pilots", "last heard of (UTC)"),
                [_site_row(grid) for grid in grids], "no grid has registered")
    for grid in grids:
        if (control := grid.get("control") or {}).get("starts"):
            starts, ends = control["starts"][:16], control["ends"][:16]
            print(f"{grid.get('site')}: maintenance from {starts} to {ends} UTC")
        if grid.get("trouble"):
            print(f"{grid.get('site') or grid.get('host', '')}: {grid['trouble']}")


@click.command()
@click.argument("site", shell_complete=completing.sites)
@click.option("--reason", default="", help="Shown to everybody who looks at the site.")
@_json_option
@server_options
def pause(site: str, reason: str, as_json: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    """Submit no more pilots to a site; those there go on."""
    return _wish(site, "paused", reason, as_json, server, token, data)


@click.command()
@click.argument("site", shell_complete=completing.sites)
@click.option("--reason", default="", help="Shown to everybody who looks at the site.")
@_json_option
@server_options
def drain(site: str, reason: str, as_json: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    """Empty a site: its pilots finish their tasks and leave."""
    return _wish(site, "draining", reason, as_json, server, token, data)


@click.command()
@click.argument("site", shell_complete=completing.sites)
@click.option("--starts", required=True, metavar="TIME", help="UTC, such as 2026-02-01T06:00.")
@click.option("--ends", required=True, metavar="TIME", help="UTC.")
@click.option("--reason", default="", help="Shown to everybody who looks at the site.")
@_json_option
@server_options
def maintenance(site: str, starts: str, ends: str, reason: str, as_json: bool, server: str | None,
                token: str | None, data: str | None) -> int:
    """Announce a maintenance: no pilot lives into it, none is there while it lasts, then they come back."""
    with connect(server, token, data) as client:
        for grid_id, grid in _named(client, site):
            wanted = _control(grid) | {"state": "active", "reason": reason, "starts": starts, "ends": ends}
            client.put(f"/grids/{grid_id}/control", wanted)
    told = {"site": site, "starts": starts, "ends": ends}
    print(json.dumps(told) if as_json else f"site {site} has maintenance from {starts} to {ends} UTC")
    return 0


@click.command()
@click.argument("site", shell_complete=completing.sites)
@_json_option
@server_options
def resume(site: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Take a pause, a drain or a maintenance back; a limit stays."""
    return _wish(site, "active", "", as_json, server, token, data)


@click.command()
@click.argument("site", shell_complete=completing.sites)
@click.argument("pilots", type=click.IntRange(0), required=False)
@_json_option
@server_options
def limit(site: str, pilots: int | None, as_json: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    """Allow a site so many PILOTS at most; without a number, as many as its site file says."""
    with connect(server, token, data) as client:
        for grid_id, grid in _named(client, site):
            wanted = _control(grid) | {"limit": pilots}
            client.put(f"/grids/{grid_id}/control", wanted)
    text = f"site {site}: {'no limit' if pilots is None else f'at most {pilots} pilots'}"
    print(json.dumps({"site": site, "limit": pilots}) if as_json else text)
    return 0


def _wish(site: str, state: str, reason: str, as_json: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    with connect(server, token, data) as client:
        for grid_id, grid in _named(client, site):
            client.put(f"/grids/{grid_id}/control", _control(grid) | {"state": state, "reason": reason})
    print(json.dumps({"site": site, "state": state}) if as_json else f"site {site} is {state}")
    return 0


def _control(grid: dict[str, object]) -> dict[str, object]:
    present = grid.get("control")
    known = present if isinstance(present, dict) else {}
    return {name: known[name] for name in ("state", "limit", "reason") if name in known}


def _named(client: Client, site: str) -> list[tuple[str, dict[str, object]]]:
    """The grids of a site; mostly one. Raises CommandError."""
    grids = client.get("/grids")
    found = [(id, grid) for id, grid in grids.items() if site in (id, grid.get("site"))]
    if not found:
        known = sorted({str(grid["site"]) for grid in grids.values() if grid.get("site")})
        raise CommandError(f"no site {site!r}; known: {', '.join(known) or 'none'}", USAGE)
    return found


COMMANDS = [list_sites, pause, drain, maintenance, resume, limit]
