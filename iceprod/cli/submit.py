"""``iceprod submit``: hand in a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from iceprod.cli.connection import connect, server_options
from iceprod.cli.errors import USAGE, CommandError
from iceprod.cli.files import read_document
from iceprod.dataset_config import ConfigError, task_names, validate

__all__ = ["submit"]


@click.command()
@click.argument("config", metavar="CONFIG.json|yaml", type=click.Path(path_type=Path))
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="How many jobs.")
@click.option("--description", help="Default: the configuration's.")
@click.option("--group", default="users", show_default=True)
@click.option("--priority", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--dry-run", is_flag=True, help="Check everything, submit nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def submit(config: Path, jobs: int, description: str | None, group: str, priority: float, dry_run: bool,
           as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Submit the dataset that CONFIG describes; prints its id."""
    document = read_document(config)
    names = _checked(config, document)
    dataset = {"description": description or str(document.get("description") or config.stem), "group": group,
               "jobs_submitted": jobs, "tasks_per_job": len(names), "tasks_submitted": jobs * len(names),
               "priority": priority}
    if dry_run:
        _tell(as_json, {"valid": True, **dataset},
              f"{config} is good: {jobs} jobs of {len(names)} tasks ({', '.join(names)}); nothing submitted")
        return 0
    with connect(server, token, data) as client:
        # Paused until its configuration is there, so that nobody makes tasks of half a dataset.
        dataset_id = client.post("/datasets", {**dataset, "status": "suspended"}, patience=10)["result"]
        client.put(f"/config/{dataset_id}", document, patience=10)
        client.put(f"/datasets/{dataset_id}/status", {"status": "processing"}, patience=10)
    _tell(as_json, {"dataset_id": dataset_id, **dataset}, str(dataset_id))
    return 0


def _checked(path: Path, document: dict[str, Any]) -> list[str]:
    """The names of the tasks. Raises CommandError."""
    try:
        validate(document)
    except ConfigError as error:
        raise CommandError(f"{path}: {error}", USAGE) from None
    names = task_names(document)
    if not names:
        raise CommandError(f"{path}: tasks: there is none", USAGE)
    return names


def _tell(as_json: bool, document: dict[str, Any], text: str) -> None:
    print(json.dumps(document) if as_json else text)
