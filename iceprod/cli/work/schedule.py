"""``iceprod schedule``: what runs at which times, and how it went."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.tables import print_table
from iceprod.client import Client, Refused

__all__ = ["schedule"]

_ROOT = "/api/v1"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@click.group()
def schedule() -> None:
    """Run named actions at their times.

    An entry says which action runs when; `iceprod schedule actions` lists the actions.
    """


def _command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A subcommand with the options that all of them have."""
    def make(function: Callable[..., Any]) -> click.Command:
        with_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)
        return schedule.command(name)(server_options(with_json))

    return make


_name = click.argument("name", shell_complete=completing.entries)


def _entry_path(name: str) -> str:
    return f"{_ROOT}/schedule/{quote(name, safe='')}/"


def _runs_path(name: str) -> str:
    return f"{_ROOT}/acquisitions/{quote(name, safe='')}/"


def _seconds(text: str) -> int:
    """A span of time such as 90, 15m, 12h or 1d. Raises CommandError."""
    found = re.fullmatch(r"(\d{1,12})([smhdw]?)", text)
    if not found:
        raise CommandError(f"{text!r} is no span of time such as 90, 15m, 12h or 1d", USAGE)
    return int(found[1]) * _UNITS[found[2]]


def _moment(text: str) -> int:
    """A time: seconds since 1970, ISO 8601 (UTC unless it says otherwise), or +15m. Raises CommandError."""
    if text.startswith("+"):
        return int(time.time()) + _seconds(text[1:])
    if re.fullmatch(r"-?\d{1,12}", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no time such as 2026-01-31T18:00 (UTC), +15m or 1800000000",
                           USAGE) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _date(moment: int | None) -> str:
    if moment is None or abs(moment) > 2 * 10**11:
        return "never" if moment is None else str(moment)
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _state(entry: dict[str, Any]) -> str:
    return "active" if entry["is_active"] else "paused" if entry["interval"] else "finished"


@_command("list")
@click.option("--all", "everything", is_flag=True, help="The system's own entries, too.")
def list_entries(everything: bool, as_json: bool, server: str | None, token: str | None,
                 data: str | None) -> int:
    """List entries, the next to run first."""
    with connect(server, token, data) as client:
        entries = client.get(f"{_ROOT}/schedule/", {"ordering": "next_task_time"})
    shown = [entry for entry in entries if everything or not entry["owner"].endswith("/users/system")]
    if as_json:
        print(json.dumps({"entries": shown}))
        return 0
    print_table(
        ("name", "action", "state", "next (UTC)", "every (s)", "priority", "runs"),
        [(entry["name"], entry["action"], _state(entry),
          _date(entry["next_task_time"]) if entry["is_active"] else "-", entry["interval"] or "once",
          entry["priority"], entry["next_task_id"] - 1) for entry in shown],
        "nothing is on the schedule; `iceprod schedule create NAME ACTION` puts something there")
    for entry in shown:
        if entry["notice"]:
            print(f"{entry['name']}: {entry['notice']}")
    return 0


@_command("show")
@_name
def show(name: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Show the entry NAME."""
    with connect(server, token, data) as client:
        return _say(client.get(_entry_path(name)), as_json)


def _say(entry: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print(json.dumps(entry))
        return 0
    every = f"every {entry['interval']} s" if entry["interval"] else "once"
    print(f"{entry['name']}: {entry['action']} {every}, {_state(entry)}, priority {entry['priority']}")
    print(f"  from {_date(entry['start'])} UTC until {_date(entry['stop'])}")
    if entry["is_active"]:
        print(f"  next run {_date(entry['next_task_time'])} UTC, number {entry['next_task_id']}")
    if entry["is_vital"]:
        print("  the system cannot do without it, so it cannot be paused")
    if entry["notice"]:
        print(f"  {entry['notice']}")
    return 0


@_command("actions")
def actions(as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """List the actions that an entry can name."""
    with connect(server, token, data) as client:
        known = client.get(f"{_ROOT}/capabilities/")["actions"]
    if as_json:
        print(json.dumps({"actions": known}))
        return 0
    print_table(("action", "what it does"), [
        (action["name"], action["summary"] + (" (administrators only)" if action["admin_only"] else ""))
        for action in known], "there are no actions")
    return 0


@_command("create")
@click.argument("name")
@click.argument("action", shell_complete=completing.actions)
@click.option("--every", metavar="SPAN", help="Such as 90, 15m, 12h or 1d; without it, it runs once.")
@click.option("--start", metavar="TIME", help="ISO 8601 (UTC), +15m, or seconds since 1970 [default: now].")
@click.option("--stop", metavar="TIME", help="The same; no run from then on [default: never].")
@click.option("--priority", type=int, help="Lower numbers come first [default: 10].")
def create(name: str, action: str, every: str | None, start: str | None, stop: str | None,
           priority: int | None, as_json: bool, server: str | None, token: str | None,
           data: str | None) -> int:
    """Put ACTION on the schedule as the entry NAME."""
    body: dict[str, Any] = {"name": name, "action": action}
    if every is not None:
        body["interval"] = _seconds(every)
    body |= {field: _moment(text) for field, text in (("start", start), ("stop", stop)) if text is not None}
    if priority is not None:
        body["priority"] = priority
    with connect(server, token, data) as client:
        made = client.post(f"{_ROOT}/schedule/", body)
        _say(made, as_json)
        print(f"see {client.url}/web/schedule/{quote(name, safe='')}", file=sys.stderr)
    return 0


@_command("pause")
@_name
def pause(name: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Let the entry NAME rest; a run in progress is stopped."""
    with connect(server, token, data) as client:
        return _say(client.patch(_entry_path(name), {"is_active": False}), as_json)


@_command("resume")
@_name
def resume(name: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Let the entry NAME run again."""
    with connect(server, token, data) as client:
        return _say(client.patch(_entry_path(name), {"is_active": True}), as_json)


@_command("run")
@_name
def run(name: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Run the entry NAME now, besides its times."""
    with connect(server, token, data) as client:
        return _say(client.post(f"{_entry_path(name)}run/", {}), as_json)


@_command("history")
@_name
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many runs at most.")
@click.option("--archive", "number", type=click.IntRange(1), metavar="RUN",
              help="Write what this run left to NAME_RUN.sigmf instead.")
def history(name: str, limit: int, number: int | None, as_json: bool, server: str | None, token: str | None,
            data: str | None) -> int:
    """List the latest runs of the entry NAME, the newest first."""
    with connect(server, token, data) as client:
        if number is not None:
            return _write(client, name, number, as_json)
        runs = _runs(client, name, limit)
    if as_json:
        print(json.dumps({"runs": runs}))
        return 0
    print_table(("run", "began (UTC)", "took", "status", "detail"), [
        (row["task_id"], row["started"][:19].replace("T", " "), (row["duration"] or "-")[:11], row["status"],
         row["detail"]) for row in runs], "it has not run yet")
    return 0


def _runs(client: Client, name: str, limit: int) -> list[dict[str, Any]]:
    """The latest runs of an entry; none of one that has not run."""
    try:
        found: list[dict[str, Any]] = client.get(_runs_path(name), {"ordering": "-task_id", "limit": limit})
    except Refused as error:
        if error.status != 404:
            raise
        client.get(_entry_path(name))  # which says when there is none either
        return []
    return found


def _write(client: Client, name: str, number: int, as_json: bool) -> int:
    content = client.get(f"{_runs_path(name)}{number}/archive")
    path = Path(f"{name}_{number}.sigmf")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None
    print(json.dumps({"file": str(path), "bytes": len(content)}) if as_json else path)
    return 0


@_command("delete")
@_name
@click.option("--history", "with_history", is_flag=True, help="Delete its runs and their data first.")
def delete(name: str, with_history: bool, as_json: bool, server: str | None, token: str | None,
           data: str | None) -> int:
    """Delete the entry NAME."""
    with connect(server, token, data) as client:
        if with_history:
            _forget_runs(client, name)
        client.delete(_entry_path(name))
    print(json.dumps({"deleted": name}) if as_json else f"{name} is deleted")
    return 0


def _forget_runs(client: Client, name: str) -> None:
    try:
        client.delete(_runs_path(name))
    except Refused as error:
        if error.status != 404:  # there are none
            raise
