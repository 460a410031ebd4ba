"""``iceprod submit``: hand in a dataset."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.files import read_document
from iceprod.cli.common.findings import checked, file_lines
from iceprod.dataset_config import task_names
from iceprod.finding import NoServer, find_client
from iceprod.script_files import JobFiles, config_of_script, read_list, submit_script
from iceprod.submission import ask_about, dataset_of, submit_dataset
from iceprod.transport import Unreachable

__all__ = ["submit"]

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("config", metavar="[CONFIG.json|yaml]", required=False, type=_FILE)
@click.option("--jobs", type=click.IntRange(1), help="How many jobs [1, or the lines of --files].")
@click.option("--script", metavar="FILE|URL", help="Run this over a list of files, instead of a CONFIG.")
@click.option("--files", type=_FILE, help="With --script: a line for each job, inputs and the output last.")
@click.option("--args", default="$(input) $(output)", show_default=True, help="With --script: its arguments.")
@click.option("--env-shell", default="", help="With --script: the environment shell it runs in.")
@click.option("--memory", type=click.FloatRange(0), default=1.0, show_default=True, help="With --script: GB.")
@click.option("--cpu", type=click.IntRange(1), default=1, show_default=True, help="With --script: cores.")
@click.option("--gpu", type=click.IntRange(0), default=0, show_default=True, help="With --script: GPUs.")
@click.option("--description", help="Default: the configuration's.")
@click.option("--group", default="users", show_default=True, shell_complete=completing.groups)
@click.option("--priority", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--lenient", is_flag=True, help="Only warn of what may not do what was meant.")
@click.option("--dry-run", is_flag=True, help="Check everything, submit nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def submit(config: Path | None, jobs: int | None, script: str | None, files: Path | None, args: str,
           env_shell: str, memory: float, cpu: int, gpu: int, description: str | None, group: str,
           priority: float, lenient: bool, dry_run: bool, as_json: bool, server: str | None,
           token: str | None, data: str | None) -> int:
    """Submit the dataset that CONFIG describes, or a script with a list of files; prints its id."""
    lines: list[JobFiles] = []
    if script is not None and files is not None and config is None and jobs is None:
        needs = {"memory": memory, "cpu": cpu, **({"gpu": gpu} if gpu else {})}
        path, lines = Path(script), _lines(files)
        document = _of_script(script, args, env_shell, needs, description or path.name)
    elif config is not None and script is None and files is None:
        path, document = config, read_document(config)
    else:
        raise click.UsageError("give a CONFIG, with --jobs; or --script with --files")
    number = len(lines) or jobs or 1
    checked(path, document, number, lenient=lenient)
    about = description or str(document.get("description") or path.stem)
    dataset = dataset_of(document, number, about, group, priority, lenient=lenient)
    if dry_run:
        _tell_of_dry_run(as_json, path, dataset, document, _asked(
            dataset, document, lenient=lenient, server=server, token=token, data=data))
        return 0
    with connect(server, token, data) as client:
        if lines:
            dataset_id = submit_script(client, dataset, document, lines, lenient=lenient)
        else:
            dataset_id = submit_dataset(client, dataset, document, lenient=lenient)
        made = client.get(f"/datasets/{dataset_id}", {"keys": "dataset"}, patience=10).get("dataset")
    address = f"{client.url}/web/datasets/{dataset_id}"
    print(f"dataset {made}, see {address}", file=sys.stderr)  # apart from the id, which scripts read
    _tell(as_json, {"dataset_id": dataset_id, "number": made, "address": address, **dataset}, dataset_id)
    return 0


def _asked(dataset: dict[str, Any], document: dict[str, Any], *, lenient: bool, server: str | None,
           token: str | None, data: str | None) -> dict[str, Any]:
    """What the server says of a submission; nothing when none was named and none runs here."""
    try:
        with find_client(server, token, data) as client:
            return ask_about(client, dataset, document, lenient=lenient)
    except (NoServer, Unreachable):
        if server or data:
            raise
        return {}


def _tell_of_dry_run(as_json: bool, path: Path, dataset: dict[str, Any], document: dict[str, Any],
                     told: dict[str, Any]) -> None:
    names = task_names(document)
    jobs = dataset["jobs_submitted"]
    text = [f"{path} is good: {jobs} jobs of {len(names)} tasks ({', '.join(names)}); nothing submitted",
            *file_lines(told.get("files") or ())]
    if not told:
        text.append("  no server was asked, so nobody said which site can move the files")
    _tell(as_json, {"valid": True, **dataset, **({"files": told["files"]} if told else {})}, "\n".join(text))


def _lines(path: Path) -> list[JobFiles]:
    try:
        return read_list(path.read_text(encoding="utf8"), path.parent)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: {getattr(error, 'strerror', None) or error}", USAGE) from None


def _of_script(script: str, args: str, env_shell: str, needs: dict[str, Any],
               description: str) -> dict[str, Any]:
    try:
        return config_of_script(script, args, env_shell, needs, description)
    except ValueError as error:
        raise CommandError(f"--script: {error}", USAGE) from None


def _tell(as_json: bool, document: dict[str, Any], text: str) -> None:
    print(json.dumps(document) if as_json else text)
