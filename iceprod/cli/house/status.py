"""``iceprod status``: how the server, its pilots and their work are."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import FAILED
from iceprod.client import Client, Refused

__all__ = ["status"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def status(as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Tell how the server is, and what it and its pilots do.

    Exit status 0: healthy, 1: it answers but is not well, 3: it does not answer.
    """
    with connect(server, token, data) as client:
        document = _document(client)
    print(json.dumps(document) if as_json else _text(document))
    return 0 if document["health"]["status"] == "ok" else FAILED


def _document(client: Client) -> dict[str, Any]:
    try:
        health = client.get("/healthz")
    except Refused as error:
        return {"server": client.url, "health": {"status": "error", "reason": error.reason}}
    pilots = client.get("/pilots", {"keys": "pilot_id|site|tasks"})
    backlog = client.get("/scans/backlog")
    return {"server": client.url, "health": health,
            "pilots": dict(Counter(pilot.get("site") or "unknown" for pilot in pilots.values())),
            "tasks_running": sum(len(pilot.get("tasks") or []) for pilot in pilots.values()),
            "tasks": client.get("/task_counts/status"), "datasets": _datasets(client),
            "scans_waiting": len(backlog["entries"])}


def _datasets(client: Client) -> dict[str, int]:
    return {name: len(ids) for name, ids in client.get("/dataset_summaries/status").items()}


def _text(document: dict[str, Any]) -> str:
    health = document["health"]
    lines = [f"server    {document['server']}  {health['status']}"]
    if health["status"] != "ok":
        return "\n".join([*lines, f"reason    {health.get('reason', '')}"])
    if (servers := health.get("servers") or {}).get("processes", 1) > 1:
        lines.append(f"servers   {_servers(servers)}")
    for name in ("pilots", "tasks", "datasets"):
        counts = ", ".join(f"{count} {kind}" for kind, count in document[name].items() if count)
        lines.append(f"{name:<9} {counts or 'none'}")
    return "\n".join([*lines, f"backlog   {document['scans_waiting']} scans wait"])


def _servers(told: dict[str, Any]) -> str:
    here, all_ = told.get("here", 1), told["processes"]
    where = f", {here} behind this address" if here != all_ else ""
    silent = f"; {told['not_heard']} of them not heard by this one" if told.get("not_heard") else ""
    return f"{all_} processes{where}{silent}"
