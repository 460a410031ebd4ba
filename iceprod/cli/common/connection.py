"""Finding the server that a command talks to, and a token for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from iceprod.cli.common.errors import UNREACHABLE, USAGE, CommandError
from iceprod.cli.common.talking import TalkingClient
from iceprod.client import Client
from iceprod.finding import NoServer, find_client

__all__ = ["connect", "server_options"]


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that talks to a server."""
    for option in (
        click.option("--data", metavar="DIR", help="Directory of an installation on this machine."),
        click.option("--token", metavar="T", envvar="ICEPROD_TOKEN", help="Access token [$ICEPROD_TOKEN]."),
        click.option("--server", metavar="URL", envvar="ICEPROD_SERVER",
                     help="Address of the server [$ICEPROD_SERVER; else what runs on this machine]."),
    ):
        command = option(command)
    return command


def connect(server: str | None, token: str | None, data: str | None) -> Client:
    """A client of the named server, or of the one that runs on this machine.

    Raises CommandError when there is none, or no telling which.
    """
    try:
        return find_client(server, token, data, make=TalkingClient)
    except NoServer as error:
        raise CommandError(str(error), UNREACHABLE if error.nothing_runs else USAGE) from None
