"""Finding the server that a command talks to, and a token for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from config.settings import Settings
from iceprod.cli.errors import UNREACHABLE, USAGE, CommandError
from iceprod.client import Client
from iceprod.installation import Installation, running_installations

__all__ = ["connect", "server_options"]

_OWN_ROLES = ("admin", "user")


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
    if server:
        return Client(server, token or _own_token(server))
    here = _installation(data)
    running = here.running()
    if running is None:
        raise CommandError(f"nothing runs in {here.data}; start it with `iceprod up --data {here.data}`, "
                           "or name a server with --server URL", UNREACHABLE)
    return Client(running.url, token or _token(here))


def _installation(data: str | None) -> Installation:
    default = Installation(data or Settings().data)
    if data or default.running():
        return default
    found = running_installations()
    if len(found) > 1:
        places = ", ".join(str(one.data) for one in found)
        raise CommandError(f"several installations run: {places}; choose one with --data DIR", USAGE)
    return found[0] if found else default


def _own_token(server: str) -> str:
    """A token for a server of ours; none for any other."""
    for here in running_installations():
        running = here.running()
        if running and running.url.rstrip("/") == server.rstrip("/"):
            return _token(here)
    return ""


def _token(here: Installation) -> str:
    try:
        return here.token("local", *_OWN_ROLES)
    except OSError as error:
        raise CommandError(f"cannot read the secret of {here.data}: {error.strerror}; give a --token",
                           USAGE) from None
