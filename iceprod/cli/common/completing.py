"""What the shell offers for an id or a name: asked of the server, in a moment or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from iceprod.cli.common.errors import CommandError
from iceprod.finding import find_client
from iceprod.transport import Client, ClientError

__all__ = ["datasets", "entries", "recos", "scans", "sites"]

_SECONDS = 2.0  # a shell that hangs is worse than one that offers nothing
_SHOWN = 50
_DAYS = 30 * 86400.0

_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _asked(ask: Callable[[Client], Iterator[tuple[str, str]]]) -> _Complete:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        where = [ctx.params.get(name) for name in ("server", "token", "data")]
        try:
            with find_client(*where) as client:
                client._timeout = _SECONDS
                found = [CompletionItem(name, help=about) for name, about in ask(client)
                         if name.startswith(incomplete)]
        except (ClientError, CommandError, KeyError, TypeError):
            return []
        return found[:_SHOWN]

    return complete


def _datasets(client: Client) -> Iterator[tuple[str, str]]:
    keys = "dataset_id|dataset|status|description"
    found: dict[str, dict[str, Any]] = client.get("/datasets", {"keys": keys})
    for row in sorted(found.values(), key=lambda row: -(row.get("dataset") or 0)):
        about = f"{row.get('status')}: {row.get('description', '')}"
        yield str(row.get("dataset")), about
        yield row["dataset_id"], about


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
    for name in sorted({str(grid.get("site") or "") for grid in client.get("/grids").values()} - {""}):
        yield name, ""


def _entries(client: Client) -> Iterator[tuple[str, str]]:
    for row in client.get("/api/v1/schedule/"):
        yield row["name"], row["action"]


datasets, scans, recos = _asked(_datasets), _asked(_scans), _asked(_recos)
sites, entries = _asked(_sites), _asked(_entries)
