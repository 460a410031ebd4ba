"""``iceprod list``, ``show`` and ``tasks``: datasets, and how far they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.naming import dataset_of, selection_of
from iceprod.cli.common.tables import print_table, share
from iceprod.client import Client
from iceprod.states import DATASET, TASK

__all__ = ["list_datasets", "show", "tasks"]

_MOST_ERRORS = 5
_MOST_ASKED = 50  # datasets whose progress is asked for


@click.command(name="list")
@click.option("--status", shell_complete=completing.among(DATASET.states),
              help=f"Of this status alone: {', '.join(DATASET.states)}; several with |.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def list_datasets(status: str | None, as_json: bool, server: str | None, token: str | None,
                  data: str | None) -> int:
    """List datasets, the newest last."""
    keys = "dataset_id|dataset|status|description|username|jobs_submitted|materialisation_error"
    with connect(server, token, data) as client:
        query = {"keys": keys} | ({"status": status} if status else {})
        found = list(client.get("/datasets", query).values())
        found.sort(key=lambda dataset: dataset.get("dataset") or 0)
        _add_progress(client, found)
    if as_json:
        print(json.dumps({"datasets": found}))
        return 0
    names = ("dataset", "dataset_id", "status", "jobs done", "username", "description")
    rows = [{**dataset, "status": _status(dataset), "jobs done": _done(dataset)} for dataset in found]
    print_table(names, [tuple(row.get(name, "") for name in names) for row in rows], "there is no dataset")
    return 0


def _add_progress(client: Client, found: list[dict[str, Any]]) -> None:
    """Say how many jobs of each dataset are complete: of the newest that go on, for each is a question."""
    asked = 0
    for dataset in reversed(found):
        done = dataset["jobs_submitted"] if dataset["status"] == "complete" else None
        if done is None and asked < _MOST_ASKED:
            asked += 1
            counts = client.get(f"/datasets/{dataset['dataset_id']}/job_counts/status")
            done = counts.get("complete", 0)
        dataset["jobs_complete"] = done


def _done(dataset: dict[str, Any]) -> str:
    done, total = dataset["jobs_complete"], dataset["jobs_submitted"]
    return str(total) if done is None else share(done, total)


def _status(dataset: dict[str, Any]) -> str:
    """The status, and why jobs cannot be made."""
    problem = dataset.get("materialisation_error")
    return f"{dataset['status']} ({problem})" if problem else str(dataset["status"])


@click.command()
@click.argument("dataset_id", metavar="DATASET", shell_complete=completing.datasets)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def show(dataset_id: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Show one dataset: its tasks by name and status, what they use, and its most frequent errors."""
    with connect(server, token, data) as client:
        path = f"/datasets/{dataset_of(client, dataset_id)}"
        dataset = client.get(path)
        document = {"dataset": dataset, "tasks": client.get(f"{path}/task_counts/name_status"),
                    "usage": client.get(f"{path}/task_usage")["tasks"],
                    "errors": [] if dataset.get("archived") else client.get(f"{path}/errors")["errors"]}
    print(json.dumps(document) if as_json else "\n".join(_lines(document)))
    return 0


@click.command()
@click.argument("dataset_id", metavar="DATASET", shell_complete=completing.datasets)
@click.option("--status", type=click.Choice(TASK.states), help="In this status alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def tasks(dataset_id: str, status: str | None, as_json: bool, server: str | None, token: str | None,
          data: str | None) -> int:
    """List the tasks of DATASET, or of jobs of it as in 5.17 or 5.0-99: where they run, what went wrong."""
    keys = "task_id|job_index|task_index|name|status|site|failures|evictions|reason"
    with connect(server, token, data) as client:
        query = {"keys": keys} | ({"status": status} if status else {})
        chosen = selection_of(client, dataset_id)
        if chosen.jobs is not None and len(chosen.jobs) == 1:
            query |= {"job_index": str(chosen.jobs[0])}
        number = client.get(f"/datasets/{chosen.dataset_id}", {"keys": "dataset"}).get("dataset")
        found = list(client.get(f"/datasets/{chosen.dataset_id}/tasks", query).values())
    found = [{**task, "task": f"{number}.{task['job_index']}.{task['task_index']}"} for task in found
             if (chosen.jobs is None or task["job_index"] in chosen.jobs)
             and chosen.task in (None, task["task_index"])]
    found.sort(key=lambda task: (task["job_index"], task["task_index"]))
    if as_json:
        print(json.dumps({"tasks": found}))
        return 0
    names = ("task", "task_id", "name", "status", "site", "failures", "evictions", "reason")
    print_table(names, [tuple(task.get(name, "") for name in names) for task in found],
                f"there is no {status or ''} task".replace("  ", " "))
    return 0


def _lines(document: dict[str, Any]) -> Iterator[str]:
    dataset = document["dataset"]
    yield f"dataset {dataset['dataset']} of {dataset['username']}: {dataset['status']}"
    yield f"  {dataset['description'] or 'no description'}; {dataset['jobs_submitted']} jobs"
    if problem := dataset.get("materialisation_error"):
        yield f"  jobs cannot be made: {problem}"
    for name, counts in document["tasks"].items():
        yield f"  {name}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    for row in document["usage"]:
        for resource, used in row["used"].items():
            yield (f"  {row['name']} uses {resource} {used['median']:.3g}, 95 % at most {used['p95']:.3g}, "
                   f"and asks for {row['asked'].get(resource, 'the default')}")
    for error in document["errors"][:_MOST_ERRORS]:
        yield f"  {error['count']} × {error['example']} (such as {error['tasks'][0]})"
