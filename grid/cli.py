"""The commands ``iceprod pilot`` and ``iceprod grid``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from config.settings import load
from grid import daemon
from grid.pilot import main as pilot_main

__all__ = ["grid", "pilot"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def pilot(arguments: tuple[str, ...]) -> None:
    """Lease tasks from a server and run them here."""
    sys.exit(pilot_main.main(list(arguments)))


@click.command()
@click.option("--server", required=True, metavar="URL", help="The server's address.")
@click.option("--token-file", required=True, type=_FILE, help="Holds the grid's own token (role system).")
@click.option("--pilot-token-file", required=True, type=_FILE, help="Holds the pilots' token (role pilot).")
@click.option("--data", help="Directory of the installation; the pilots' logs go below it.")
@click.option("--pilots", type=click.IntRange(0), help="How many pilots to keep.")
@click.option("--config", type=_FILE, help="YAML file with settings.")
def grid(server: str, token_file: Path, pilot_token_file: Path, data: str | None, pilots: int | None,
         config: Path | None) -> None:
    """Keep pilots running on this machine."""
    settings = load(config)
    count = settings.pilots.count if pilots is None else pilots
    settings = msgspec.structs.replace(settings, data=data or settings.data,
                                       pilots=msgspec.structs.replace(settings.pilots, count=count))
    daemon.run(settings, server, token_file, pilot_token_file)
