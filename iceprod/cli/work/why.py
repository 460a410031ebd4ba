"""``iceprod why``: why a task is where it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.findings import file_lines
from iceprod.cli.common.naming import task_of

__all__ = ["why"]

_UNITS = {"memory": " GB", "disk": " GB", "time": " h"}


@click.command()
@click.argument("task_id", metavar="TASK", shell_complete=completing.tasks)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def why(task_id: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Tell why TASK does not run, or who runs it, and what came of its attempts so far."""
    with connect(server, token, data) as client:
        document = client.get(f"/tasks/{task_of(client, task_id)}/explain")
    print(json.dumps(document) if as_json else "\n".join(_lines(document)))
    return 0


def _lines(told: dict[str, Any]) -> Iterator[str]:
    yield f"{told['name']} of job {told['job_index']}: {told['status']} since {told['since']} UTC"
    yield f"  {told['reason']}"
    yield from _waiting(told)
    for row in told.get("depends_on", ()):
        yield f"  waits for {row['name']} of job {row['job_index']} ({row['status']}): {row['task_id']}"
    if pilot := told.get("pilot"):
        yield f"  leased until {told['lease_until']} UTC by pilot {pilot['pilot_id']} at {pilot['site']}"
    yield from file_lines(told.get("files") or ())
    yield from _attempts(told)
    for name, asked in told["requirements"].items():
        used = told["used_by_such_tasks"].get(name)
        beside = f"; such tasks used {used['median']:.3g}, 95 % at most {used['p95']:.3g}" if used else ""
        yield f"  asks for {name} {asked}{_UNITS.get(name, '')}{beside}"


def _waiting(told: dict[str, Any]) -> Iterator[str]:
    if "tasks_before" in told:
        more = "or more " if told["at_least"] else ""
        yield f"  {told['tasks_before']} {more}tasks with equal requirements come first"
    for row in told.get("missing", ()):
        yield f"  nobody offers {row['resource']} {row['wanted']}; the most is {row['offered']}"


def _attempts(told: dict[str, Any]) -> Iterator[str]:
    if not (told["failures"] or told["evictions"]):
        return
    kinds = ", ".join(f"{count} × {name}" for name, count in told["failure_counts"].items())
    yield (f"  failed {told['failures']} times ({kinds or 'no reasons kept'}), of these "
           f"{told['infrastructure_failures']} for the place; handed back {told['evictions']} times")
    if told["last_reason"]:
        yield f"  last: {told['last_reason']}"
    for name, (old, new) in ((told.get("verdict") or {}).get("grown") or {}).items():
        yield f"  therefore {name} grew from {old} to {new}"
