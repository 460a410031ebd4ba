"""``iceprod doctor``: whether an installation is sound, and what to do where it is not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from config.settings import load
from iceprod.checks.examination import examine
from iceprod.checks.findings import Finding, State
from iceprod.checks.subject import Subject
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import FAILED, USAGE, CommandError
from iceprod.finding import OWN_ROLES, OWN_USER, NoServer, find_installation
from iceprod.installation import Installation
from iceprod.transport import Client

__all__ = ["doctor"]

_FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


@click.command()
@click.option("--config", type=_FILE, help="YAML settings that the server is started with.")
@click.option("--site", "sites", multiple=True, type=_FILE, help="Site file of a grid; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def doctor(config: Path | None, sites: tuple[Path, ...], as_json: bool, server: str | None, token: str | None,
           data: str | None) -> int:
    """Examine an installation: machine, server, proxy, certificate, database, HTCondor; say what to do.

    It changes nothing. On the server's machine it sees most; with --server it sees what clients see.
    Exit status 0: nothing is wrong, 1: something is.
    """
    subject = _subject(config, sites, server, token, data)
    findings = []
    for finding in examine(subject):
        findings.append(finding)
        if not as_json:
            _print(finding)
    counts = Counter(finding.state for finding in findings)
    if as_json:
        print(json.dumps({"wrong": counts[State.WRONG], "odd": counts[State.ODD],
                          "findings": msgspec.to_builtins(findings)}))
    else:
        print(f"{counts[State.WRONG]} wrong, {counts[State.ODD]} odd, {counts[State.OK]} well")
    return FAILED if counts[State.WRONG] else 0


def _subject(config: Path | None, sites: tuple[Path, ...], server: str | None, token: str | None,
             data: str | None) -> Subject:
    """What is meant by the options. Raises SettingsError, CommandError."""
    settings = load(config)
    try:
        here = find_installation(data or (settings.data if config else None))
    except NoServer as error:
        raise CommandError(str(error), USAGE) from None
    subject = Subject(msgspec.structs.replace(settings, data=str(here.data)), None, sites)
    client = _client(here, server or settings.server.public_url, token or _own_token(subject, here))
    if not (subject.is_here or client or sites):
        raise CommandError(f"there is nothing to examine: no installation in {here.data}, no --server URL, "
                           "no --site FILE", USAGE)
    return replace(subject, client=client)


def _own_token(subject: Subject, here: Installation) -> str | None:
    """A token of the secret in this directory, which the server should have, too; None without one."""
    try:
        return here.token(OWN_USER, *OWN_ROLES) if subject.is_here else None
    except OSError:
        return None


def _client(here: Installation, server: str, token: str | None) -> Client | None:
    """A client of the server that is meant; None where there is none."""
    try:
        return connect(server, token, str(here.data))
    except CommandError:
        return None


def _print(finding: Finding) -> None:
    """Say it as it comes, for some checks take seconds."""
    print(f"{finding.state:<8}  {finding.check:<12} {finding.text}", flush=True)
    if finding.advice:
        print(f"{'':<23}→ {finding.advice}", flush=True)
