"""``iceprod wait``: stay until a dataset is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import FAILED
from iceprod.cli.common.naming import dataset_of
from iceprod.cli.common.screen import console as console_of
from iceprod.cli.common.screen import safe
from iceprod.following import follow_dataset

__all__ = ["wait"]


@click.command()
@click.argument("dataset_id", metavar="DATASET", shell_complete=completing.datasets)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@server_options
def wait(dataset_id: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Wait until DATASET is over, and show how far it is.

    Exit status 0: it is complete, 1: it was suspended, or ended with errors.
    """
    console = console_of(stderr=as_json)
    with connect(server, token, data) as client:
        last = _show(console, follow_dataset(client, dataset_of(client, dataset_id)), quiet=as_json)
    if as_json:
        print(json.dumps(last))
    else:
        because = f"; jobs cannot be made: {last['reason']}" if last["reason"] else ""
        print(f"dataset {last['status']}: {_counts(last['tasks'])}{because}")
    return 0 if last["status"] == "complete" else FAILED


def _show(console: Console, news: Iterator[dict[str, Any]], *, quiet: bool) -> dict[str, Any]:
    last: dict[str, Any] = {}
    before = ""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False),
               TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        line = bar.add_task("", total=None)
        for last in news:
            text = safe(_counts(last["tasks"]))
            bar.update(line, description=text, total=last["tasks_submitted"],
                       completed=last["tasks"].get("complete", 0))
            if not (quiet or console.is_terminal) and text != before:
                console.print(text, highlight=False, markup=False, soft_wrap=True)
            before = text
    return last


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "no tasks yet"
