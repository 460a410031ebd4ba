"""``iceprod token``: make an access token for an installation on this machine."""

from __future__ import annotations

import json

import click

from config.settings import Settings, Tokens
from iceprod.cli.common import completing
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.finding import NoServer, find_installation
from iceprod.installation import Installation
from iceprod.tokens import ROLES

__all__ = ["token"]


@click.command()
@click.option("--data", metavar="DIR",
              help=f"Directory of the installation [default: {Settings().data}, or the only one that runs].")
@click.option("--user", required=True, metavar="NAME", help="Whom the token names.")
@click.option("--roles", default="", metavar="R,R",
              shell_complete=completing.listed(ROLES),
              help=f"Of: {', '.join(ROLES)}. None: valid, may nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=Tokens().hours,
              show_default=True, help="How long it is valid.")
def token(data: str | None, user: str, roles: str, as_json: bool, hours: float) -> int:
    """Print a token that the installation's server accepts."""
    names = [name.strip() for name in roles.split(",") if name.strip()]
    for name in names:
        if name not in ROLES:
            raise CommandError(f"--roles: unknown role {name!r}; known: {', '.join(ROLES)}", USAGE)
    here = _installation(data)
    if not here.data.is_dir():
        raise CommandError(f"{here.data} does not exist; `iceprod up --data {here.data}` makes one", USAGE)
    try:
        made = here.token(user, *names, hours=hours)
    except OSError as error:
        raise CommandError(f"cannot read the secret of {here.data}: {error.strerror}", USAGE) from None
    print(json.dumps({"token": made, "user": user, "roles": names, "hours": hours}) if as_json else made)
    return 0


def _installation(data: str | None) -> Installation:
    usual = Installation(data or Settings().data)
    if data or usual.data.is_dir():
        return usual
    try:
        return find_installation(None)
    except NoServer as error:
        raise CommandError(str(error), USAGE) from None
