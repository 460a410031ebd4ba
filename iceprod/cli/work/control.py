"""``iceprod suspend``, ``resume`` and ``reset``: hold work back, let it go on, let it begin anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.naming import job_of, selection_of, task_of
from iceprod.cli.common.screen import console as console_of
from iceprod.client import Client
from iceprod.states import TASK

__all__ = ["reset", "resume", "suspend"]

_LOOK_SECONDS = 0.3
_PATIENCE = 120.0

_task_option = click.option("--task", "tasks", multiple=True, metavar="TASK", shell_complete=completing.tasks,
                            help="This task alone; may be repeated.")
_job_option = click.option("--job", "jobs", multiple=True, metavar="JOB",
                           help="The tasks of this job alone; may be repeated.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command()
@click.argument("dataset_id", metavar="DATASET", shell_complete=completing.datasets)
@_task_option
@_job_option
@_json_option
@server_options
def suspend(dataset_id: str, tasks: tuple[str, ...], jobs: tuple[str, ...], as_json: bool,
            server: str | None, token: str | None, data: str | None) -> int:
    """Hold DATASET back: what waits does not start, what runs is stopped and begins anew later."""
    with connect(server, token, data) as client:
        return _change(client, dataset_id, "suspend", _selected(tasks, jobs), as_json)


@click.command()
@click.argument("dataset_id", metavar="DATASET", shell_complete=completing.datasets)
@_task_option
@_job_option
@_json_option
@server_options
def resume(dataset_id: str, tasks: tuple[str, ...], jobs: tuple[str, ...], as_json: bool,
           server: str | None, token: str | None, data: str | None) -> int:
    """Let what was suspended of DATASET go on."""
    chosen = _selected(tasks, jobs) or {"initial_status": "suspended"}
    with connect(server, token, data) as client:
        return _change(client, dataset_id, "reset", chosen, as_json)


@click.command()
@click.argument("dataset_id", metavar="DATASET", shell_complete=completing.datasets)
@click.option("--status", type=click.Choice([state for state in TASK.states if state != "complete"]),
              help="Tasks in this status  [default: failed].")
@click.option("--all", "all_tasks", is_flag=True, help="All tasks but complete ones; what runs is stopped.")
@click.option("--hard", is_flag=True, help="As if they never ran: complete ones too, failures forgotten.")
@_task_option
@_job_option
@_json_option
@server_options
def reset(dataset_id: str, status: str | None, all_tasks: bool, hard: bool, tasks: tuple[str, ...],
          jobs: tuple[str, ...], as_json: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    """Let tasks of DATASET begin anew: the failed ones, unless an option chooses others."""
    chosen = _selected(tasks, jobs)
    if sum([bool(chosen), all_tasks, bool(status)]) > 1:
        raise CommandError("--status, --all, and --task or --job exclude each other", USAGE)
    if hard and not (chosen or all_tasks or status):
        raise CommandError("--hard also takes complete tasks: say which with --task or --job, --status or "
                           "--all", USAGE)
    if not (chosen or all_tasks):
        chosen = {"initial_status": status or "failed"}
    with connect(server, token, data) as client:
        return _change(client, dataset_id, "hard_reset" if hard else "reset", chosen, as_json)


def _selected(tasks: tuple[str, ...], jobs: tuple[str, ...]) -> dict[str, Any]:
    if tasks and jobs:
        raise CommandError("--task and --job exclude each other", USAGE)
    return {"task_ids": list(tasks)} if tasks else {"job_ids": list(jobs)} if jobs else {}


def _with_ids(client: Client, name: str, chosen: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The dataset that a name such as 5 or 5.0-99 is of, and what is chosen of it. Raises CommandError."""
    picked = selection_of(client, name)
    if picked.jobs is None:
        if tasks := chosen.get("task_ids"):
            chosen = {"task_ids": [task_of(client, task) for task in tasks]}
        if jobs := chosen.get("job_ids"):
            chosen = {"job_ids": [job_of(client, picked.dataset_id, job) for job in jobs]}
        return picked.dataset_id, chosen
    if "task_ids" in chosen or "job_ids" in chosen:
        raise CommandError(f"{name} says which jobs already; leave out --task and --job", USAGE)
    status = chosen.get("initial_status")
    query = {"keys": "task_id|job_id|job_index|task_index"} | ({"status": status} if status else {})
    found = [task for task in client.get(f"/datasets/{picked.dataset_id}/tasks", query).values()
             if task["job_index"] in picked.jobs and picked.task in (None, task["task_index"])]
    if not found:
        raise CommandError(f"nothing to do: no task of {name} is {status}" if status else
                           f"there is no task {name}; `iceprod tasks` lists those there are", USAGE)
    if picked.task is None and not status:
        return picked.dataset_id, {"job_ids": sorted({task["job_id"] for task in found})}
    return picked.dataset_id, {"task_ids": [task["task_id"] for task in found]}


def _change(client: Client, dataset_id: str, action: str, chosen: dict[str, Any], as_json: bool) -> int:
    """Ask for the change, wait until it is done, and tell what it changed."""
    dataset_id, chosen = _with_ids(client, dataset_id, chosen)
    path = f"/datasets/{dataset_id}/task_counts/status"
    before = client.get(path)
    kind = "job" if "job_ids" in chosen else "task" if chosen else "dataset"
    body = {"dataset_id": dataset_id, "action": action, **chosen}
    request = client.post(f"/actions/{kind}_status", body, patience=10)["result"]
    _wait(client, f"/actions/{kind}_status/{request}", as_json)
    after = client.get(path, patience=_PATIENCE)
    status = client.get(f"/datasets/{dataset_id}", patience=_PATIENCE)["status"]
    if as_json:
        print(json.dumps({"dataset_id": dataset_id, "action": action, "dataset_status": status,
                          "before": before, "after": after}))
        return 0
    wanted = chosen.get("initial_status")
    if wanted and not before.get(wanted):
        print(f"nothing was changed, for no task is {wanted}; the dataset is {status}, its tasks: "
              f"{_counts(after)}")
    else:
        print(f"dataset {status}; tasks {_counts(before)} -> {_counts(after)}")
    return 0


def _wait(client: Client, path: str, as_json: bool) -> None:
    """Wait for a request's end, with a bar on a terminal. Raises CommandError when it failed."""
    console = console_of(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    quiet = as_json or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        line = bar.add_task("changing", total=100)
        request = _poll(client, path, lambda done: bar.update(line, completed=done))
    if request["status"] == "error":
        raise CommandError(f"it was not done: {request['error_message']}")


def _poll(client: Client, path: str, tell: Callable[[float], object]) -> dict[str, Any]:
    while True:
        request: dict[str, Any] = client.get(path, patience=_PATIENCE)
        if request["status"] in ("complete", "error"):
            return request
        tell(request["payload"].get("progress") or 0)
        time.sleep(_LOOK_SECONDS)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none"
