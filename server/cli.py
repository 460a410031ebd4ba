"""The command ``iceprod store``."""

from __future__ import annotations

import sys

import click

from server.embedded import __main__ as embedded

__all__ = ["store"]


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def store(arguments: tuple[str, ...]) -> None:
    """The embedded store by itself: serve, and look after its files."""
    sys.exit(embedded.main(list(arguments)))
