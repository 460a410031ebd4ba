"""``iceprod web``: the web pages of an installation on this machine, logged in."""

from __future__ import annotations

import json
import os
import sys
import webbrowser

import click

from config.settings import Settings
from iceprod.cli.common import completing
from iceprod.cli.common.errors import UNREACHABLE, USAGE, CommandError
from iceprod.finding import OWN_ROLES, OWN_USER, NoServer, find_installation
from iceprod.installation import Installation
from iceprod.tokens import ROLES

__all__ = ["login_address", "open_page", "web"]


@click.command()
@click.option("--data", metavar="DIR",
              help=f"Directory of the installation [default: {Settings().data}, or the only one that runs].")
@click.option("--user", default=OWN_USER, show_default=True, metavar="NAME", help="Who logs in.")
@click.option("--roles", default=",".join(OWN_ROLES), show_default=True, metavar="R,R",
              shell_complete=completing.listed(ROLES),
              help="What they may do.")
@click.option("--page", default="/web/", show_default=True, metavar="PATH", help="Which page.")
@click.option("--no-open", is_flag=True, help="Only print the address.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def web(data: str | None, user: str, roles: str, page: str, no_open: bool, as_json: bool) -> int:
    """Print an address that logs a browser in, and open it where there is a browser.

    It works once, for ten minutes. Whoever has it until then is logged in as NAME, so do not pass it on.
    """
    names = [name.strip() for name in roles.split(",") if name.strip()]
    for name in names:
        if name not in ROLES:
            raise CommandError(f"--roles: unknown role {name!r}; known: {', '.join(ROLES)}", USAGE)
    try:
        here = find_installation(data)
    except NoServer as error:
        raise CommandError(str(error), USAGE) from None
    address = login_address(here, user, *names, page=page)
    if not address:
        raise CommandError(f"nothing runs in {here.data}; start it with `iceprod up --data {here.data}`",
                           UNREACHABLE)
    print(json.dumps({"address": address, "user": user, "roles": names}) if as_json else address, flush=True)
    if not (no_open or as_json):
        open_page(address)
    return 0


def login_address(here: Installation, user: str = OWN_USER, *roles: str, page: str = "/web/") -> str:
    """An address that logs in once; empty when nothing runs. Raises CommandError."""
    try:
        return here.login_address(user, *(roles or OWN_ROLES), target=page)
    except OSError as error:
        raise CommandError(f"cannot read the secret of {here.data}: {error.strerror}", USAGE) from None


def open_page(address: str) -> None:
    """Open a page in a browser with windows, when a person sits before one."""
    if sys.stdout.isatty() and (sys.platform == "darwin" or os.environ.get("DISPLAY")
                                or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(address)
