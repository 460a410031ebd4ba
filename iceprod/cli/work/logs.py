"""``iceprod logs``: what a task printed."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import FAILED, CommandError
from iceprod.cli.common.naming import task_of
from iceprod.cli.work.live import Lines, Live
from iceprod.client import Client, Refused

__all__ = ["logs"]

_LOOK_SECONDS = 1.0
_LATE_LOOKS = 3  # an end is known a moment before its logs are
_PATIENCE = 120.0
_OVER = ("complete", "failed", "suspended")

Log = dict[str, Any]


@click.command()
@click.argument("task_id", metavar="TASK", shell_complete=completing.tasks)
@click.option("--name", multiple=True, shell_complete=completing.among(("stdout", "stderr", "stdlog")),
              help="stdout, stderr or stdlog [default: all].")
@click.option("-f", "--follow", is_flag=True,
              help="Stay until the task is over, and print what it prints, some seconds later.")
@click.option("--json", "as_json", is_flag=True,
              help="Print one JSON object; with --follow one a line, at the ends of attempts.")
@server_options
def logs(task_id: str, name: tuple[str, ...], follow: bool, as_json: bool, server: str | None,
         token: str | None, data: str | None) -> int:
    """Print what TASK printed when it ran last: head and tail, if it was long.

    With --follow the exit status is 0 when the task is complete, and 1 when it failed or was suspended.
    """
    with connect(server, token, data) as client:
        task = client.get(f"/tasks/{task_of(client, task_id)}/explain")
        if follow:
            return _follow(client, task, name, Lines() if as_json else Live(name))
        found = _newest(client, task, name)
    if as_json:
        print(json.dumps({"task_id": task["task_id"], "logs": found}))
        return 0
    if not found:
        raise CommandError(f"task {task_id} left no logs" + (f" named {', '.join(name)}" if name else ""))
    for log in found:
        _print(log)
    return 0


def _follow(client: Client, task: dict[str, Any], names: tuple[str, ...], told: Live | Lines) -> int:
    """Print logs as they come, until the task is over; the exit status."""
    seen = set[str]()
    status, looks = "", 0
    while True:
        task = client.get(f"/tasks/{task['task_id']}/explain", patience=_PATIENCE)
        if task["status"] != status:
            status, looks = task["status"], 0
            told.state(status, task["reason"])
        fresh = [log for log in _newest(client, task, names) if log["log_id"] not in seen]
        seen.update(log["log_id"] for log in fresh)
        for log in fresh:
            told.end(log)
        if status == "processing" and told.wants_tails:
            told.show(_tail(client, task))
        looks = looks + 1 if not fresh else _LATE_LOOKS
        if status in _OVER and looks >= _LATE_LOOKS:
            return 0 if status == "complete" else FAILED
        time.sleep(_LOOK_SECONDS)


def _tail(client: Client, task: dict[str, Any]) -> Log:
    """What the running attempt prints just now; nothing from a server that does not tell."""
    path = f"/datasets/{task['dataset_id']}/tasks/{task['task_id']}/log_tail"
    try:
        found: Log = client.get(path, patience=_PATIENCE)
    except Refused as error:
        if error.status != 404:
            raise
        return {}
    return found


def _newest(client: Client, task: dict[str, Any], names: tuple[str, ...]) -> list[Log]:
    """The newest log of each name; none when the task left none yet."""
    path = f"/datasets/{task['dataset_id']}/tasks/{task['task_id']}/logs"
    try:
        found = client.get(path, {"group": "true", "order": "desc"}, patience=_PATIENCE)["logs"]
    except Refused as error:
        if error.status != 404:
            raise
        return []
    return [log for log in found if not names or log["name"] in names]


def _print(log: Log) -> None:
    print(f"== {log['name']} of {log['timestamp']} UTC", file=sys.stderr, flush=True)
    print(log.get("data", ""), end="", flush=True)
