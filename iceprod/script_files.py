"""A script that runs over a list of files: one job for each line, as IceProd's basic submit does it.

A line names the input files of a job, and its output file last. The script's arguments find them as
``$(input)`` and ``$(output)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iceprod.evaluation import is_address
from iceprod.submission import submit_dataset
from iceprod.transport import Client, Refused

__all__ = ["JobFiles", "config_of_script", "read_list", "submit_script"]

TASK = "script"
_PATIENCE = 600.0  # seconds that making the jobs may take
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class JobFiles:
    """The files of one job, as addresses."""

    inputs: tuple[str, ...]
    output: str

    @property
    def moved(self) -> Iterable[tuple[str, str]]:
        """Each file and where it goes."""
        yield from ((name, "input") for name in self.inputs)
        yield self.output, "output"


def read_list(text: str, directory: Path) -> list[JobFiles]:
    """The jobs of a list; paths are taken from `directory`. Raises ValueError, which names the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = [_address(word, directory) for word in line.split()]
        if not words:
            continue
        names = [os.path.basename(word) for word in words]
        if double := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"line {number}: two files are called {min(double)!r}; they share a directory")
        found.append(JobFiles(tuple(words[:-1]), words[-1]))
    if not found:
        raise ValueError("it names no file")
    return found


def _address(word: str, directory: Path) -> str:
    return word if is_address(word) else f"file:{(directory / word).resolve()}"


def config_of_script(script: str, args: str, env_shell: str, needs: dict[str, Any],
                     description: str) -> dict[str, Any]:
    """The configuration that runs a script, a path or an address, over the files of its task.

    Raises ValueError for a path that is not there.
    """
    if not is_address(script) and not script.startswith("/cvmfs/"):
        if not Path(script).is_file():
            raise ValueError(f"{script}: there is no such file")
        script = f"file:{Path(script).resolve()}"
    module = {"src": script, "args": args, "env_shell": env_shell}
    return {"version": 3.2, "description": description, "tasks": [
        {"name": TASK, "task_files": True, "requirements": needs, "trays": [{"modules": [module]}]}]}


def submit_script(client: Client, dataset: dict[str, Any], config: dict[str, Any], jobs: list[JobFiles], *,
                  lenient: bool = False) -> str:
    """Submit a script with the files of each job; the dataset's id. Its tasks start when all files are told.

    Raises Refused; what was made by then stays suspended.
    """
    dataset_id = submit_dataset(client, dataset, config, lenient=lenient, start=False)
    _make_jobs(client, dataset_id, len(jobs))
    path = f"/datasets/{dataset_id}"
    for index, job in enumerate(jobs):
        for name, movement in job.moved:
            client.post(f"{path}/files", {"filename": name, "movement": movement, "job_index": index,
                                          "task_name": TASK}, patience=10)
    client.post(f"{path}/task_actions/bulk_reset", {}, patience=10)
    client.put(f"{path}/status", {"status": "processing"}, patience=10)
    return dataset_id


def _make_jobs(client: Client, dataset_id: str, jobs: int) -> None:
    body = {"dataset_id": dataset_id, "num": jobs, "set_status": "suspended"}
    request = client.post("/actions/materialization", body, patience=10)["result"]
    waited = 0.0
    while True:
        told = client.get(f"/actions/materialization/{request}", patience=10)
        if told["status"] == "complete":
            return
        if told["status"] == "error" or waited > _PATIENCE:
            reason = told["error_message"] or "it takes too long"
            raise Refused(400, f"the jobs of dataset {dataset_id} were not made: {reason}")
        client.pause(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
