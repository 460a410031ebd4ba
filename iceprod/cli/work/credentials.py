"""``iceprod credentials``: what tasks are lent to reach storage; secrets come from a file or from typing."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.naming import dataset_of
from iceprod.cli.common.tables import print_table
from iceprod.cli.common.talking import claims
from iceprod.client import Client

__all__ = ["credentials"]

_SECRETS = {"s3": ("access_key", "secret_key"), "oauth": ("access_token", "refresh_token")}
_ALL = {name for names in _SECRETS.values() for name in names}
_LINE = re.compile(r"(?:aws_)?(access_key|secret_key|access_token|refresh_token|secret_access_key)(?:_id)?"
                   r"\s*[=:]\s*(\S+)", re.ASCII)


@click.group()
def credentials() -> None:
    """Keep credentials for storage: yours, a group's or a dataset's."""


def _whose(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--task", default="", metavar="NAME", help="With --dataset: for tasks of that name."),
        click.option("--dataset", default="", metavar="DATASET",
                     shell_complete=completing.datasets, help="Those of a dataset."),
        click.option("--group", default="", metavar="NAME",
                     shell_complete=completing.groups, help="Those of a group of yours."),
        click.option("--user", default="", metavar="NAME", help="Those of a user; without all these yours."),
    ):
        command = option(command)
    return command


@credentials.command("list")
@_whose
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def show(user: str, group: str, dataset: str, task: str, as_json: bool, server: str | None,
         token: str | None, data: str | None) -> int:
    """List credentials; their secrets are not shown."""
    with connect(server, token, data) as client:
        found = client.get(_path(client, user, group, dataset, task), {"norefresh": "1"})
    rows = [{name: value for name, value in row.items() if name not in _ALL}
            for _, row in sorted(found.items())]
    if as_json:
        print(json.dumps({"credentials": rows}))
        return 0
    print_table(("url", "type", "for", "ends (UTC)"),
                [(row["url"], row["type"], _what_for(row), _time(row.get("expiration"))) for row in rows],
                "no credential is kept")
    return 0


@credentials.command("add")
@click.argument("url")
@click.option("--type", "kind", type=click.Choice(["s3", "oauth"]), help="Else s3 when buckets are named.")
@click.option("--bucket", "buckets", multiple=True, help="Of S3; may be repeated.")
@click.option("--region", default="", help="Of S3.")
@click.option("--prefix", default="", metavar="URL", help="Of the files that it is for, if not URL itself.")
@click.option("--scope", default="", help="Of a token.")
@click.option("--secret-file", type=click.File("r"), metavar="FILE",
              help="A token, a JSON object, or lines such as access_key = …; - is standard input. "
                   "Without it you are asked.")
@click.option("--replace", is_flag=True, help="Put it in the place of the one that is kept for URL.")
@_whose
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def add(url: str, kind: str | None, buckets: tuple[str, ...], region: str, prefix: str, scope: str,
        secret_file: Any, replace: bool, user: str, group: str, dataset: str, task: str, as_json: bool,
        server: str | None, token: str | None, data: str | None) -> int:
    """Keep a credential for the storage at URL. Its secret never stands on the command line."""
    kind = kind or ("s3" if buckets else "oauth")
    if kind == "s3" and not buckets:
        raise CommandError("--bucket: S3 needs one at least", USAGE)
    secrets = _read(secret_file.read(1_000_000), kind) if secret_file else _asked(kind)
    given = {"buckets": list(buckets), "region": region, "transfer_prefix": prefix, "scope": scope}
    body = {"url": url, "type": kind, **{name: value for name, value in given.items() if value}, **secrets}
    with connect(server, token, data) as client:
        path = _path(client, user, group, dataset, task)
        if replace and url in client.get(path, {"norefresh": "1"}):
            client.delete(f"{path}?{urlencode({'url': url})}")
        client.post(path, body)
    print(json.dumps({"url": url, "type": kind}) if as_json else f"kept for {url}")
    return 0


@credentials.command("remove")
@click.argument("url")
@_whose
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def remove(url: str, user: str, group: str, dataset: str, task: str, as_json: bool, server: str | None,
           token: str | None, data: str | None) -> int:
    """Forget the credentials for URL."""
    with connect(server, token, data) as client:
        path = _path(client, user, group, dataset, task)
        if url not in client.get(path, {"norefresh": "1"}):
            raise CommandError(f"no credential is kept for {url}")
        client.delete(f"{path}?{urlencode({'url': url})}")
    print(json.dumps({"url": url}) if as_json else f"forgot {url}")
    return 0


def _path(client: Client, user: str, group: str, dataset: str, task: str) -> str:
    """Where the owner's credentials are. Raises CommandError unless there is one owner."""
    if sum(map(bool, (user, group, dataset))) > 1 or (task and not dataset):
        raise CommandError("name one of --user, --group and --dataset; --task goes with --dataset", USAGE)
    if group:
        return f"/groups/{quote(group, safe='')}/credentials"
    if dataset:
        of_task = f"/tasks/{quote(task, safe='')}" if task else ""
        return f"/datasets/{quote(dataset_of(client, dataset), safe='')}{of_task}/credentials"
    return f"/users/{quote(user or _own_name(client), safe='')}/credentials"


def _own_name(client: Client) -> str:
    """Whom the token names, as the server reads it; the server decides whether that is so."""
    said = claims(client.token)
    if name := said.get("username") or said.get("preferred_username") or said.get("sub"):
        return str(name)
    raise CommandError("--user: the token does not tell whose it is", USAGE)


def _read(text: str, kind: str) -> dict[str, str]:
    """The secrets of a file. Raises CommandError, which shows none of them."""
    try:
        given = json.loads(text)
    except ValueError:
        given = {name.replace("secret_access", "secret"): value for name, value in _LINE.findall(text)}
    if not isinstance(given, dict) or (not given and kind == "oauth"):
        words = text.split()
        given = {"access_token": words[0]} if kind == "oauth" and len(words) == 1 else {}
    found = {name: given[name] for name in _SECRETS[kind] if isinstance(given.get(name), str) and given[name]}
    if not found or (kind == "s3" and len(found) < 2):
        what = " and ".join(_SECRETS[kind]) if kind == "s3" else "token"
        raise CommandError(f"--secret-file: it has no {what}; expected a JSON object or lines such as "
                           "access_key = …", USAGE)
    return found


def _what_for(row: dict[str, Any]) -> str:
    return " ".join(row.get("buckets") or []) or str(row.get("transfer_prefix") or "")


def _time(seconds: float | None) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}" if seconds else ""


def _asked(kind: str) -> dict[str, str]:
    """The secrets as they are typed, unseen."""
    if not sys.stdin.isatty():
        raise CommandError("--secret-file: name a file, or - for standard input", USAGE)
    names = _SECRETS[kind] if kind == "s3" else ("access_token",)
    return {name: click.prompt(name.replace("_", " "), hide_input=True) for name in names}
