"""The commands ``iceprod pilot`` and ``iceprod grid``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from config.settings import load
from grid import daemon
from grid.condor import cli as condor
from grid.condor.site import is_site_file
from grid.pilot import main as pilot_main
from iceprod.cli.common.passing import Passing

__all__ = ["grid", "pilot"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=Passing, parser=pilot_main.make_parser)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def pilot(arguments: tuple[str, ...]) -> None:
    """Lease tasks from a server and run them here."""
    sys.exit(pilot_main.main(list(arguments)))


@click.group(invoke_without_command=True)
@click.option("--server", metavar="URL", help="The server's address.")
@click.option("--token-file", type=_FILE, help="Holds the grid's own token (role system).")
@click.option("--pilot-token-file", type=_FILE, help="Holds the pilots' token (role pilot).")
@click.option("--data", help="Directory of the installation; the pilots' logs go below it.")
@click.option("--pilots", type=click.IntRange(0), help="How many pilots to keep.")
@click.option("--config", type=_FILE, help="YAML file: of an HTCondor site, else with settings.")
@click.option("--dry-run", is_flag=True, help="Print what the site's grid would do now, and why.")
@click.pass_context
def grid(ctx: click.Context, server: str | None, token_file: Path | None, pilot_token_file: Path | None,
         data: str | None, pilots: int | None, config: Path | None, dry_run: bool) -> None:
    """Keep pilots running: on an HTCondor pool, or on this machine.

    `iceprod grid --config site.yaml` serves the HTCondor access point that the site file describes.
    The commands below are for administrators of the server.
    """
    if ctx.invoked_subcommand is not None:
        return
    if config is not None and is_site_file(config):
        (condor.dry_run if dry_run else condor.run_site)(config)
        return
    if dry_run:
        raise click.UsageError("--dry-run needs a site file: --config site.yaml")
    if server is None or token_file is None or pilot_token_file is None:
        raise click.UsageError("give a site file with --config, or --server, --token-file and "
                               "--pilot-token-file for pilots on this machine")
    settings = load(config)
    count = settings.pilots.count if pilots is None else pilots
    settings = msgspec.structs.replace(settings, data=data or settings.data,
                                       pilots=msgspec.structs.replace(settings.pilots, count=count))
    daemon.run(settings, server, token_file, pilot_token_file, config)


for _command in condor.COMMANDS:
    grid.add_command(_command)
