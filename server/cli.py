"""The command ``iceprod store``."""

from __future__ import annotations

import sys

import click

from iceprod.cli.passing import Passing
from server.embedded import __main__ as embedded

__all__ = ["store"]


@click.command(cls=Passing, parser=embedded.make_parser)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def store(arguments: tuple[str, ...]) -> None:
    """The embedded store by itself: serve, and look after its files."""
    sys.exit(embedded.main(list(arguments)))
