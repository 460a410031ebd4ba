"""``iceprod logs``: what a task printed."""

from __future__ import annotations

import json
import sys

import click

from iceprod.cli.connection import connect, server_options
from iceprod.cli.errors import CommandError

__all__ = ["logs"]


@click.command()
@click.argument("task_id", metavar="TASK")
@click.option("--name", multiple=True, help="stdout, stderr or stdlog [default: all].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def logs(task_id: str, name: tuple[str, ...], as_json: bool, server: str | None, token: str | None,
         data: str | None) -> int:
    """Print what TASK printed when it ran last: head and tail, if it was long."""
    with connect(server, token, data) as client:
        dataset_id = client.get(f"/tasks/{task_id}/explain")["dataset_id"]
        query = {"group": "true", "order": "desc"}
        found = client.get(f"/datasets/{dataset_id}/tasks/{task_id}/logs", query)["logs"]
    chosen = [log for log in found if not name or log["name"] in name]
    if as_json:
        print(json.dumps({"task_id": task_id, "logs": chosen}))
        return 0
    if not chosen:
        raise CommandError(f"task {task_id} left no logs" + (f" named {', '.join(name)}" if name else ""))
    for log in chosen:
        print(f"== {log['name']} of {log['timestamp']} UTC", file=sys.stderr)
        print(log.get("data", ""), end="")
    return 0
