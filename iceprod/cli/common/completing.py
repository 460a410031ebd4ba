"""What the shell offers for an id or a name: asked of the server, in a moment or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from iceprod.cli.common.errors import CommandError
from iceprod.cli.common.naming import dataset_of
from iceprod.cli.common.talking import claims
from iceprod.finding import find_client
from iceprod.transport import Client, ClientError

__all__ = ["actions", "among", "clusters", "datasets", "entries", "groups", "listed", "recos",
                      "scans", "sites", "tasks"]

_SECONDS = 2.0  # a shell that hangs is worse than one that offers nothing
_SHOWN = 50
_DAYS = 30 * 86400.0

_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def among(words: Iterable[str]) -> _Complete:
    """Offers what is known without asking."""
    return listed(words, separator="")


def listed(words: Iterable[str], separator: str = ",") -> _Complete:
    """The same for a list of them in one word."""
    known = list(words)

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, _, last = incomplete.rpartition(separator) if separator else ("", "", incomplete)
        head = f"{before}{separator}" if before else ""
        return [CompletionItem(head + word) for word in known if word.startswith(last)]

    return complete


def _asked(ask: Callable[[Client], Iterator[tuple[str, str]]]) -> _Complete:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        where = [ctx.params.get(name) for name in ("server", "token", "data")]
        try:
            with find_client(*where) as client:
                client._timeout = _SECONDS
                found = [CompletionItem(name, help=about) for name, about in ask(client)
                         if name.startswith(incomplete)]
        except (ClientError, CommandError, KeyError, TypeError, ValueError):
            return []
        return found[:_SHOWN]

    return complete


def datasets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers; ids for who has typed what no number has, since every sixteenth id begins with a 1."""
    key = "dataset" if not incomplete or incomplete.isdecimal() else "dataset_id"
    return _asked(lambda client: _datasets(client, key))(ctx, param, incomplete)


def _datasets(client: Client, key: str) -> Iterator[tuple[str, str]]:
    keys = "dataset_id|dataset|status|description"
    found: dict[str, dict[str, Any]] = client.get("/datasets", {"keys": keys})
    for row in sorted(found.values(), key=lambda row: -(row.get("dataset") or 0)):
        yield str(row.get(key)), f"{row.get('status')}: {row.get('description', '')}"


def _scans(client: Client) -> Iterator[tuple[str, str]]:
    body = {"filter": {"timestamp": {"$gt": time.time() - _DAYS}}, "limit": 500,
            "manifest_projection": ["scan_id", "event_metadata"]}
    for row in reversed(client.post("/scans/find", body)["manifests"]):
        event = row.get("event_metadata") or {}
        yield row["scan_id"], f"run {event.get('run_id', '?')} event {event.get('event_id', '?')}"


def _recos(client: Client) -> Iterator[tuple[str, str]]:
    for name, reco in client.get("/recos").items():
        yield name, str(reco.get("description", ""))


def _sites(client: Client) -> Iterator[tuple[str, str]]:
    known = [*client.get("/grids").values(), *client.get("/pilots", {"keys": "pilot_id|site"}).values()]
    for name in sorted({str(one.get("site") or "") for one in known} - {""}):
        yield name, ""


def _entries(client: Client) -> Iterator[tuple[str, str]]:
    for row in client.get("/api/v1/schedule/"):
        yield row["name"], row["action"]


def _actions(client: Client) -> Iterator[tuple[str, str]]:
    for action in client.get("/api/v1/capabilities/")["actions"]:
        yield action["name"], action["summary"]


def _groups(client: Client) -> Iterator[tuple[str, str]]:
    for group in claims(client.token).get("groups") or ():
        yield str(group), ""


def _clusters(client: Client) -> Iterator[tuple[str, str]]:
    for name in ("local", *(name for name, _ in _sites(client) if name != "local")):
        yield f"{name}:", "how many workers"


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Datasets first; after ``5.`` the tasks of dataset 5, as many as are offered."""
    dataset, dot, _ = incomplete.partition(".")
    if not dot:
        return [CompletionItem(f"{one.value}.", help=one.help) for one in datasets(ctx, param, incomplete)]
    return _asked(lambda client: _tasks(client, dataset, incomplete))(ctx, param, incomplete)


def _tasks(client: Client, dataset: str, incomplete: str) -> Iterator[tuple[str, str]]:
    chosen = dataset_of(client, dataset)
    job = incomplete.split(".")[1]
    query = {"keys": "job_index|task_index|name|status"}
    if incomplete.count(".") > 1 and job.isdecimal():
        query["job_index"] = job
    rows = client.get(f"/datasets/{chosen}/tasks", query)
    for row in sorted(rows.values(), key=lambda row: (row["job_index"], row["task_index"])):
        yield f"{dataset}.{row['job_index']}.{row['task_index']}", f"{row['name']}, {row['status']}"


scans, recos = _asked(_scans), _asked(_recos)
sites, entries, actions = _asked(_sites), _asked(_entries), _asked(_actions)
groups, clusters = _asked(_groups), _asked(_clusters)
