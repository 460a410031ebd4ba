"""``iceprod submit``: hand in a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.files import read_document
from iceprod.dataset_config import ConfigError
from iceprod.submission import checked_names, dataset_of, submit_dataset

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
    try:
        names = checked_names(document)
    except ConfigError as error:
        raise CommandError(f"{config}: {error}", USAGE) from None
    about = description or str(document.get("description") or config.stem)
    dataset = dataset_of(document, jobs, about, group, priority)
    if dry_run:
        _tell(as_json, {"valid": True, **dataset},
              f"{config} is good: {jobs} jobs of {len(names)} tasks ({', '.join(names)}); nothing submitted")
        return 0
    with connect(server, token, data) as client:
        dataset_id = submit_dataset(client, dataset, document)
    _tell(as_json, {"dataset_id": dataset_id, **dataset}, dataset_id)
    return 0


def _tell(as_json: bool, document: dict[str, Any], text: str) -> None:
    print(json.dumps(document) if as_json else text)
